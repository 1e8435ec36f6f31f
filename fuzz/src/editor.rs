//! An editor that does at random what users do, on several replicas of one document.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use sync_core::rng::Rng;

use crate::undo::undo;

/// The actor with a number.
pub fn actor(number: u64) -> ActorId {
    let mut bytes = [0; 16];
    // Spread, so that the order of actors is not that of their making.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    ActorId::from(bytes)
}

/// Several replicas of one document, edited at random with every operation there is.
pub struct Editor {
    /// Where choices come from.
    pub rng: Rng,
    /// The replicas.
    pub docs: Vec<AutoCommit>,
    /// How many changes undid another.
    pub undone: u64,
    objects: Vec<(ObjId, ObjType)>,
    actors: u64,
    habits: Habits,
}

/// What an editor does beside editing.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How often, per mille of its steps, a replica takes in another. Few meetings make long branches.
    pub merges: u64,
    /// How often, per mille of its steps, a replica edits at old heads of its own.
    pub forks: u64,
    /// How often, per mille of its commits, it undoes at once what the last one did, or a few of the last ones.
    pub undoes: u64,
}

impl Habits {
    /// Merges often and undoes nothing.
    pub const PLAIN: Self = Self { merges: 100, forks: 50, undoes: 0 };
    /// Branches of hundreds of changes, and undo.
    pub const LONG_BRANCHES: Self = Self { merges: 4, forks: 4, undoes: 150 };
}

const KEYS: [&str; 5] = ["a", "b", "title", "ünïcode", "count"];

impl Editor {
    /// As many replicas of a document with a text and a list.
    pub fn new(seed: u64, replicas: u64) -> Self {
        let mut first = AutoCommit::new().with_actor(actor(0));
        let text = first.put_object(ROOT, "text", ObjType::Text).expect("a new key");
        let list = first.put_object(ROOT, "list", ObjType::List).expect("a new key");
        first.commit();
        let mut docs: Vec<AutoCommit> = (1..replicas).map(|n| first.fork().with_actor(actor(n))).collect();
        docs.push(first);
        let objects = vec![(ROOT, ObjType::Map), (text, ObjType::Text), (list, ObjType::List)];
        Self { rng: Rng::from_number(seed), docs, undone: 0, objects, actors: replicas, habits: Habits::PLAIN }
    }

    /// The same with other habits.
    pub fn with_habits(self, habits: Habits) -> Self {
        Self { habits, ..self }
    }

    /// Goes on from a document that others have made, under an actor of its own.
    pub fn resume(seed: u64, doc: AutoCommit) -> Self {
        let mut objects = vec![(ROOT, ObjType::Map)];
        let mut next = 0;
        while let Some((object, kind)) = objects.get(next).cloned() {
            let values: Vec<_> = match kind {
                ObjType::Map | ObjType::Table => doc.map_range(&object, ..).map(|item| item.id()).collect(),
                ObjType::List => doc.list_range(&object, ..).map(|item| item.id()).collect(),
                ObjType::Text => Vec::new(),
            };
            objects.extend(values.into_iter().filter_map(|id| doc.object_type(&id).ok().map(|kind| (id, kind))));
            next += 1;
        }
        Self {
            rng: Rng::from_number(seed),
            docs: vec![doc],
            undone: 0,
            objects,
            actors: 1 << 40,
            habits: Habits::PLAIN,
        }
    }

    /// Edits its only document `edits` times, without a commit.
    pub fn edit(&mut self, edits: usize) {
        for _ in 0..edits {
            self.edit_somewhere(0);
        }
    }

