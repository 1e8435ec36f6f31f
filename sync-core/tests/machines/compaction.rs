//! A document that is compacted behaves like one that never was: the same edits, clients and absences against both.

use automerge::{ROOT, transaction::Transactable};
use sync_core::compact::{self, Alone, Options, Source};
use sync_core::id::{DocumentName, LogSeq};
use sync_core::limits::PackLimits;
use sync_core::pack::{self, Outside};
use sync_core::rng::Rng;
use sync_core::snapshot::Snapshot;
use sync_core::storage::memory::MemoryStore;
use sync_core::storage::{Compaction, Loaded, StoreError};
use sync_core::table::ChangeTable;

use crate::net::Net;

fn small(rng: &mut Rng) -> Options {
    Options {
        packs_min: 1,
        segment_changes_max: 1 + rng.below(6) as usize,
        segment_bytes_max: 10_000,
        keep_changes: rng.below(4),
        step_changes_min: 1 + rng.below(20),
        read_bytes_max: [0, 100, 1 << 20][rng.below(3) as usize],
        ..Options::default()
    }
}

/// Runs the same things on a server that compacts and on one that does not.
fn check(seed: u64) {
    let mut rng = Rng::from_number(seed);
    let mut nets = [Net::new(3), Net::new(3)];
    let mut ids = Vec::new();
    for net in &mut nets {
        net.server.value_bytes_max(40);
        ids.push([0, 1, 2].map(|client| net.open(client, "doc")));
    }
    for round in 0..40 {
        let (client, what) = (rng.below(3) as usize, rng.below(10));
        let (words, options) = (1 + rng.below(3), small(&mut rng));
        let long = rng.chance(80);
        for (net, ids) in nets.iter_mut().zip(&ids) {
            match what {
                0..5 => {
                    // Each key is written once, so that no value hangs on whose actor wins.
                    for word in 0..words {
                        let text = if long { "x".repeat(60) } else { format!("{round}.{word}") };
                        net.change(client, ids[client], |tx| tx.put(ROOT, format!("k{round}.{word}"), text));
                    }
                }
                5 => net.set_online(client, false),
                6 | 7 => net.set_online(client, true),
                8 => net.restart_server(),
                _ => {}
            }
            net.settle();
        }
        let exists = nets[0].stored("doc").record.is_some();
        if exists && rng.chance(400) {
            nets[0].compact("doc", &options);
        }
        nets.iter_mut().for_each(Net::settle);
    }
    for (net, ids) in nets.iter_mut().zip(&ids) {
        (0..3).for_each(|client| net.set_online(client, true));
        net.settle();
        (0..3).for_each(|client| net.discard_rejected(client, ids[client]));
        net.settle();
    }
    let [compacted, plain] = &mut nets;
    for (client, (here, there)) in ids[0].iter().zip(ids[1]).enumerate() {
        assert_eq!(compacted.value(client, *here), plain.value(client, there), "seed {seed}");
        assert_eq!(compacted.outbox(client, *here), 0, "seed {seed}");
    }
    let count = |net: &mut Net| net.server_log("doc").len();
    assert_eq!(count(compacted), count(plain), "seed {seed}");
}

#[test]
fn a_document_takes_the_same_whether_or_not_it_is_compacted() {
    (0..40).for_each(check);
}

/// A server with 60 changes of two clients, the second of which left after 20, compacted to a base near the end.
fn compacted() -> (Net, [sync_core::replica::DocumentId; 3]) {
    let mut net = Net::new(4);
    let ids = [0, 1, 2].map(|client| net.open(client, "doc"));
    net.set_online(2, false);
    for n in 0..60 {
        if n == 20 {
            net.set_online(1, false);
        }
        net.change(0, ids[0], |tx| tx.put(ROOT, "a", n));
        if n < 20 {
            net.change(1, ids[1], |tx| tx.put(ROOT, "b", n));
        }
        net.settle();
    }
    let options = Options { packs_min: 2, segment_changes_max: 8, keep_changes: 5, ..Options::default() };
    assert!(net.compact("doc", &options));
    net.restart_server();
    (net, ids)
}

