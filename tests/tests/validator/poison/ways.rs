//! The table of poison through every way into a document: pushed alone, pushed in the middle of a good batch, and from a peer over a link.

use automerge::ChangeHash;
use serde_json::json;
use sha2::{Digest, Sha256};
use sync_core::change::{Change as Parsed, ChangeError};
use sync_core::id::ActorId;
use sync_core::limits::ChangeLimits;
use sync_core::link::LinkError;
use sync_core::pack;
use sync_core::protocol::RejectCode;
use sync_core::table::{ChangeTable, TableError};
use sync_core::validator::Refusal;

use super::host::{Answer, Host};
use super::peer::Peer;
use super::{Case, Refused, cases, change, document, json_set};
use rejoin_fuzz::chunk::unsigned;

/// One change of a pack as a hostile writer puts it there: whole, whatever it is.
struct Whole {
    actor: Vec<u8>,
    seq: u32,
    chunk: Vec<u8>,
}

impl Whole {
    fn of(change: &automerge::Change) -> Self {
        let actor = change.actor_id().to_bytes().to_vec();
        Self { actor, seq: u32::try_from(change.seq()).expect("small"), chunk: change.raw_bytes().to_vec() }
    }

    fn poison(case: &Case) -> Self {
        Self { actor: case.author.0.clone(), seq: case.author.1, chunk: case.bytes.clone() }
    }
}

/// A pack of whole changes, written by hand: every bit of a change can be chosen.
fn pack_of(changes: &[Whole]) -> Vec<u8> {
    let mut actors: Vec<&[u8]> = Vec::new();
    for change in changes {
        if !actors.contains(&&change.actor[..]) {
            actors.push(&change.actor);
        }
    }
    let mut out = vec![1];
    unsigned(&mut out, changes.len() as u64);
    unsigned(&mut out, 0);
    unsigned(&mut out, actors.len() as u64);
    for actor in &actors {
        unsigned(&mut out, actor.len() as u64);
        out.extend(*actor);
    }
    let hashes = changes
        .iter()
        .fold(Sha256::new(), |sha, change| sha.chain_update(Sha256::digest(change.chunk.get(8..).unwrap_or_default())));
    out.extend(&hashes.finalize()[..8]);
    // Whole, with its author and its seq written.
    out.extend(changes.iter().map(|_| 0x80 | 0x01 | 0x02));
    for change in changes {
        let number = actors.iter().position(|actor| **actor == change.actor[..]).expect("just listed");
        unsigned(&mut out, number as u64);
    }
    changes.iter().for_each(|change| unsigned(&mut out, change.seq.into()));
    for change in changes {
        unsigned(&mut out, change.chunk.len() as u64);
        out.extend(&change.chunk);
    }
    out
}

/// What the server answers to a change that is refused so.
fn code(refusal: &Refusal) -> RejectCode {
    match refusal {
        Refusal::Place(TableError::Equivocation { .. }) => RejectCode::Equivocation,
        Refusal::Place(_) => RejectCode::Mismatch,
        Refusal::Bounds(_)
        | Refusal::StartTooHigh { .. }
        | Refusal::SkippedTooMany { .. }
        | Refusal::CountersExhausted { .. }
        | Refusal::TooManyActors(_)
        | Refusal::TooManyHeads(_)
        | Refusal::TooManySteps
        | Refusal::IndexFull(_) => RejectCode::TooLarge,
        _ => RejectCode::Invalid,
    }
}

fn hash(bytes: &[u8]) -> ChangeHash {
    ChangeHash(Sha256::digest(bytes.get(8..).unwrap_or_default()).into())
}

/// What is said of bytes, without the bound: within a pack it is what the changes before have left.
fn said(error: &ChangeError) -> String {
    let text = error.to_string();
    text.split(", at most").next().unwrap_or_default().to_owned()
}

/// A server that holds the document, under the limits of a case.
fn host(case: &Case) -> (Host, automerge::Change) {
    let (_, first, beside) = document();
    let mut host = Host::new();
    let answer = host.push(pack_of(&[Whole::of(&first), Whole::of(&beside)]));
    assert_eq!(answer.acks.len(), 1, "{answer:?}");
    (host.restarted(case.limits), first)
}

