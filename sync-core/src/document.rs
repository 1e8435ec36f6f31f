//! The automerge document of one replica, with automerge's panics kept at the door, and the fixed changes that create root keys.
//!
//! Owns every call that applies or re-applies changes. Knows nothing of logs, outboxes or connections.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Author, Automerge, AutomergeError, LoadOptions, ObjType, ROOT, ReadDoc, ScalarValue, TextEncoding};
use sha2::{Digest as _, Sha256};

use crate::change::Change;
use crate::id::{ActorId, AuthorName, ChangeHash};

/// How an init actor's bytes begin. Whoever uses such an actor must bring exactly the change it stands for.
const INIT_ACTOR_PREFIX: &[u8; 4] = b"init";

/// Why a document could not take or give changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// automerge refused.
    #[error("automerge: {0}")]
    Automerge(String),
    /// automerge panicked; the document may be damaged and must be rebuilt from its changes.
    #[error("automerge gave up")]
    Panicked,
}

/// What a root key holds when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitValue {
    /// An empty map.
    Map,
    /// An empty list.
    List,
    /// An empty text.
    Text,
    /// A counter with a start value.
    Counter(i64),
}

/// An automerge document. Text positions count Unicode code points.
#[derive(Clone)]
pub struct Document {
    held: Automerge,
    /// Changes that are part of the document and not applied yet. They stand on what is applied and on each other, in this order.
    waiting: Vec<Change>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} heads, {} waiting)", self.held.get_heads().len(), self.waiting.len())
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// The empty document.
    pub fn new() -> Self {
        let held = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        Self { held, waiting: Vec::new() }
    }

    /// The document that these changes make, applied as one batch.
    pub fn from_changes(changes: Vec<Change>) -> Result<Self, DocumentError> {
        let mut document = Self::new();
        document.apply(changes)?;
        Ok(document)
    }

    /// Loads a saved document, proving its heads. Only for bytes of one's own store or of a trusted server: what a hostile writer saves can
    /// inflate to any size.
    pub fn load(saved: &[u8]) -> Result<Self, DocumentError> {
        let load = || {
            let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
            Automerge::load_with_options(saved, options)
        };
        match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(held)) => Ok(Self { held, waiting: Vec::new() }),
            Ok(Err(e)) => Err(DocumentError::Automerge(e.to_string())),
            Err(_) => Err(DocumentError::Panicked),
        }
    }

    /// The document as automerge saves it.
    pub fn save(&self) -> Result<Vec<u8>, DocumentError> {
        if !self.waiting.is_empty() {
            return self.whole()?.save();
        }
        catch_unwind(AssertUnwindSafe(|| self.held.save())).map_err(|_| DocumentError::Panicked)
    }

    /// The hashes of all changes, seq 1 first, of each actor, sorted by their bytes.
    pub fn hashes(&self) -> Result<Vec<(ActorId, Vec<ChangeHash>)>, DocumentError> {
        if !self.waiting.is_empty() {
            return self.whole()?.hashes();
        }
        let all = catch_unwind(AssertUnwindSafe(|| self.held.get_changes_meta(&[])));
        let mut out: Vec<(ActorId, Vec<ChangeHash>)> = Vec::new();
        // In causal order, in which an actor's changes come by their seq.
        for change in all.map_err(|_| DocumentError::Panicked)? {
            let found = out.binary_search_by(|(actor, _)| actor.cmp(&change.actor));
            let at = found.unwrap_or_else(|at| {
                out.insert(at, (change.actor.into_owned(), Vec::new()));
                at
            });
            let (_, hashes) = &mut out[at];
            hashes.push(change.hash);
            if hashes.len() as u64 != change.seq {
                return Err(DocumentError::Automerge("an actor's changes are out of order".into()));
            }
        }
        Ok(out)
    }

    /// Applies changes as one batch, with those that wait. All deps must be in the document or in the batch. After
    /// [`DocumentError::Panicked`] rebuild it.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<(), DocumentError> {
        let all = std::mem::take(&mut self.waiting).into_iter().chain(changes);
        let changes: Vec<_> = all.map(Change::into_automerge).collect();
        match catch_unwind(AssertUnwindSafe(|| self.held.apply_changes(changes))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(DocumentError::Automerge(e.to_string())),
            Err(_) => Err(DocumentError::Panicked),
        }
    }

    /// Takes changes that are applied with the next ones, or when somebody asks for it. Edits are made without them meanwhile.
    pub fn hold(&mut self, changes: Vec<Change>) {
        self.waiting.extend(changes);
    }

    /// A copy in which nothing waits.
    fn whole(&self) -> Result<Self, DocumentError> {
        let mut whole = self.clone();
        whole.apply(Vec::new())?;
        Ok(whole)
    }

    /// How many changes wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// All changes, in causal order, those that wait too.
    pub fn changes(&self) -> Result<Vec<Change>, DocumentError> {
        let all = catch_unwind(AssertUnwindSafe(|| self.held.get_changes(&[]))).map_err(|_| DocumentError::Panicked)?;
        let applied =
            all.into_iter().map(|c| Change::from_automerge(c).map_err(|e| DocumentError::Automerge(e.to_string())));
        applied.chain(self.waiting.iter().cloned().map(Ok)).collect()
    }

    /// An applied change. It is made anew of its operations: of many it is quicker to ask for all changes.
    pub fn change(&self, hash: &ChangeHash) -> Result<Change, DocumentError> {
        let found = catch_unwind(AssertUnwindSafe(|| self.held.get_change_by_hash(hash)));
        let unknown = || DocumentError::Automerge("there is no such change".into());
        let change = found.map_err(|_| DocumentError::Panicked)?.ok_or_else(unknown)?;
        Change::from_automerge(change).map_err(|e| DocumentError::Automerge(e.to_string()))
    }

    /// Changes that are none of these and none that they stand on, in causal order.
    pub fn changes_since(&self, held: impl IntoIterator<Item = ChangeHash>) -> Result<Vec<Change>, DocumentError> {
        if !self.waiting.is_empty() {
            return self.whole()?.changes_since(held);
        }
        let held: Vec<_> = held.into_iter().collect();
        let new =
            catch_unwind(AssertUnwindSafe(|| self.held.get_changes(&held))).map_err(|_| DocumentError::Panicked)?;
        new.into_iter()
            .map(|c| Change::from_automerge(c).map_err(|e| DocumentError::Automerge(e.to_string())))
            .collect()
    }

    /// Has actors that begin to write here from now on name an author, or none.
    pub fn sign(&mut self, author: Option<&AuthorName>) {
        if self.held.get_author().map(Author::as_bytes) != author.map(|author| author.as_str().as_bytes()) {
            // automerge takes an actor at random with it, which writes nothing: each edit says whose it is.
            self.held.set_author(author.map(|author| Author::from(author.as_str().as_bytes().to_vec())));
        }
    }

    /// The author that an actor names; its first change says so.
    pub fn author(&self, actor: &ActorId) -> Option<Author<'_>> {
        let applied = self.held.get_author_for_actor(actor);
        let first = |change: &&Change| change.seq() == 1 && change.actor() == actor;
        applied.or_else(|| self.waiting.iter().find(first)?.automerge().author())
    }

    /// Edits the document in one transaction as `actor`, with `time` in milliseconds since 1970. Gives the change, if anything was
    /// edited; on an error of `edit` nothing is.
    pub fn edit<R>(
        &mut self,
        actor: &ActorId,
        time: i64,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> Result<(R, Option<Change>), EditFailure> {
        self.held.set_actor(actor.clone());
        let mut transaction = self.held.transaction();
        let result = match edit(&mut transaction) {
            Ok(result) => result,
            Err(e) => {
                transaction.rollback();
                return Err(EditFailure::Application(e.to_string()));
            }
        };
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        if hash.is_none() {
            return Ok((result, None));
        }
        let change = self.held.get_last_local_change().ok_or(EditFailure::Lost)?;
        let change = Change::from_automerge(change).map_err(|_| EditFailure::Lost)?;
        Ok((result, Some(change)))
    }

    /// The automerge document, for reading, without what waits.
    pub fn automerge(&self) -> &Automerge {
        &self.held
    }
}

