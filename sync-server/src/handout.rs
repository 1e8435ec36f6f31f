//! What the process that makes snapshots says to the server: a magic line, then one CBOR item, an empty array or a snapshot with all pieces.
//!
//! Owns these bytes alone. Whoever reads them cut off sees an error, never half a snapshot.

use bytes::Bytes;
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use sync_core::id::{DocumentName, LogSeq};
use sync_core::storage::DocumentSnapshot;

const MAGIC: &[u8] = b"rejoin snapshot 1\n";

/// The bytes of a snapshot, or of there being none.
pub(crate) fn write(snapshot: Option<&DocumentSnapshot>) -> Vec<u8> {
    let mut e = Encoder::new(MAGIC.to_vec());
    let written: Result<(), minicbor::encode::Error<std::convert::Infallible>> = (|| {
        let Some(DocumentSnapshot { incarnation, seq, digest, views, pieces, .. }) = snapshot else {
            return e.array(0)?.ok();
        };
        e.array(5)?.encode(incarnation)?.u64(seq.0)?.encode(digest)?.u32(*views)?.array(pieces.len() as u64)?;
        pieces.iter().try_for_each(|piece| e.bytes(piece)?.ok())
    })();
    written.expect("a vector takes any bytes");
    e.into_writer()
}

/// The snapshot of `document` in these bytes, if they say that there is one.
pub(crate) fn read(document: &DocumentName, bytes: &[u8]) -> Result<Option<DocumentSnapshot>, Error> {
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| Error::message("it does not begin as it should"))?;
    let mut d = Decoder::new(body);
    let snapshot = match d.array()? {
        Some(0) => None,
        Some(5) => {
            let (incarnation, seq, digest, views) = (d.decode()?, LogSeq(d.u64()?), d.decode()?, d.u32()?);
            let mut pieces = Vec::new();
            for _ in 0..d.array()?.ok_or_else(|| Error::message("the pieces have no number"))? {
                pieces.push(Bytes::copy_from_slice(d.bytes()?));
            }
            Some(DocumentSnapshot { document: document.clone(), incarnation, seq, digest, views, pieces })
        }
        _ => return Err(Error::message("no snapshot")),
    };
    let whole = d.position() == body.len();
    if whole { Ok(snapshot) } else { Err(Error::message("something stands behind it")) }
}

#[cfg(test)]
mod tests {
    use sync_core::id::{Digest, Incarnation};

    use super::*;

    #[test]
    fn what_is_cut_off_is_no_snapshot() {
        let document = DocumentName::parse("doc").expect("a name");
        let pieces = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let (incarnation, digest) = (Incarnation([1; 8]), Digest([2; 8]));
        let snapshot =
            DocumentSnapshot { document: document.clone(), incarnation, seq: LogSeq(7), digest, views: 1, pieces };
        let bytes = write(Some(&snapshot));
        assert_eq!(read(&document, &bytes).expect("its own bytes"), Some(snapshot));
        assert_eq!(read(&document, &write(None)).expect("its own bytes"), None);
        for end in 0..bytes.len() {
            assert!(read(&document, &bytes[..end]).is_err(), "{end}");
        }
        assert!(read(&document, &[&bytes[..], &[0]].concat()).is_err());
    }
}