/// The one rejection of an answer: of the batch as a whole, or of these changes.
fn check_refused(case: &Case, answer: &Answer, blocked: Option<ChangeHash>) {
    let name = &case.name;
    assert_eq!(answer.closed, None, "{name}");
    let [reject] = &answer.rejects[..] else { panic!("{name}: {answer:?}") };
    let Refused::Change(refusal) = &case.refused else {
        // What is no change has no name to be called by.
        assert_eq!((reject.code, &reject.verdicts), (RejectCode::Invalid, &None), "{name}");
        let Refused::Bytes(error) = &case.refused else { unreachable!() };
        assert!(reject.reason.contains(&said(error)), "{name}: {}", reject.reason);
        return;
    };
    let verdicts = reject.verdicts.as_ref().unwrap_or_else(|| panic!("{name}: {reject:?}"));
    let found: Vec<_> = verdicts.iter().map(|v| (v.hash.0, v.code)).collect();
    let mut expected = vec![(hash(&case.bytes), code(refusal))];
    expected.extend(blocked.map(|hash| (hash, RejectCode::Blocked)));
    assert_eq!(found, expected, "{name}");
    assert_eq!(verdicts[0].reason, refusal.to_string(), "{name}");
}

/// Limits that a case lowers would hit the honest client as well.
fn goes_on(case: &Case, host: &mut Host, held: usize) {
    if case.limits == ChangeLimits::default() {
        host.honest_edit("after the poison");
        assert_eq!(host.stored().len(), held + 1, "{}", case.name);
    } else {
        assert_eq!(host.stored().len(), held, "{}", case.name);
    }
}

#[test]
fn pushed_alone_it_is_refused_by_name_and_everybody_goes_on() {
    for case in cases() {
        let (mut host, first) = host(&case);
        let answer = host.push(pack_of(&[Whole::poison(&case)]));
        check_refused(&case, &answer, None);
        assert!(answer.acks.is_empty(), "{}", case.name);
        assert!(!host.honest_holds(&hash(&case.bytes)) || hash(&case.bytes) == first.hash(), "{}", case.name);
        goes_on(&case, &mut host, 2);
    }
}

/// As the columns of a pack, where a pack can say it at all.
#[test]
fn pushed_in_columns_it_is_refused_as_well() {
    let mut sent = 0;
    for case in cases() {
        let Ok(parsed) = Parsed::parse(&case.bytes, &ChangeLimits::default()) else { continue };
        let mut table = ChangeTable::new();
        let (_, first, beside) = document();
        for change in [first, beside] {
            table.insert(&Parsed::from_automerge(change).expect("small")).expect("in order");
        }
        let Ok(packed) = pack::encode(&[parsed], 0, &table) else { continue };
        sent += 1;
        let (mut host, _) = host(&case);
        let answer = host.push(packed.to_vec());
        check_refused(&case, &answer, None);
        goes_on(&case, &mut host, 2);
    }
    assert!(sent > 150, "{sent} cases can be said in columns");
}

/// Before it a good change, behind it one that stands on it, and a good one that does not.
struct Batch {
    before: automerge::Change,
    dependent: automerge::Change,
    after: automerge::Change,
}

impl Batch {
    fn around(case: &Case, first: &automerge::Change) -> Self {
        // Beside the document, so that what is highest, and with it the bound on gaps, stays where it is.
        let before = change("dd", 1, 1, &[], json_set("before"));
        let after = change("dd", 2, 2, &[&before], json_set("after"));
        let mut dependent = change("ee", 1, 1 << 20, &[first], json!([])).decode();
        dependent.deps = vec![hash(&case.bytes)];
        Self { before, dependent: automerge::Change::from(dependent), after }
    }

    fn pack(&self, case: &Case) -> Vec<u8> {
        let [before, dependent, after] = [&self.before, &self.dependent, &self.after].map(Whole::of);
        pack_of(&[before, Whole::poison(case), dependent, after])
    }
}