/// Why an edit came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditFailure {
    /// The application's closure failed; its edits were rolled back.
    #[error("{0}")]
    Application(String),
    /// automerge does not give the change back.
    #[error("the change could not be read back")]
    Lost,
}

/// Whether an actor stands for a fixed change.
pub fn is_init_actor(actor: &ActorId) -> bool {
    actor.to_bytes().starts_with(INIT_ACTOR_PREFIX)
}

/// The fixed change that creates a root key: the same bytes on every device, so that all hold the same object.
pub fn init_change(key: &str, value: InitValue) -> Result<Change, DocumentError> {
    let mut hasher = Sha256::new().chain_update((key.len() as u64).to_be_bytes()).chain_update(key.as_bytes());
    hasher.update(match value {
        InitValue::Map => [0; 9],
        InitValue::List => [1, 0, 0, 0, 0, 0, 0, 0, 0],
        InitValue::Text => [2, 0, 0, 0, 0, 0, 0, 0, 0],
        InitValue::Counter(start) => {
            let mut bytes = [3; 9];
            bytes[1..].copy_from_slice(&start.to_be_bytes());
            bytes
        }
    });
    let mut actor = INIT_ACTOR_PREFIX.to_vec();
    actor.extend_from_slice(&hasher.finalize()[..12]);
    let put = |tx: &mut Transaction<'_>| match value {
        InitValue::Map => tx.put_object(ROOT, key, ObjType::Map).map(drop),
        InitValue::List => tx.put_object(ROOT, key, ObjType::List).map(drop),
        InitValue::Text => tx.put_object(ROOT, key, ObjType::Text).map(drop),
        InitValue::Counter(start) => tx.put(ROOT, key, ScalarValue::counter(start)),
    };
    let failed = |e: EditFailure| DocumentError::Automerge(e.to_string());
    let (_, change) = Document::new().edit(&ActorId::from(actor), 0, put).map_err(failed)?;
    change.ok_or_else(|| DocumentError::Automerge("nothing was created".into()))
}

