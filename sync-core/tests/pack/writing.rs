//! Makes histories for the pack tests. Knows nothing of packs.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc, ScalarValue};
use sync_core::change::Change;
use sync_core::limits::ChangeLimits;
use sync_core::rng::Rng;
use sync_core::table::ChangeTable;

/// A time of 2026 in milliseconds.
pub(crate) const TIME: i64 = 1_795_500_000_000;

pub(crate) fn actor(byte: u8) -> ActorId {
    ActorId::from([byte; 16])
}

pub(crate) fn commit(document: &mut AutoCommit, time: i64) {
    document.commit_with(CommitOptions::default().with_time(time));
}

/// All changes of a document in a causal order.
pub(crate) fn changes(document: &mut AutoCommit) -> Vec<Change> {
    document.get_changes(&[]).into_iter().map(|c| Change::from_automerge(c).expect("honest")).collect()
}

pub(crate) fn table(changes: &[Change]) -> ChangeTable {
    let mut table = ChangeTable::new();
    for change in changes {
        table.insert(change).expect("causal order");
    }
    table
}

/// One author's text, one change a character.
pub(crate) fn typed(text: &str) -> Vec<Change> {
    let mut document = AutoCommit::new().with_actor(actor(7));
    let object = document.put_object(ROOT, "text", ObjType::Text).expect("text");
    commit(&mut document, TIME);
    for (i, character) in text.chars().enumerate() {
        let time = TIME + 170 * i as i64 + (i as i64 * 7919) % 90;
        document.splice_text(&object, i, 0, &character.to_string()).expect("typed");
        commit(&mut document, time);
    }
    changes(&mut document)
}

/// A history of several authors with every kind of operation.
pub(crate) fn history(seed: u64, steps: usize) -> Vec<Change> {
    let mut rng = Rng::from_number(seed);
    let mut first = AutoCommit::new().with_actor(rng.actor());
    for (key, kind) in [("text", ObjType::Text), ("list", ObjType::List), ("map", ObjType::Map)] {
        first.put_object(ROOT, key, kind).expect("object");
    }
    first.put(ROOT, "count", ScalarValue::counter(1)).expect("counter");
    commit(&mut first, TIME);
    let mut replicas = vec![first.fork().with_actor(rng.actor()), first.fork().with_actor(rng.actor()), first];
    for step in 0..steps {
        let index = rng.below(3) as usize;
        if rng.chance(150) {
            let mut other = replicas[rng.below(3) as usize].clone();
            replicas[index].merge(&mut other).expect("merge");
        }
        for _ in 0..=rng.below(3) {
            edit(&mut replicas[index], &mut rng);
        }
        let mut options = CommitOptions::default().with_time(TIME + step as i64 * 1_000);
        if rng.chance(100) {
            options = options.with_message("a message");
        }
        replicas[index].commit_with(options);
    }
    let mut all = replicas.remove(0);
    for mut other in replicas {
        all.merge(&mut other).expect("merge");
    }
    if rng.chance(300) {
        all.empty_change(CommitOptions::default().with_time(TIME));
    }
    changes(&mut all)
}

fn edit(document: &mut AutoCommit, rng: &mut Rng) {
    let object = |document: &AutoCommit, key| document.get(ROOT, key).expect("get").map(|(_, id)| id);
    let (Some(text), Some(list), Some(map)) =
        (object(document, "text"), object(document, "list"), object(document, "map"))
    else {
        return;
    };
    let (characters, elements) = (document.length(&text), document.length(&list));
    let key = ["a", "b", "c"][rng.below(3) as usize];
    let character = ["x", "y", "é", "🙂"][rng.below(4) as usize];
    let done = match rng.below(12) {
        0..=3 => document.splice_text(&text, rng.below(characters as u64 + 1) as usize, 0, character),
        4 if characters > 0 => document.splice_text(&text, rng.below(characters as u64) as usize, 1, ""),
        5 if characters > 2 => {
            let mark = Mark::new("bold".into(), true, 0, 1 + rng.below(characters as u64 - 1) as usize);
            document.mark(&text, mark, ExpandMark::After)
        }
        6 => document.put(&map, key, rng.below(1_000) as i64),
        7 => document.put(ROOT, key, vec![1u8; rng.below(300) as usize]),
        8 => document.insert(&list, rng.below(elements as u64 + 1) as usize, rng.below(99) as i64),
        9 if elements > 0 => document.put(&list, rng.below(elements as u64) as usize, "put"),
        10 if elements > 0 => document.delete(&list, rng.below(elements as u64) as usize),
        10 => document.insert_object(&list, elements, ObjType::Map).map(|_| ()),
        11 => document.increment(ROOT, "count", 2),
        _ => document.put(&map, "when", ScalarValue::Timestamp(TIME)),
    };
    done.expect("an edit within bounds");
}

/// A chunk with a right checksum around any body.
fn chunk(body: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    assert!(body.len() < 16_384);
    let mut head = vec![1u8];
    match body.len() {
        len @ 0..=127 => head.push(len as u8),
        len => head.extend([(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]),
    }
    let hash = sha2::Sha256::new().chain_update(&head).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &hash[..4], &head[..], body].concat()
}

fn parsed(body: &[u8]) -> Change {
    Change::parse(&chunk(body), &ChangeLimits::default()).expect("still a change")
}

/// A change whose deps are not in order, which the packed form has no words for, and what it stands on.
pub(crate) fn unusual() -> (Vec<Change>, Change) {
    let mut held = history(3, 30);
    let at = held.iter().position(|change| change.deps().len() == 2).expect("a merge");
    let usual = held[at].bytes();
    let mut body = usual[if usual[9] & 0x80 == 0 { 10 } else { 11 }..].to_vec();
    body[1..65].rotate_left(32);
    held.truncate(at);
    (held, parsed(&body))
}

/// A second change by the author of [`typed`] with bytes behind its columns.
pub(crate) fn footed() -> Change {
    parsed(&[&typed("a")[1].bytes()[10..], b"\x01\x02me, and more"].concat())
}
