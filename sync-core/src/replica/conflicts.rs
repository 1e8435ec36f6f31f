//! The conflicts of an open document as this device sees them: which sides are its own, and what the server refused.
//!
//! Owns how a refused change is read, of which nothing is in the document. What else is a conflict is `crate::conflict`'s.

use std::collections::BTreeMap;

use automerge::legacy::{self, Key, ObjectId, Op, OpType};
use automerge::{Automerge, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue};
use sha2::{Digest as _, Sha256};

use crate::change::Change;
use crate::conflict::{Candidate, Conflict, ConflictId, ConflictKind, ConflictState, PathPart, Value};
use crate::document::InitValue;
use crate::id::{ChangeHash, DocumentName};
use crate::replica::local::{Local, Rejected};
use crate::replica::{ChangeId, DocumentId, EditError, Replica};
use crate::settlement::{self, Answer, AnswerError, Standing};
use crate::table::Place;
use crate::time::{Instant, WallTime};

/// A conflict with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What has met.
    pub conflict: Conflict,
    /// What the document says of it.
    pub standing: Standing,
    /// The change that settled it, if it is settled.
    pub settled_by: Option<ChangeHash>,
    /// What stood there once it was settled.
    pub answer: Option<Value>,
}

/// Why a conflict was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The answer does not fit.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Replica {
    /// All conflicts of a document; those of what the server refused last. Empty until it is ready.
    pub fn conflicts(&self, id: DocumentId) -> Vec<Listed> {
        self.local(id).map(Local::list_conflicts).unwrap_or_default()
    }

    /// Answers a conflict of which `version` was looked at, for everybody.
    pub fn resolve(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        (conflict, version): (ConflictId, u64),
        answer: &Answer,
        note: Option<String>,
    ) -> Result<ChangeId, ResolveError> {
        let found = self.conflicts(id).into_iter().find(|listed| listed.conflict.id == conflict);
        let found = found.ok_or(AnswerError::Gone(conflict))?.conflict;
        let plan = settlement::plan(&found, version, answer, note)?;
        // The same change on every device, so that two who answer offline write into one map.
        self.init(now, id, settlement::ROOT_KEY, InitValue::Map)?;
        Ok(self.change(now, wall, id, |tx| plan.write(tx))?.1)
    }

    /// Takes an answer back: the conflict is open again. What the answer wrote stays until there is another.
    pub fn reopen(&mut self, now: Instant, wall: WallTime, id: DocumentId, conflict: ConflictId) -> Result<ChangeId, ResolveError> {
        let (is_reopened, change) = self.change(now, wall, id, |tx| settlement::reopen(tx, &conflict))?;
        if is_reopened { Ok(change) } else { Err(AnswerError::Gone(conflict).into()) }
    }
}

impl Local {
    fn list_conflicts(&self) -> Vec<Listed> {
        let automerge = self.document.automerge();
        let mut conflicts = self.conflicts.list(&self.name, automerge, &self.all, &self.index);
        for candidate in conflicts.iter_mut().flat_map(|conflict| &mut conflict.candidates) {
            candidate.mine = candidate.actor == self.actor || self.own_actors.values().any(|own| *own == candidate.actor);
        }
        conflicts.extend(self.rejected.iter().map(|rejected| refused(&self.name, automerge, rejected)));
        conflicts.into_iter().map(|conflict| self.stand(conflict)).collect()
    }

    /// With what the document says of it.
    fn stand(&self, mut conflict: Conflict) -> Listed {
        let automerge = self.document.automerge();
        let standing = settlement::standing(automerge, &conflict);
        let mut listed = Listed { conflict: conflict.clone(), standing, settled_by: None, answer: None };
        match &listed.standing {
            Standing::Settled(settled) => {
                listed.settled_by = self.change_of(&settled.written);
                let heads: Vec<ChangeHash> = listed.settled_by.into_iter().collect();
                listed.answer = settlement::stands(automerge, &conflict.path, Some(&heads));
            }
            Standing::Reopened => {
                conflict.state = ConflictState::Open;
                listed.conflict = conflict;
            }
            Standing::Unanswered => {}
        }
        listed
    }

    /// The change that wrote an operation.
    fn change_of(&self, operation: &ObjId) -> Option<ChangeHash> {
        let ObjId::Id(counter, actor, _) = operation else { return None };
        let number = self.all.number(actor)?;
        let seq = self.index.past().seq_of(number, u32::try_from(*counter).ok()?);
        self.all.hash_at(Place { actor: number, seq })
    }
}

