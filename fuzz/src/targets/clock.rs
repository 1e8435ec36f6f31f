//! Clocks and cursors: what decodes round-trips, and clocks compare and merge as the sets they stand for.

use std::cmp::Ordering;

use sync_core::clock::VectorClock;
use sync_core::id::Cursor;

use crate::choices::{Choices as _, Input};

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    if input.chance(200) {
        if let Ok(cursor) = minicbor::decode::<Cursor>(input.rest()) {
            let bytes = minicbor::to_vec(cursor).expect("a vector takes any bytes");
            assert_eq!(minicbor::decode::<Cursor>(&bytes).expect("own bytes"), cursor);
        }
        return;
    }
    let first = input.bytes(255);
    let (Ok(a), Ok(b)) = (minicbor::decode::<VectorClock>(first), minicbor::decode::<VectorClock>(input.rest())) else {
        return;
    };
    let bytes = minicbor::to_vec(&a).expect("a vector takes any bytes");
    assert_eq!(minicbor::decode::<VectorClock>(&bytes).expect("own bytes"), a);
    let mut merged = a.clone();
    merged.merge(&b);
    assert!(merged >= a && merged >= b);
    assert_eq!(a.partial_cmp(&b), b.partial_cmp(&a).map(Ordering::reverse));
    match a.partial_cmp(&b) {
        Some(Ordering::Less | Ordering::Equal) => assert_eq!(merged.changes(), b.changes()),
        Some(Ordering::Greater) => assert_eq!(merged.changes(), a.changes()),
        None => assert!(merged.changes() > a.changes().max(b.changes())),
    }
}