    /// Makes `steps` steps and gives all changes in a causal order; fewer where automerge itself gives up on the history.
    pub fn run(&mut self, steps: usize) -> Vec<automerge::Change> {
        for _ in 0..steps {
            let before = self.docs.clone();
            if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
                self.docs = before;
            }
        }
        let mut all: Vec<automerge::Change> = Vec::new();
        let mut held = std::collections::BTreeSet::new();
        // By hand instead of by merge, which panics on some honest histories.
        let mut open: Vec<automerge::Change> = self.docs.iter_mut().flat_map(|doc| doc.get_changes(&[])).collect();
        while !open.is_empty() {
            let (ready, later): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|change| change.deps().iter().all(|dep| held.contains(dep)));
            assert!(!ready.is_empty(), "a history is causally closed");
            for change in ready {
                if held.insert(change.hash()) {
                    all.push(change);
                }
            }
            open = later;
        }
        all
    }

    fn step(&mut self) {
        let which = self.rng.below(self.docs.len() as u64) as usize;
        let Habits { merges, forks, .. } = self.habits;
        match self.rng.below(1000) {
            dice if dice < merges => {
                let from = self.rng.below(self.docs.len() as u64) as usize;
                if from != which {
                    // A clone would commit what is pending a second time, under the same actor and seq.
                    self.docs[from].commit();
                    let mut other = self.docs[from].clone();
                    self.docs[which].merge(&mut other).expect("replicas merge");
                }
            }
            dice if dice < merges + forks => self.fork_at(which),
            dice if dice < merges + forks + 150 => self.commit(which),
            _ => self.edit_somewhere(which),
        }
    }

    fn edit_somewhere(&mut self, which: usize) {
        let (object, kind) = self.objects[self.rng.below(self.objects.len() as u64) as usize].clone();
        if self.docs[which].object_type(&object).is_ok() {
            match kind {
                ObjType::Map | ObjType::Table => self.edit_map(which, &object),
                ObjType::List => self.edit_list(which, &object),
                ObjType::Text => self.edit_text(which, &object),
            }
        }
    }

    fn commit(&mut self, which: usize) {
        let mut options = CommitOptions::default().with_time(self.rng.below(1 << 41) as i64);
        if self.rng.chance(300) {
            options = options.with_message("because");
        }
        let doc = &mut self.docs[which];
        if doc.pending_ops() == 0 && self.rng.chance(100) {
            doc.empty_change(options);
        } else {
            doc.commit_with(options);
        }
        // Nothing is drawn where nothing is undone: histories of seeds that others keep stay as they are.
        if self.habits.undoes > 0 && self.rng.chance(self.habits.undoes) {
            self.undo(which);
        }
    }

    /// Goes back to the state that this replica's last change was made on, by edits.
    fn undo(&mut self, which: usize) {
        let doc = &mut self.docs[which];
        let Some(before) = doc.get_last_local_change().map(|change| change.deps().to_vec()) else { return };
        undo(doc, &before).expect("nothing is in the way of an undo");
        self.undone += u64::from(doc.commit().is_some());
    }

    /// An edit at old heads: a fork of them by a fresh actor.
    fn fork_at(&mut self, which: usize) {
        let changes = self.docs[which].get_changes(&[]);
        if changes.is_empty() {
            return;
        }
        let at = changes[self.rng.below(changes.len() as u64) as usize].hash();
        self.actors += 1;
        let fork = self.docs[which].fork_at(&[at]).expect("heads that it holds").with_actor(actor(self.actors));
        if self.docs.len() < 8 {
            self.docs.push(fork);
        } else {
            // The one that makes room hands on what it has.
            let mut gone = std::mem::replace(&mut self.docs[which], fork);
            let heir = (which + 1) % self.docs.len();
            self.docs[heir].merge(&mut gone).expect("replicas merge");
        }
    }

    fn scalar(&mut self) -> ScalarValue {
        match self.rng.below(10) {
            0 => ScalarValue::Null,
            1 => ScalarValue::Boolean(self.rng.chance(500)),
            2 => ScalarValue::Int(self.rng.u64() as i64),
            3 => ScalarValue::Uint(self.rng.u64() >> self.rng.below(64)),
            4 => ScalarValue::F64(self.rng.below(1000) as f64 / 7.0),
            5 => ScalarValue::Bytes(self.rng.bytes::<9>().to_vec()),
            6 => ScalarValue::Timestamp(self.rng.below(1 << 41) as i64),
            7..=8 => ScalarValue::counter(self.rng.below(100) as i64),
            _ => ScalarValue::Str("wörd".into()),
        }
    }

    fn kind(&mut self) -> ObjType {
        [ObjType::Map, ObjType::List, ObjType::Text][self.rng.below(3) as usize]
    }

    fn edit_map(&mut self, which: usize, object: &ObjId) {
        let key = KEYS[self.rng.below(KEYS.len() as u64) as usize];
        let (value, kind, choice) = (self.scalar(), self.kind(), self.rng.below(10));
        let doc = &mut self.docs[which];
        match choice {
            0 => {
                let made = doc.put_object(object, key, kind).expect("a key of a map");
                self.objects.push((made, kind));
            }
            1 => doc.delete(object, key).expect("a key of a map"),
            2..=4 if is_counter(doc.get(object, key)) => {
                doc.increment(object, key, value.as_i64().unwrap_or(3) % 1000).expect("a counter");
            }
            _ => doc.put(object, key, value).expect("a key of a map"),
        }
    }

    fn edit_list(&mut self, which: usize, object: &ObjId) {
        let length = self.docs[which].length(object);
        let (value, kind, choice) = (self.scalar(), self.kind(), self.rng.below(12));
        let at = self.rng.below(length as u64 + 1) as usize;
        let doc = &mut self.docs[which];
        match choice {
            0..=3 => doc.insert(object, at, value).expect("a place in the list"),
            4 => {
                let made = doc.insert_object(object, at, kind).expect("a place in the list");
                self.objects.push((made, kind));
            }
            _ if at == length => {}
            5 => {
                let made = doc.put_object(object, at, kind).expect("an element of the list");
                self.objects.push((made, kind));
            }
            6..=7 => doc.delete(object, at).expect("an element of the list"),
            8..=9 if is_counter(doc.get(object, at)) => doc.increment(object, at, 2).expect("a counter"),
            _ => doc.put(object, at, value).expect("an element of the list"),
        }
    }

    fn edit_text(&mut self, which: usize, object: &ObjId) {
        let length = self.docs[which].length(object);
        let at = self.rng.below(length as u64 + 1) as usize;
        let rest = self.rng.below((length - at) as u64 + 1) as usize;
        let expand = [ExpandMark::None, ExpandMark::Before, ExpandMark::After, ExpandMark::Both];
        let expand = expand[self.rng.below(4) as usize];
        let (value, choice) = (self.scalar(), self.rng.below(12));
        let doc = &mut self.docs[which];
        match choice {
            0 => doc.mark(object, Mark::new("bold".into(), value, at, at + rest), expand).expect("a range of the text"),
            1 => doc.unmark(object, "bold", at, at + rest, expand).expect("a range of the text"),
            2 => {
                doc.split_block(object, at).expect("a place in the text");
            }
            3..=5 => doc.splice_text(object, at, rest.min(3) as isize, "").expect("a range of the text"),
            _ => doc.splice_text(object, at, rest.min(1) as isize, "typ\u{e9}d").expect("a range of the text"),
        }
    }
}

fn is_counter(found: Result<Option<(Value<'_>, ObjId)>, automerge::AutomergeError>) -> bool {
    matches!(found, Ok(Some((Value::Scalar(value), _))) if matches!(*value, ScalarValue::Counter(_)))
}
