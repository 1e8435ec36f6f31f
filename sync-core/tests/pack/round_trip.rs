//! What is packed comes back to the byte, in every kind of context.

use proptest::prelude::*;
use sync_core::change::Change;
use sync_core::limits::PackLimits;
use sync_core::pack::{PackContext as _, PackError, count, decode, encode};
use sync_core::table::ChangeTable;

use crate::writing::{actor, footed, history, table, typed, unusual};

fn check(changes: &[Change], base: u32, held: &ChangeTable) -> sync_core::pack::Unpacked {
    let pack = encode(changes, base, held).expect("packed");
    assert_eq!(count(&pack).expect("counted") as usize, changes.len());
    let back = decode(&pack, held, &PackLimits::default()).expect("unpacked");
    assert_eq!(back.base, base);
    assert_eq!(back.changes.len(), changes.len());
    for (was, is) in changes.iter().zip(&back.changes) {
        assert_eq!(was.bytes(), is.bytes());
        assert_eq!(was.hash(), is.hash());
    }
    back
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn histories_come_back_as_log_and_as_push(seed in any::<u64>(), slices in prop::collection::vec(1usize..40, 1..12)) {
        let changes = history(seed, 60);
        let mut held = ChangeTable::new();
        let mut rest = &changes[..];
        for slice in slices {
            let (now, later) = rest.split_at(slice.min(rest.len()));
            rest = later;
            let base = held.actor_count();
            let log = check(now, base, &held);
            check(now, 0, &held);
            for change in now {
                held.insert(change).expect("causal order");
            }
            // Numbers in a log pack are the log's own.
            for (i, new) in log.new_actors.iter().enumerate() {
                prop_assert_eq!(held.number(new), Some(base + i as u32));
            }
            prop_assert_eq!(held.actor_count() as usize, base as usize + log.new_actors.len());
        }
    }
}

#[test]
fn no_changes_make_a_pack_too() {
    let held = table(&typed("a"));
    assert_eq!(check(&[], 1, &held).new_actors, []);
}

#[test]
fn a_change_in_an_unusual_form_is_packed_whole() {
    let (held, unusual) = unusual();
    check(std::slice::from_ref(&unusual), table(&held).actor_count(), &table(&held));
}

#[test]
fn trailing_bytes_come_back() {
    check(&[footed()], 1, &table(&typed("")));
}

#[test]
fn a_change_with_an_unknown_dep_is_not_packed() {
    let changes = typed("ab");
    let held = ChangeTable::new();
    assert_eq!(encode(&changes[1..2], 0, &held), Err(PackError::UnknownDep(changes[0].hash())));
}

#[test]
fn a_receiver_that_lacks_a_dep_is_told_which() {
    let changes = typed("ab");
    let pack = encode(&changes[2..], 0, &table(&changes[..2])).expect("packed");
    let error = decode(&pack, &ChangeTable::new(), &PackLimits::default()).expect_err("lacking");
    assert_eq!(error, PackError::MissingDep { actor: actor(7), seq: 2 });
}

#[test]
fn a_receiver_that_knows_fewer_actors_is_told() {
    let changes = typed("ab");
    let pack = encode(&changes[2..], 1, &table(&changes[..2])).expect("packed");
    let error = decode(&pack, &ChangeTable::new(), &PackLimits::default()).expect_err("unknown");
    assert_eq!(error, PackError::UnknownActor(0));
}

#[test]
fn another_change_at_a_held_seq_shows_as_another_digest() {
    let (mine, theirs) = (typed("abc"), typed("axc"));
    assert_eq!(mine[1].hash(), theirs[1].hash());
    let pack = encode(&mine[3..], 1, &table(&mine[..3])).expect("packed");
    let error = decode(&pack, &table(&theirs[..3]), &PackLimits::default()).expect_err("equivocation");
    assert_eq!(error, PackError::DigestMismatch);
}

#[test]
fn the_table_places_what_it_holds() {
    let changes = typed("ab");
    let held = table(&changes);
    assert_eq!(held.locate(&changes[1].hash()), Some((actor(7), 2)));
}