#[test]
fn an_edit_made_on_compacted_history_is_taken_and_comes_to_all() {
    let (mut net, ids) = compacted();
    assert_eq!(net.stored("doc").packs.len(), 1, "a room begins at the snapshot");
    net.change(1, ids[1], |tx| tx.put(ROOT, "late", 1));
    net.change(2, ids[2], |tx| tx.put(ROOT, "never seen before", 2));
    net.settle();
    net.set_online(1, true);
    net.set_online(2, true);
    net.settle();
    let newcomer = net.open(3, "doc");
    net.settle();
    let want = net.value(0, ids[0]);
    assert!(want.contains("late") && want.contains("never seen before"), "{want}");
    for (client, id) in [(1, ids[1]), (2, ids[2]), (3, newcomer)] {
        assert_eq!(net.value(client, id), want);
        assert_eq!(net.outbox(client, id), 0);
    }
    // The edit's dep lies below the base: it is found again when a room opens on the same snapshot.
    net.restart_server();
    net.change(0, ids[0], |tx| tx.put(ROOT, "after", 3));
    net.settle();
    assert_eq!(net.value(3, newcomer), net.value(0, ids[0]));
}

#[test]
fn a_snapshot_says_what_the_log_says_and_a_damaged_one_is_refused() {
    let (mut net, _) = compacted();
    let stored = net.stored("doc").snapshot.expect("there is one");
    let snapshot = Snapshot::decode(&stored.bytes).expect("its own bytes");
    assert_eq!(snapshot.encode(), stored.bytes);
    assert_eq!(snapshot.base.seq, stored.seq);
    let mut rng = Rng::from_number(7);
    for _ in 0..2_000 {
        let mut bytes = stored.bytes.to_vec();
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.below(256) as u8),
            _ => bytes[at] ^= 1 << rng.below(8),
        }
        // What the checksum covers never comes back changed; that it does not panic or grow is the point.
        if let Ok(read) = Snapshot::decode(&bytes) {
            assert_eq!(read.encode(), stored.bytes);
        }
    }
}

#[test]
fn a_pack_that_compaction_wrote_is_read_alone() {
    let (mut net, _) = compacted();
    let log = net.server_log("doc");
    let snapshot = Snapshot::decode(&net.stored("doc").snapshot.expect("there is one").bytes).expect("decodes");
    // Only the actors are known, and no hash.
    let mut actors = ChangeTable::new();
    for change in log.iter().filter(|change| change.seq() == 1 && change.deps().is_empty()) {
        actors.insert(change).expect("first changes");
    }
    let all = net.stored_from_start("doc");
    assert!(all.len() > snapshot.base.segments.len());
    for stored in all.iter().take(snapshot.base.segments.len()) {
        let outside = Outside::decode(stored.outside.as_ref().expect("has its own")).expect("decodes");
        assert_eq!(outside.encode(), stored.outside.as_deref().unwrap_or_default());
        let read = pack::decode(&stored.bytes, &outside.beside(&actors), &PackLimits::stored()).expect("reads alone");
        let first = stored.first.0 as usize - 1;
        assert_eq!(read.changes[..], log[first..first + stored.count as usize]);
    }
}

/// A store that weighs each step.
struct Weighing<'a> {
    alone: Alone<'a, MemoryStore>,
    steps: Vec<usize>,
}

impl Source for Weighing<'_> {
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.alone.open(bytes_max)
    }

    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.alone.load(after, bytes_max)
    }

    fn write(&mut self, step: Compaction) -> Result<(), StoreError> {
        self.steps.push(step.packs.iter().map(|pack| pack.bytes.len()).sum());
        self.alone.write(step)
    }

    fn handed_out(&mut self) -> Option<LogSeq> {
        self.alone.handed_out()
    }
}

/// Steps were bounded by changes alone: a few hundred large ones were held in memory, and written in one transaction, all together.
#[test]
fn a_compaction_of_large_changes_takes_many_steps() {
    const CHANGES: usize = 60;
    const CHANGE_BYTES: usize = 10_000;
    const STEP_BYTES: usize = 100_000;
    const PACK_BYTES: usize = 30_000;
    let (mut net, mut rng) = (Net::new(1), Rng::from_number(1));
    let a = net.open(0, "doc");
    for n in 0..CHANGES {
        let noise: Vec<u8> = (0..CHANGE_BYTES).map(|_| rng.below(256) as u8).collect();
        net.change(0, a, |tx| tx.put(ROOT, format!("k{n}"), noise));
        net.settle();
    }
    let (mut store, document) = (net.server_image(), DocumentName::parse("doc").expect("a name"));
    let alone = Alone { store: &mut store, document: &document };
    let mut source = Weighing { alone, steps: Vec::new() };
    let options =
        Options { packs_min: 2, segment_bytes_max: PACK_BYTES, step_bytes_min: STEP_BYTES, ..Options::default() };
    compact::compact(&document, &options, &mut source).expect("compacts").expect("there is something to do");
    let steps = source.steps;
    assert!(steps.iter().sum::<usize>() >= CHANGES * CHANGE_BYTES, "{steps:?}");
    assert!(steps.iter().all(|bytes| *bytes < STEP_BYTES + PACK_BYTES + CHANGE_BYTES), "{steps:?}");
}
