//! Snapshots, and the hashes beside compacted packs: what a server's store gives a room so that it need not read a whole log. What decodes is
//! written again as the same, and what follows on it is taken or refused, and asks only for what a pack holds.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};
use sync_core::id::{Incarnation, LogSeq};
use sync_core::log::Segment;
use sync_core::pack::Outside;
use sync_core::reading::{ReadError, Reading};
use sync_core::snapshot::Snapshot;
use sync_core::storage::StoredSnapshot;

use crate::choices::{Choices as _, Input};
use crate::material::{Material, material};

/// The version, and the digest of what is deflated behind it.
const HEAD_BYTES: usize = 9;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    if input.chance(150) {
        return outside(input.rest());
    }
    let material = material(input.below(8) as usize);
    let honest = honest(&material);
    let mut body = Vec::new();
    DeflateDecoder::new(&honest[HEAD_BYTES..]).read_to_end(&mut body).expect("own bytes inflate");
    let before = body.clone();
    alter(&mut input, &mut body);
    let bytes = wrap(honest[0], &body);
    let Ok(snapshot) = Snapshot::decode(&bytes) else {
        return assert!(body != before, "an honest snapshot is refused");
    };
    let again = snapshot.encode();
    assert_eq!(Snapshot::decode(&again).expect("own bytes").encode(), again);
    let stored = StoredSnapshot { seq: snapshot.base.seq, digest: snapshot.base.digest, bytes: bytes.into() };
    let mut reading = Reading::resume(&stored, snapshot.incarnation).expect("it was read a moment ago");
    for (index, change) in material.honest.iter().chain(&material.hostile).enumerate() {
        match reading.append(change) {
            Ok(()) => {}
            Err(ReadError::Need(need)) => assert!(reading.read_after(&need).is_some(), "no pack holds {need:?}"),
            Err(ReadError::Corrupt(what)) => {
                assert!(index > 0 || body != before, "an honest change is refused: {what}")
            }
        }
    }
}

/// A snapshot at the end of a history, all of it in one pack.
fn honest(material: &Material) -> Vec<u8> {
    let incarnation = Incarnation([3; 8]);
    let mut reading = Reading::new(incarnation);
    for change in &material.history {
        reading.append(change).expect("a causal order");
    }
    let log = &reading.log;
    let ends = (0..).zip(log.table().entries()).map(|(number, (_, entry))| (number, entry.seq)).collect();
    let raw_bytes = material.history.iter().map(|change| change.bytes().len() as u64).sum();
    let count = material.history.len() as u32;
    let base = log.to_base(vec![Segment { first: LogSeq(1), count, raw_bytes, digest: log.digest(), ends }]);
    Snapshot { incarnation, base, index: reading.index }.encode().to_vec()
}

fn alter(input: &mut Input<'_>, body: &mut Vec<u8>) {
    if input.chance(50) {
        *body = input.rest().to_vec();
    }
    while !input.is_empty() {
        let at = input.index(body.len() + 1);
        let removed = input.index(4).min(body.len() - at);
        let added = input.bytes(6);
        body.splice(at..at + removed, added.iter().copied());
    }
}

/// With a digest that fits, since the fuzzer would hardly find one.
fn wrap(version: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![version];
    out.extend_from_slice(&Sha256::digest(body)[..8]);
    let mut deflate = DeflateEncoder::new(out, Compression::fast());
    deflate.write_all(body).expect("a vector takes any bytes");
    deflate.finish().expect("a vector takes any bytes")
}

fn outside(bytes: &[u8]) {
    let Ok(outside) = Outside::decode(bytes) else { return };
    assert_eq!(Outside::decode(&outside.encode()).expect("own bytes"), outside);
}