/// A refused change as a conflict, at the place that holds all that it wrote.
fn refused(name: &DocumentName, document: &Automerge, rejected: &Rejected) -> Conflict {
    let change = &rejected.change;
    let mut written = Written { document, made: BTreeMap::new(), values: BTreeMap::new() }.read(change);
    let path = common(written.keys().map(Vec::as_slice));
    let value = match written.len() {
        1 => written.pop_first().and_then(|(_, value)| value),
        _ => Some(Value::Map(
            written.into_iter().filter_map(|(at, value)| Some((words(at.get(path.len()..)?), value?))).collect(),
        )),
    };
    let candidate = Candidate {
        value,
        actor: change.actor().clone(),
        author: change.automerge().author().map(|author| author.as_bytes().to_vec()),
        time: change.time(),
        change: change.hash(),
        shown: false,
        mine: true,
        object: None,
    };
    let base = settlement::stands(document, &path, None);
    let kind = ConflictKind::Rejected;
    let mut hasher = Sha256::new();
    hasher.update(name.as_str());
    hasher.update(kind.name());
    hasher.update(change.hash().0);
    let id = ConflictId(hasher.finalize()[..16].try_into().expect("a digest has more than 16 bytes"));
    Conflict { id, version: 1, path, kind, base, candidates: vec![candidate], state: ConflictState::Open }
}

/// What a change writes, place by place; `None` where it removes.
struct Written<'a> {
    document: &'a Automerge,
    /// Objects that it makes itself.
    made: BTreeMap<ObjectId, (Vec<PathPart>, ObjType)>,
    values: BTreeMap<Vec<PathPart>, Option<Value>>,
}

impl Written<'_> {
    fn read(mut self, change: &Change) -> BTreeMap<Vec<PathPart>, Option<Value>> {
        let start = change.start_op();
        for (counter, op) in (start..).zip(&change.automerge().decode().operations) {
            let id = ObjectId::Id(legacy::OpId(counter, change.actor().clone()));
            let Some((mut path, kind)) = self.object(&op.obj) else { continue };
            match &op.key {
                Key::Map(key) => {
                    path.push(PathPart::Key(key.to_string()));
                    self.write(id, path, op);
                }
                Key::Seq(_) => self.insert(id, path, kind, op),
            }
        }
        self.values
    }

    /// Where an object stands, and what it is; `None` if no path leads to it.
    fn object(&self, object: &ObjectId) -> Option<(Vec<PathPart>, ObjType)> {
        if let Some((path, kind)) = self.made.get(object) {
            return Some((path.clone(), *kind));
        }
        let ObjectId::Id(id) = object else { return Some((Vec::new(), ObjType::Map)) };
        let (object, kind) = self.document.import(&id.to_string()).ok()?;
        let mut path: Vec<PathPart> = Vec::new();
        for parent in self.document.parents(&object).ok()? {
            path.push(match parent.prop {
                Prop::Map(key) => PathPart::Key(key),
                Prop::Seq(index) => PathPart::Index(index),
            });
        }
        path.reverse();
        Some((path, kind))
    }

    fn write(&mut self, id: ObjectId, path: Vec<PathPart>, op: &Op) {
        match &op.action {
            OpType::Make(kind) => self.make(id, path, *kind),
            OpType::Put(value) => void(self.values.insert(path, Some(Value::Scalar(value.clone())))),
            OpType::Increment(by) => void(self.values.insert(path, Some(Value::Scalar(ScalarValue::Int(*by))))),
            OpType::Delete => void(self.values.insert(path, None)),
            OpType::MarkBegin(_) | OpType::MarkEnd(_) => {}
        }
    }

    /// Of a list or text that was there only what is inserted is told, since where it would stand is nobody's to say.
    fn insert(&mut self, id: ObjectId, path: Vec<PathPart>, kind: ObjType, op: &Op) {
        let empty = if kind == ObjType::Text { Value::Text(String::new()) } else { Value::List(Vec::new()) };
        let held = self.values.entry(path.clone()).or_insert(Some(empty));
        match (&op.action, held) {
            (OpType::Put(ScalarValue::Str(letters)), Some(Value::Text(text))) => text.push_str(letters),
            (OpType::Put(value), Some(Value::List(items))) => items.push(Value::Scalar(value.clone())),
            (OpType::Make(kind), Some(Value::List(items))) => {
                let within = [path, vec![PathPart::Index(items.len())]].concat();
                items.push(Value::Map(BTreeMap::new()));
                self.made.insert(id, (within, *kind));
            }
            _ => {}
        }
    }

    fn make(&mut self, id: ObjectId, path: Vec<PathPart>, kind: ObjType) {
        let empty = match kind {
            ObjType::Text => Value::Text(String::new()),
            ObjType::List => Value::List(Vec::new()),
            ObjType::Map | ObjType::Table => Value::Map(BTreeMap::new()),
        };
        self.values.insert(path.clone(), Some(empty));
        self.made.insert(id, (path, kind));
    }
}

fn void<T>(_: T) {}

/// What all of these paths begin with.
fn common<'a>(mut paths: impl Iterator<Item = &'a [PathPart]>) -> Vec<PathPart> {
    let first = paths.next().unwrap_or_default();
    let shared = |a: &[PathPart], b: &[PathPart]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let length = paths.fold(first.len(), |length, path| length.min(shared(&first[..length], path)));
    first[..length].to_vec()
}

fn words(path: &[PathPart]) -> String {
    let step = |step: &PathPart| match step {
        PathPart::Key(key) => key.clone(),
        PathPart::Index(index) => index.to_string(),
    };
    path.iter().map(step).collect::<Vec<_>>().join("/")
}
