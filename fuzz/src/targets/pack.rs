//! Packs: bytes never panic or cost more than the bounds allow, and what unpacks can be packed and unpacked again as the same.

use std::io::Write as _;

use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::pack;

use crate::choices::{Choices as _, Input};
use crate::material::material;

fn limits() -> PackLimits {
    PackLimits {
        changes_max: 500,
        inflated_bytes_max: 64 << 10,
        raw_bytes_max: 256 << 10,
        operations_max: 20_000,
        predecessors_max: 20_000,
        change: ChangeLimits { operations_max: 5_000, predecessors_max: 5_000, ..ChangeLimits::default() },
    }
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let bytes = match input.below(3) {
        // Raw bytes.
        0 => input.rest().to_vec(),
        // A body that is deflated here, since the fuzzer would hardly find its way through a compressor.
        1 => {
            let head = input.bytes(64).to_vec();
            let mut deflate = flate2::write::DeflateEncoder::new(head, flate2::Compression::fast());
            deflate.write_all(input.rest()).expect("a vector takes any bytes");
            deflate.finish().expect("a vector takes any bytes")
        }
        // A real pack with some bytes changed.
        _ => {
            let start = input.index(material.history.len());
            let end = (start + 1 + input.index(8)).min(material.history.len());
            let held = table(&material.history[..start]);
            let base = if input.chance(500) { held.actor_count() } else { 0 };
            let packed = pack::encode(&material.history[start..end], base, &held).expect("a history packs");
            let mut bytes = packed.to_vec();
            let mut changed = false;
            while !input.is_empty() {
                let at = input.index(bytes.len());
                bytes[at] ^= input.byte();
                changed |= bytes[at] != packed[at];
            }
            check(&bytes, &held, (!changed).then_some(end - start));
            return;
        }
    };
    check(&bytes, &material.table, None);
}

fn table(changes: &[sync_core::change::Change]) -> sync_core::table::ChangeTable {
    let mut table = sync_core::table::ChangeTable::new();
    for change in changes {
        table.insert(change).expect("a causal order");
    }
    table
}

fn check(bytes: &[u8], held: &sync_core::table::ChangeTable, untouched: Option<usize>) {
    let limits = limits();
    let count = pack::count(bytes);
    let unpacked = match pack::decode(bytes, held, &limits) {
        Ok(unpacked) => unpacked,
        Err(e) => return assert!(untouched.is_none(), "an honest pack is refused: {e}"),
    };
    assert_eq!(count, Ok(unpacked.changes.len() as u32));
    assert!(untouched.is_none_or(|count| count == unpacked.changes.len()));
    assert!(unpacked.changes.len() <= limits.changes_max);
    let raw: usize = unpacked.changes.iter().map(|change| change.bytes().len()).sum();
    assert!(raw <= limits.raw_bytes_max, "{raw} bytes of changes");
    let again = pack::encode(&unpacked.changes, unpacked.base.min(held.actor_count()), held).expect("packs again");
    let back = pack::decode(&again, held, &PackLimits::stored()).expect("own pack");
    assert_eq!(back.changes, unpacked.changes);
}
