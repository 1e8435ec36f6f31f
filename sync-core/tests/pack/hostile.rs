//! Bytes from anywhere: refused with an error, never with a panic, never at a great cost.

use proptest::prelude::*;
use sync_core::limits::PackLimits;
use sync_core::pack::{PackError, count, decode, encode};
use sync_core::table::ChangeTable;

use crate::writing::{history, table, typed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), versioned in any::<bool>()) {
        if versioned && bytes.len() > 4 {
            bytes[0] = bytes[0] & 0x80 | 1;
            bytes[1] %= 8;
            bytes[2] = 0;
            bytes[3] = 0;
        }
        let held = table(&typed("some text"));
        let _ = count(&bytes);
        let _ = decode(&bytes, &held, &PackLimits::default());
    }

    #[test]
    fn mutated_packs_never_pass_for_others(
        seed in 0u64..8, base in any::<bool>(), from in 0usize..20,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>(), short in 0u8..4,
    ) {
        let history = history(seed, 20);
        let from = from.min(history.len() - 3);
        let held = table(&history[..from]);
        let base = if base { held.actor_count() } else { 0 };
        let pack = encode(&history[from..from + 3], base, &held).expect("packed");
        let mut bytes = pack.to_vec();
        for (index, byte) in changes {
            bytes[index.index(pack.len())] = byte;
        }
        if short == 0 {
            bytes.truncate(cut.index(pack.len()));
        }
        // Where it still unpacks, the digest holds it to the very changes (fewer actors or another base may not matter).
        if let Ok(back) = decode(&bytes, &held, &PackLimits::default()) {
            prop_assert_eq!(back.changes, &history[from..from + 3]);
        }
    }
}

#[test]
fn other_versions_are_refused() {
    let pack = encode(&typed("a"), 0, &ChangeTable::new()).expect("packed");
    for version in (0..=255).filter(|version| version & 0x7f != 1) {
        let mut other = pack.to_vec();
        other[0] = version;
        assert_eq!(count(&other), Err(PackError::Malformed("unknown version")));
        let error = decode(&other, &ChangeTable::new(), &PackLimits::default()).expect_err("refused");
        assert_eq!(error, PackError::Malformed("unknown version"));
    }
}

#[test]
fn a_bomb_is_not_inflated() {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(9));
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 64 << 20), &mut encoder).expect("deflated");
    let bomb = [&[0x81, 1, 0, 0][..], &[0; 8], &encoder.finish().expect("deflated")].concat();
    assert!(bomb.len() < 100_000);
    let error = decode(&bomb, &ChangeTable::new(), &PackLimits::default()).expect_err("refused");
    assert_eq!(error, PackError::TooLarge("bytes once inflated"));
}

#[test]
fn each_bound_is_kept() {
    let changes = typed("abcdefgh");
    let pack = encode(&changes, 0, &ChangeTable::new()).expect("packed");
    let raw: usize = changes.iter().map(|change| change.bytes().len()).sum();
    let refused = |limits: PackLimits| decode(&pack, &ChangeTable::new(), &limits).expect_err("refused");
    let wide = PackLimits::default();
    assert_eq!(refused(PackLimits { changes_max: 8, ..wide }), PackError::TooLarge("changes"));
    assert_eq!(refused(PackLimits { raw_bytes_max: raw - 1, ..wide }), PackError::TooLarge("bytes of changes"));
    let exact = PackLimits { changes_max: 9, raw_bytes_max: raw, ..wide };
    assert_eq!(decode(&pack, &ChangeTable::new(), &exact).expect("within").changes, changes);
}

#[test]
fn one_long_column_named_often_is_not_copied_often() {
    // 5,000 changes that all say "the columns of the one before", the first of which holds a megabyte.
    let value = vec![b'x'; 1 << 20];
    let mut document = automerge::AutoCommit::new().with_actor(crate::writing::actor(1));
    automerge::transaction::Transactable::put(
        &mut document,
        automerge::ROOT,
        "k",
        automerge::ScalarValue::Bytes(value),
    )
    .expect("put");
    crate::writing::commit(&mut document, 0);
    let mut changes = crate::writing::changes(&mut document);
    let template = changes[0].clone();
    for seq in 2..=40u64 {
        let mut next = template.automerge().decode();
        next.seq = seq;
        next.start_op = std::num::NonZeroU64::new(seq).expect("positive");
        next.deps = vec![changes.last().expect("one").hash()];
        changes.push(sync_core::change::Change::from_automerge(automerge::Change::from(next)).expect("a change"));
    }
    let pack = encode(&changes, 0, &ChangeTable::new()).expect("packed");
    assert!(pack.len() < 10_000);
    let error = decode(&pack, &ChangeTable::new(), &PackLimits::default()).expect_err("refused");
    assert_eq!(error, PackError::TooLarge("bytes of changes"));
}
