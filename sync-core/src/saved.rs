//! A document as automerge saves it, with what says where in a log it stands: what a newcomer loads in place of a long log.
//!
//! Owns the byte format described in docs/storage-format.md, and that nothing is loaded which is not the changes that it claims to be.
//! Whether the log has these changes is for whoever made it to see: see [`crate::newcomer`].

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::document::{Document, DocumentError};
use crate::id::{ChangeHash, Digest, Incarnation, LogSeq};
use crate::pack::PackError;
use crate::pack::leb::{Reader, put_unsigned};
use crate::table::ChangeTable;

const VERSION: u8 = 1;

/// A saved document at a position of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The document's incarnation.
    pub incarnation: Incarnation,
    /// The position: the document holds what stands there and before, and nothing else.
    pub seq: LogSeq,
    /// The log's digest there.
    pub digest: Digest,
    /// The document's heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// For each of the log's actors, by number, its place among all of them sorted by their bytes.
    pub order: Vec<u32>,
    /// automerge's saved document.
    pub document: Bytes,
}

/// Why a saved document can't be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The bytes make no sense.
    #[error(transparent)]
    Malformed(#[from] PackError),
    /// automerge does not load it.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It loads, and is another document than it says.
    #[error("{0}")]
    Other(&'static str),
}

impl Saved {
    /// Saves a document that holds exactly what `table` does, whose actors are numbered as in the log. Proves nothing: open it to see.
    pub fn of(
        document: &Document,
        table: &ChangeTable,
        incarnation: Incarnation,
        seq: LogSeq,
        digest: Digest,
    ) -> Result<Self, SavedError> {
        let order = table.sorted_places();
        let heads = table.heads().copied().collect();
        Ok(Self { incarnation, seq, digest, heads, order, document: document.save()?.into() })
    }

    /// The bytes to keep or send.
    pub fn encode(&self) -> Bytes {
        let mut body = self.incarnation.0.to_vec();
        put_unsigned(&mut body, self.seq.0);
        body.extend_from_slice(&self.digest.0);
        put_unsigned(&mut body, self.heads.len() as u64);
        self.heads.iter().for_each(|head| body.extend_from_slice(&head.0));
        put_unsigned(&mut body, self.order.len() as u64);
        self.order.iter().for_each(|place| put_unsigned(&mut body, u64::from(*place)));
        body.extend_from_slice(&self.document);
        let mut out = vec![VERSION];
        out.extend_from_slice(&Sha256::digest(&body)[..8]);
        out.extend_from_slice(&body);
        out.into()
    }

    /// Reads what [`Saved::encode`] made. The document in it is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let mut r = Reader::new(bytes);
        if r.byte()? != VERSION {
            return Err(PackError::Malformed("a saved document of an unknown version"));
        }
        let expected = r.take(8)?;
        let body = r.rest();
        if Sha256::digest(body)[..8] != *expected {
            return Err(PackError::DigestMismatch);
        }
        let mut r = Reader::new(body);
        let incarnation = Incarnation(array(&mut r)?);
        let (seq, digest) = (LogSeq(r.unsigned()?), Digest(array(&mut r)?));
        let mut heads = Vec::new();
        for _ in 0..r.length()? {
            heads.push(ChangeHash(array(&mut r)?));
        }
        let mut order = Vec::new();
        for _ in 0..r.length()? {
            order.push(r.small()?);
        }
        Ok(Self { incarnation, seq, digest, heads, order, document: Bytes::copy_from_slice(r.rest()) })
    }

    /// Loads the document and sees that it is what is said of it. Gives it with its changes, whose actors are numbered as in the log.
    pub fn open(&self) -> Result<(Document, ChangeTable), SavedError> {
        let document = Document::load(&self.document)?;
        let mut heads = document.automerge().get_heads();
        heads.sort_unstable();
        if heads != self.heads {
            return Err(SavedError::Other("the saved document has other heads than it says"));
        }
        let table = ChangeTable::whole(document.hashes()?, &self.order, &heads);
        let table = table.ok_or(SavedError::Other("the saved document has other actors than it says"))?;
        if table.len() as u64 != self.seq.0 {
            return Err(SavedError::Other("the saved document holds another number of changes than the log there"));
        }
        Ok((document, table))
    }
}

fn array<const N: usize>(r: &mut Reader<'_>) -> Result<[u8; N], PackError> {
    Ok(r.take(N)?.try_into().expect("so many bytes were taken"))
}
