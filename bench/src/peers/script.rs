//! What a writer types into a document of a peer, made before anything is measured, and the proof that a reader has all of it.
//!
//! A place in a script counts its changes from 0. The same script may be typed into many documents.

use std::collections::BTreeMap;
use std::ops::Range;

use automerge::{Automerge, ChangeHash};
use sync_core::change::Change;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, GetString as _, Transact as _, Update};

use super::{Peer, yjs};
use crate::figures::Error;
use crate::typing;

/// Changes of one author to one text, a character each.
#[derive(Debug)]
pub(super) enum Script {
    /// Updates of Yjs, and the text that they make.
    Yjs { updates: Vec<Vec<u8>>, text: String },
    /// Changes of automerge; the first makes the text.
    Repo { changes: Vec<Change>, places: BTreeMap<ChangeHash, u64> },
}

impl Script {
    /// A text typed from its start to its end, in so many changes.
    pub(super) fn typing(peer: Peer, count: usize) -> Result<Self, Error> {
        if peer.is_yjs() {
            let (mut typist, mut text) = (yjs::Typist::new(), String::new());
            let mut updates = Vec::with_capacity(count);
            for number in 0..count {
                let letter = char::from(b'a' + (number % 26) as u8);
                text.push(letter);
                updates.push(typist.insert(number, letter)?);
            }
            return Ok(Self::Yjs { updates, text });
        }
        let (mut typist, first) = typing::begin(1)?;
        let mut changes = vec![first];
        changes.extend(typist.typed(count.saturating_sub(1))?);
        Ok(Self::repo(changes))
    }

    /// Changes of automerge, each after the one before.
    pub(super) fn repo(changes: Vec<Change>) -> Self {
        let places = changes.iter().zip(0..).map(|(change, place)| (change.hash(), place)).collect();
        Self::Repo { changes, places }
    }

    /// How many changes there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Yjs { updates, .. } => updates.len(),
            Self::Repo { changes, .. } => changes.len(),
        }
    }

    /// Where heads are in a linear history.
    pub(super) fn place(&self, heads: &[ChangeHash]) -> Option<u64> {
        match (self, heads) {
            (Self::Repo { places, .. }, [head]) => places.get(head).copied(),
            _ => None,
        }
    }

    /// The heads of who has the first `count` changes.
    pub(super) fn heads(&self, count: u64) -> Vec<ChangeHash> {
        self.hashes(count.saturating_sub(1)..count)
    }

    /// The hashes of a range.
    pub(super) fn hashes(&self, range: Range<u64>) -> Vec<ChangeHash> {
        let Self::Repo { changes, .. } = self else { return Vec::new() };
        let range = range.start.min(range.end) as usize..range.end as usize;
        changes.get(range).unwrap_or_default().iter().map(Change::hash).collect()
    }
}

/// A whole document beside a reader's ranges, that takes in the very bytes that came.
pub(super) enum Proof {
    Yjs(Doc),
    Repo(Box<Automerge>),
}

impl Proof {
    /// Nothing held yet.
    pub(super) fn new(peer: Peer) -> Self {
        if peer.is_yjs() { Self::Yjs(Doc::new()) } else { Self::Repo(Box::default()) }
    }

    /// Takes in an update, or a piece of a sync message.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Yjs(document) => document.transact_mut().apply_update(Update::decode_v1(bytes)?)?,
            Self::Repo(document) => drop(document.load_incremental(bytes)?),
        }
        Ok(())
    }

    /// Fails unless it holds all of a script and nothing else.
    pub(super) fn check(&self, script: &Script) -> Result<(), Error> {
        let same = match (self, script) {
            (Self::Yjs(document), Script::Yjs { text, .. }) => {
                document.get_or_insert_text(yjs::TEXT).get_string(&document.transact()) == *text
            }
            (Self::Repo(document), Script::Repo { changes, .. }) => {
                document.get_heads() == script.heads(changes.len() as u64)
            }
            _ => false,
        };
        if same { Ok(()) } else { Err("a reader ends up with another document than was written".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_all_passes_and_who_lacks_one_does_not() {
        for peer in [Peer::Hocuspocus, Peer::Samod] {
            let script = Script::typing(peer, 30).expect("it types");
            let bytes: Vec<&[u8]> = match &script {
                Script::Yjs { updates, .. } => updates.iter().map(Vec::as_slice).collect(),
                Script::Repo { changes, .. } => changes.iter().map(Change::bytes).collect(),
            };
            let (mut all, mut most) = (Proof::new(peer), Proof::new(peer));
            for (place, bytes) in bytes.iter().enumerate() {
                all.take(bytes).expect("it is taken");
                if place != 17 {
                    most.take(bytes).expect("it is taken");
                }
            }
            assert!(all.check(&script).is_ok(), "{}", peer.name());
            assert!(most.check(&script).is_err(), "{}", peer.name());
            assert_eq!(script.len(), 30);
        }
    }

    #[test]
    fn heads_have_a_place() {
        let script = Script::typing(Peer::Samod, 5).expect("it types");
        assert_eq!(script.heads(0), []);
        assert_eq!(script.place(&script.heads(1)), Some(0));
        assert_eq!(script.place(&script.heads(5)), Some(4));
        assert_eq!(script.place(&[]), None);
        assert_eq!(script.hashes(1..3).len(), 2);
    }
}
