//! What a copy of a document takes from its store and from the log's clock, without a replica around it.

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ROOT};

use super::*;
use crate::clock::ClockEntry;

fn actor() -> ActorId {
    ActorId::from([1; 16])
}

/// The first change of one actor, with this in it.
fn written(value: i64) -> Change {
    let mut document = AutoCommit::new().with_actor(actor());
    document.put(ROOT, "k", value).expect("the root is a map");
    Change::from_automerge(document.get_changes(&[]).remove(0)).expect("it fits")
}

fn empty() -> Local {
    Local::new(DocumentName::parse("doc").expect("a name"), TabId::FIRST, actor())
}

/// A store that went back makes an actor write other changes under numbers that it has used.
#[test]
fn a_change_is_acknowledged_by_what_it_is_and_not_by_its_number() {
    let (ours, other) = (written(1), written(2));
    let mut local = empty();
    local.admit(&ours, &ChangeLimits::stored()).expect("it is valid");
    local.outbox.push(Pending { change: ours.clone(), saved: true, sent: None });
    let log = |change: &Change| {
        let mut clock = VectorClock::new();
        clock.observe(&actor(), ClockEntry { seq: 1, hash: change.hash().into() });
        clock
    };
    local.take_acked(&log(&other));
    assert_eq!(local.outbox.len(), 1, "the log has another change of that number");
    local.take_acked(&log(&ours));
    assert!(local.outbox.is_empty(), "the log has it");
}

#[test]
fn a_chunk_of_a_number_that_nobody_writes_refuses_the_document() {
    let mut local = empty();
    let Ok(Some(Write::Put { value, .. })) = local.chunk_write(&[written(1)]) else { panic!("a chunk is written") };
    let load = |number| {
        let chunk = (rows::numbered(&local.name, number), value.clone());
        Local::load(local.name.clone(), TabId::FIRST, actor(), &[Vec::new(), vec![chunk], Vec::new()])
    };
    let (mut loaded, _) = load(CHUNK_NUMBER_MAX - 1).expect("it opens");
    assert_eq!(rows::number(&loaded.chunk_key()), Some(CHUNK_NUMBER_MAX), "the next one stands behind it");
    for number in [CHUNK_NUMBER_MAX, u64::MAX] {
        assert!(matches!(load(number), Err(StoreError::Corrupt(_))), "{number}");
    }
}

/// It was told that the store is damaged, wherever what could be read did not stand without what could not.
#[test]
fn a_row_of_a_newer_version_refuses_the_document_as_such_whatever_else_does_not_fit() {
    let mut local = empty();
    let Ok(Some(Write::Put { key, value, .. })) = local.chunk_write(&[written(1)]) else {
        panic!("a chunk is written")
    };
    let Write::Put { key: place, value: row, .. } = local.row_write() else { panic!("a row is put") };
    let Write::Put { key: name, value: change, .. } = rows::put_outbox(&local.name, &written(2), None) else {
        panic!("a row is put")
    };
    let whole = || [vec![(place.clone(), row.clone())], vec![(key.clone(), value.clone())], vec![]];
    let load = |tables: &[Vec<Row>]| Local::load(local.name.clone(), TabId::FIRST, actor(), tables).map(drop);
    assert_eq!(load(&whole()), Ok(()));
    let newer = || vec![9, 0xff];
    for table in 0..3 {
        let mut tables = whole();
        tables[1][0].1.truncate(5);
        assert!(matches!(load(&tables), Err(StoreError::Corrupt(_))), "a chunk is cut short");
        tables[table].push((vec![0xff], newer()));
        assert_eq!(load(&tables), Err(StoreError::Newer { found: 9, known: 3 }), "{table}");
    }
    for of_none in [vec![], vec![0], vec![0, 0xa0]] {
        let tables = [vec![], vec![], vec![(name.clone(), change.clone()), (vec![0xff], of_none)]];
        assert!(matches!(load(&tables), Err(StoreError::Corrupt(_))), "a newer version has a higher number");
    }
}

/// What a change stood on is gone from the store: it is kept where it can be seen, and its number is not written once more.
#[test]
fn the_number_of_a_change_that_is_kept_as_rejected_is_not_taken_again() {
    let mut document = AutoCommit::new().with_actor(actor());
    for value in 1..3 {
        document.put(ROOT, "k", value).expect("the root is a map");
        document.commit();
    }
    let second = Change::from_automerge(document.get_changes(&[]).remove(1)).expect("it fits");
    let name = empty().name;
    let Write::Put { key, value, .. } = rows::put_outbox(&name, &second, None) else { panic!("a row is put") };
    let loaded = Local::load(name, TabId::FIRST, actor(), &[Vec::new(), Vec::new(), vec![(key, value)]]);
    let (mut local, _) = loaded.expect("it opens");
    assert_eq!(local.rejected.len(), 1, "it can't stand");
    assert!(local.would_fork(), "the next edits would be changes 1 and 2 of its actor");
    local.take_actor(&ActorId::from([2; 16]));
    assert!(!local.would_fork());
    assert!(!empty().would_fork());
}
