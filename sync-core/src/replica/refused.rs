//! What a change that the server will not have would have made of the document, told as a conflict.
//!
//! Owns which place is told of it: the one place that it writes, or what holds all of them. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{Automerge, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue};
use sha2::{Digest as _, Sha256};

use super::local::{Local, Rejected};
use crate::change::Change;
use crate::conflict::{Candidate, Conflict, ConflictId, ConflictKind, ConflictState, PathPart, Spot, Steps, Value};
use crate::document::Document;
use crate::id::{ChangeHash, RESERVED_KEY};
use crate::limits::ChangeLimits;
use crate::reissue::{Base, hand, reissue};
use crate::settlement::stands;

/// A place with what stands there, and what would.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    path: Vec<PathPart>,
    there: Option<Value>,
    wanted: Option<Value>,
}

/// What was found of refused changes, each with the heads that it was found on.
pub(super) type Found = Vec<(ChangeHash, Vec<ChangeHash>, Refused)>;

impl Local {
    /// All that the server will not have, as conflicts.
    pub(super) fn refused(&mut self) -> Vec<Conflict> {
        let heads = self.document.automerge().get_heads();
        let mut known = std::mem::take(&mut self.refused);
        known.retain(|(_, on, _)| *on == heads);
        let (mut found, mut told) = (Found::new(), Vec::new());
        for Rejected { change, .. } in &self.rejected {
            let hash = change.hash();
            let refused = match known.iter().position(|(of, ..)| *of == hash) {
                Some(at) => known.swap_remove(at).2,
                None => self.wanted(change),
            };
            told.push(self.tell(change, refused.clone()));
            found.push((hash, heads.clone(), refused));
        }
        self.refused = found;
        told
    }

    fn tell(&self, change: &Change, refused: Refused) -> Conflict {
        let Refused { path, there, wanted } = refused;
        let author = self.author_of(change);
        let side = |value, shown| Candidate {
            value,
            actor: change.actor().clone(),
            author: author.clone(),
            time: change.time(),
            change: change.hash(),
            shown,
            mine: true,
            object: None,
        };
        let name = self.name.as_str();
        let digest = Sha256::new().chain_update(name).chain_update("rejected").chain_update(change.hash().0).finalize();
        Conflict {
            id: ConflictId(digest[..16].try_into().expect("a digest has more than 16 bytes")),
            version: 1,
            path,
            kind: ConflictKind::Rejected,
            base: there.clone(),
            candidates: vec![side(there, true), side(wanted, false)],
            steps: Steps::FromBase,
            hidden: BTreeMap::from([(change.actor().clone(), change.seq())]),
            agreeing: BTreeMap::new(),
            state: ConflictState::Open,
            // Nobody answers it at its place.
            spot: Spot::default(),
            marking: None,
            agrees: false,
        }
    }

    /// Whom the actor names in its first change, wherever that is.
    fn author_of(&self, change: &Change) -> Option<Vec<u8>> {
        let rejected = self.rejected.iter().map(|rejected| &rejected.change);
        let mut first = rejected.filter(|other| other.seq() == 1 && other.actor() == change.actor());
        let named = first.next().and_then(|first| first.automerge().author());
        named.or_else(|| self.document.author(change.actor())).map(|author| author.as_bytes().to_vec())
    }

    /// What a change would have made of where it writes, on top of all that is held.
    fn wanted(&self, change: &Change) -> Refused {
        let document = self.document.automerge();
        let operations = change.automerge().decode().operations;
        let places = places(document, change, &operations);
        let path = places.iter().skip(1).fold(places.first().cloned().unwrap_or_default(), |path, place| {
            let alike = path.iter().zip(place).take_while(|(one, other)| one == other).count();
            path[..alike].to_vec()
        });
        let there = value(document, &path, &places);
        let wanted = match self.with(change) {
            Some(with) => value(with.automerge(), &path, &places),
            None => said(&operations),
        };
        Refused { path, there, wanted }
    }

    /// The document as it would be with a change written again on top of it; `None` if nothing of it can stand there.
    fn with(&self, change: &Change) -> Option<Document> {
        let nothing = BTreeSet::new();
        let base = Base { table: &self.all, index: &self.index, max_op: self.index.highest_op(), authors: &[] };
        let nobody = hand(change.actor(), Some(&change.hash().0));
        let again = reissue(std::slice::from_ref(change), &nothing, base, nobody, &ChangeLimits::stored()).ok()?;
        if again.changes.is_empty() {
            return None;
        }
        let mut document = self.document.clone();
        document.apply(again.changes).ok()?;
        Some(document)
    }
}

/// Where a change writes: keys of maps, and lists and texts as wholes. What it writes in an object of its own is where that stands.
fn places(document: &Automerge, change: &Change, operations: &[Op]) -> Vec<Vec<PathPart>> {
    let mut places: Vec<Vec<PathPart>> = Vec::new();
    for op in operations {
        let object = match &op.obj {
            ObjectId::Root => ObjId::Root,
            ObjectId::Id(id) if id.actor() == change.actor() && id.counter() >= change.start_op() => continue,
            ObjectId::Id(id) => ObjId::Id(id.counter(), id.actor().clone(), 0),
        };
        let mut path = path_of(document, &object);
        if let (Some(path), Key::Map(key)) = (&mut path, &op.key) {
            path.push(PathPart::Key(key.to_string()));
        }
        // It may be gone.
        let path = path.unwrap_or_default();
        if places.last() != Some(&path) {
            places.push(path);
        }
    }
    places
}

fn path_of(document: &Automerge, object: &ObjId) -> Option<Vec<PathPart>> {
    let parents = document.parents(object).ok()?;
    let mut path: Vec<PathPart> = parents
        .map(|parent| match parent.prop {
            Prop::Map(key) => PathPart::Key(key),
            Prop::Seq(index) => PathPart::Index(index),
        })
        .collect();
    path.reverse();
    Some(path)
}

/// What stands at a path; of the document itself, what stands at the keys that are written.
fn value(document: &Automerge, path: &[PathPart], places: &[Vec<PathPart>]) -> Option<Value> {
    if !path.is_empty() {
        return stands(document, path, None);
    }
    let mut entries = BTreeMap::new();
    for step in places.iter().filter_map(|place| place.first()) {
        if let PathPart::Key(key) = step
            && key != RESERVED_KEY
            && let Some(there) = stands(document, std::slice::from_ref(step), None)
        {
            entries.insert(key.clone(), there);
        }
    }
    (!entries.is_empty()).then_some(Value::Map(entries))
}

/// What operations say by themselves, where nothing of them can stand any more.
fn said(operations: &[Op]) -> Option<Value> {
    let mut typed = String::new();
    for op in operations.iter().filter(|op| op.insert) {
        if let Some(ScalarValue::Str(text)) = op.primitive_value() {
            typed.push_str(&text);
        }
    }
    if !typed.is_empty() {
        return Some(Value::Text(typed));
    }
    operations.iter().find_map(|op| match &op.action {
        OpType::Make(ObjType::Text) => Some(Value::Text(String::new())),
        OpType::Make(ObjType::List) => Some(Value::List(Vec::new())),
        OpType::Make(_) => Some(Value::Map(BTreeMap::new())),
        _ => op.primitive_value().map(Value::Scalar),
    })
}
