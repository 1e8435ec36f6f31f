//! One change: automerge's own bytes, parsed once, with what the engine asks of it.
//!
//! Owns the guarded way from bytes to a parsed change. Whether the change may enter a document is the validator's business.

mod form;
mod scan;

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::Op;

use crate::id::{ActorId, ChangeHash};
use crate::limits::ChangeLimits;

pub use form::Form;
pub(crate) use scan::Counts;
pub use scan::ScanError;

/// A parsed change, with its hash verified. Cloning copies its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change(automerge::Change);

/// Why bytes are no change that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The chunk was refused before parsing: its shape, columns or run lengths are out of bounds.
    #[error("refused before parsing: {0}")]
    Scan(#[from] ScanError),
    /// Its checksum does not fit its contents.
    #[error("its checksum does not fit")]
    Checksum,
    /// automerge does not parse it.
    #[error("no automerge change: {0}")]
    Parse(String),
    /// A number does not fit what the engine counts with.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

impl Change {
    /// Parses one uncompressed change chunk. Bounds are checked on the raw columns first, since parsing expands them.
    pub fn parse(bytes: &[u8], limits: &ChangeLimits) -> Result<Self, ChangeError> {
        Self::parse_counted(bytes, limits).map(|(change, _)| change)
    }

    /// The same, with what was counted.
    pub(crate) fn parse_counted(bytes: &[u8], limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError> {
        let counts = scan::scan(bytes, limits)?.counts;
        // automerge panics on some column contents that only a hostile writer makes.
        let parsed = catch_unwind(AssertUnwindSafe(|| automerge::Change::try_from(bytes)));
        let change = match parsed {
            Ok(Ok(change)) => change,
            Ok(Err(e)) => return Err(ChangeError::Parse(e.to_string())),
            Err(_) => return Err(ChangeError::Parse("the parser gave up".into())),
        };
        let change = Self::from_automerge(change)?;
        if change.checksum_fits() { Ok((change, counts)) } else { Err(ChangeError::Checksum) }
    }

    /// Checks the bounds that [`Change::parse`] checks, for a change that came another way, and says in which form it is written.
    pub fn check_bounds(&self, limits: &ChangeLimits) -> Result<Form, ScanError> {
        scan::scan(self.bytes(), limits)
    }

    /// Takes a change that this process's own automerge made or parsed.
    pub fn from_automerge(change: automerge::Change) -> Result<Self, ChangeError> {
        if change.seq() == 0 || u32::try_from(change.seq()).is_err() {
            return Err(ChangeError::OutOfRange("seq"));
        }
        Ok(Self(change))
    }

    /// Whether its checksum is that of its contents, which automerge compares in documents alone.
    fn checksum_fits(&self) -> bool {
        self.bytes().get(4..8) == Some(&self.hash().0[..4])
    }

    /// Its SHA-256 name.
    pub fn hash(&self) -> ChangeHash {
        self.0.hash()
    }

    /// Who wrote it.
    pub fn actor(&self) -> &ActorId {
        self.0.actor_id()
    }

    /// Its number among its actor's changes, from 1.
    pub fn seq(&self) -> u32 {
        // Checked when it was made.
        self.0.seq() as u32
    }

    /// The changes it was made on top of.
    pub fn deps(&self) -> &[ChangeHash] {
        self.0.deps()
    }

    /// Counter of its first operation.
    pub fn start_op(&self) -> u64 {
        self.0.start_op().get()
    }

    /// Counter of its last operation; `start_op - 1` if it is empty.
    pub fn max_op(&self) -> u64 {
        self.0.max_op()
    }

    /// Number of its operations.
    pub fn operations(&self) -> usize {
        self.0.len()
    }

    /// The author's clock when it was made, in milliseconds since 1970.
    pub fn time(&self) -> i64 {
        self.0.timestamp()
    }

    /// Its uncompressed chunk.
    pub fn bytes(&self) -> &[u8] {
        self.0.raw_bytes()
    }

    /// The automerge change itself.
    pub fn automerge(&self) -> &automerge::Change {
        &self.0
    }

    /// Gives up the automerge change.
    pub fn into_automerge(self) -> automerge::Change {
        self.0
    }
}

/// A change's operations, decoded.
#[derive(Clone, Debug)]
pub struct Operations(pub(crate) Vec<Op>);

impl Operations {
    /// Those of a change that the validator has accepted: what it has not may make automerge panic.
    pub fn of(change: &Change) -> Self {
        Self(change.0.decode().operations)
    }
}