#[test]
fn in_the_middle_of_a_batch_it_takes_only_what_stands_on_it_along() {
    // Cases with lowered limits would have the good changes refused as well.
    for case in cases().into_iter().filter(|case| case.limits == ChangeLimits::default()) {
        let (mut host, first) = host(&case);
        let batch = Batch::around(&case, &first);
        let answer = host.push(batch.pack(&case));
        check_refused(&case, &answer, Some(batch.dependent.hash()));
        match case.refused {
            Refused::Change(_) => {
                let [ack] = &answer.acks[..] else { panic!("{}: {answer:?}", case.name) };
                assert_eq!((ack.first.0, ack.count, &ack.held), (3, 2, &None), "{}", case.name);
            }
            Refused::Bytes(_) => {
                assert!(answer.acks.is_empty(), "{}", case.name);
                // A client whose batch was refused as a whole sends its changes singly.
                for good in [&batch.before, &batch.after] {
                    let answer = host.push(pack_of(&[Whole::of(good)]));
                    assert_eq!((answer.acks.len(), answer.rejects.len()), (1, 0), "{}", case.name);
                }
            }
        }
        for good in [&batch.before, &batch.after] {
            assert!(host.honest_holds(&good.hash()), "{}", case.name);
        }
        goes_on(&case, &mut host, 4);
    }
}

/// A megabyte of such changes would have kept the server busy for an hour, and its op index would have filled the machine's memory.
#[test]
fn few_bytes_of_many_changes_of_many_operations_are_refused_before_they_are_checked() {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    for seq in 1..=20u64 {
        let make = |_| json!({"action": "makeMap", "obj": "_root", "key": "k", "pred": []});
        let deps: Vec<_> = changes.last().into_iter().collect();
        let made = change("dd", seq, 1 + (seq - 1) * 20_000, &deps, (0..20_000).map(make).collect());
        bytes += made.raw_bytes().len();
        changes.push(made);
    }
    assert!(bytes < 3_000, "{bytes} bytes");
    let mut host = Host::new();
    let answer = host.push(pack_of(&changes.iter().map(Whole::of).collect::<Vec<_>>()));
    let [reject] = &answer.rejects[..] else { panic!("{answer:?}") };
    assert_eq!((reject.code, &reject.verdicts, answer.acks.len()), (RejectCode::TooLarge, &None, 0));
    let answer = host.push(pack_of(&[Whole::of(&changes[0])]));
    assert_eq!((answer.acks.len(), answer.rejects.len()), (1, 0));
    host.honest_edit("after");
}

#[test]
fn from_a_peer_it_is_refused_and_the_next_peer_gets_what_was_good() {
    let (_, first, beside) = document();
    let held = [first.clone(), beside].map(|change| Parsed::from_automerge(change).expect("small"));
    for case in cases().into_iter().filter(|case| case.limits == ChangeLimits::default()) {
        let name = &case.name;
        let mut victim = Peer::holding(&held, case.limits);
        let batch = Batch::around(&case, &first);
        victim.hear_pack(batch.pack(&case));
        match &case.refused {
            Refused::Bytes(error) => {
                let Some(LinkError::Malformed(reason)) = &victim.ended else { panic!("{name}: {:?}", victim.ended) };
                assert!(reason.contains(&said(error)), "{name}: {reason}");
                assert_eq!(victim.gate.table.len(), 2, "{name}");
            }
            Refused::Change(Refusal::Place(TableError::Equivocation { actor, seq, .. })) => {
                let fork = LinkError::Equivocation { actor: ActorId::clone(actor), seq: *seq };
                assert_eq!(victim.ended, Some(fork), "{name}");
                assert_eq!(victim.gate.table.len(), 2, "{name}");
            }
            Refused::Change(refusal) => {
                let blocked = Refusal::Place(TableError::MissingDep(hash(&case.bytes)));
                assert_eq!((&victim.ended, &victim.refused), (&None, &vec![refusal.clone(), blocked]), "{name}");
                assert_eq!(victim.gate.table.len(), 4, "{name}");
                // The same link carries on.
                let more = change("dd", 3, 3, &[&batch.after], json_set("more"));
                victim.hear_pack(pack_of(&[Whole::of(&more)]));
                assert_eq!((victim.gate.table.len(), victim.refused.len()), (5, 2), "{name}");
            }
        }
        let mut next = Peer::holding(&held[..1], ChangeLimits::default());
        victim.meet(&mut next);
        assert_eq!((&victim.ended, &next.ended, next.refused.len()), (&None, &None, 0), "{name}");
        assert_eq!(next.gate.table.clock(), victim.gate.table.clock(), "{name}");
    }
}