/// Whether a change by an init actor is exactly the change that the actor stands for.
pub fn is_init_change(change: &Change) -> bool {
    let expanded = change.automerge().decode();
    let [operation] = expanded.operations.as_slice() else { return false };
    let automerge::legacy::Key::Map(key) = &operation.key else { return false };
    let value = match &operation.action {
        automerge::legacy::OpType::Make(ObjType::Map) => InitValue::Map,
        automerge::legacy::OpType::Make(ObjType::List) => InitValue::List,
        automerge::legacy::OpType::Make(ObjType::Text) => InitValue::Text,
        automerge::legacy::OpType::Put(ScalarValue::Counter(counter)) => InitValue::Counter(counter.into()),
        _ => return false,
    };
    init_change(key, value).is_ok_and(|expected| expected.hash() == change.hash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_is_the_same_everywhere_and_only_itself() {
        let map = init_change("items", InitValue::Map).expect("a key");
        assert_eq!(map.bytes(), init_change("items", InitValue::Map).expect("a key").bytes());
        assert!(is_init_actor(map.actor()) && is_init_change(&map));
        for other in [("items", InitValue::List), ("item", InitValue::Map), ("items", InitValue::Counter(0))] {
            let other = init_change(other.0, other.1).expect("a key");
            assert_ne!(other.actor(), map.actor());
            assert!(is_init_change(&other));
        }
        let put = |tx: &mut Transaction<'_>| tx.put(ROOT, "items", 1);
        let (_, forged) = Document::new().edit(map.actor(), 0, put).expect("an edit");
        assert!(!is_init_change(&forged.expect("a change")));
    }

    #[test]
    fn what_waits_is_held_and_shown_once_it_is_applied() {
        let (ann, bob) = (ActorId::from([1; 16]), ActorId::from([2; 16]));
        let edit = |document: &mut Document, actor: &ActorId, key: &str| {
            let (_, change) = document.edit(actor, 0, |tx| tx.put(ROOT, key, 1)).expect("an edit");
            change.expect("a change")
        };
        let mut other = Document::new();
        let came = [edit(&mut other, &bob, "first"), edit(&mut other, &bob, "second")];
        let mut document = Document::new();
        document.hold(came.to_vec());
        let own = edit(&mut document, &ann, "own");
        assert!(own.deps().is_empty(), "an edit does not stand on what it has not seen");
        assert_eq!(document.changes().expect("readable").len(), 3);
        assert_eq!(document.changes_since([own.hash()]).expect("readable").len(), 2);
        assert_eq!((document.automerge().length(ROOT), document.waiting()), (1, 2));
        document.apply(Vec::new()).expect("they fit");
        assert_eq!((document.automerge().length(ROOT), document.waiting()), (3, 0));
    }

    #[test]
    fn a_failing_edit_leaves_nothing() {
        let mut document = Document::new();
        let actor = ActorId::from([7; 16]);
        let fails = |tx: &mut Transaction<'_>| {
            tx.put(ROOT, "a", 1)?;
            tx.put(automerge::ObjId::Root, 3usize, 1)
        };
        assert!(document.edit(&actor, 0, fails).is_err());
        assert_eq!(document.changes().expect("readable").len(), 0);
        let (_, change) = document.edit(&actor, 5, |tx| tx.put(ROOT, "a", 1)).expect("an edit");
        assert_eq!(change.map(|c| (c.seq(), c.time())), Some((1, 5)));
    }
}
