//! Hostile changes: honest edits mutated as operations and as bytes with a repaired checksum, and a world in which those that are
//! accepted stay, so that the next edits are made on top of them.

use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType};
use automerge::{Change, ExpandedChange, ObjType, ScalarValue};
use sync_core::rng::Rng;

use crate::canonical;
use crate::choices::Choices;
use crate::chunk::Chunk;
use crate::editor::{Editor, actor};
use crate::gate::Gate;
use crate::law::{apply, check};
use crate::panics::quietly;

/// A history, what a server knows of it, and a source of choices.
#[derive(Clone)]
pub struct World<C> {
    rng: C,
    /// What the server knows.
    pub gate: Gate,
    /// What was accepted, in a causal order.
    pub history: Vec<Change>,
    actors: u64,
}

/// What became of mutants.
#[derive(Debug, Default)]
pub struct Tally {
    /// Let in.
    pub accepted: u64,
    /// Refused by the validator.
    pub refused: u64,
    /// Refused before that.
    pub unparsed: u64,
    /// Let in, and broke a replica that the honest change does not break.
    pub broken: Vec<String>,
    /// Set aside, since the honest change breaks a replica as well: automerge's own trouble with that history.
    pub honest_broken: u64,
}

impl World<Rng> {
    /// A world of a seed, with choices by chance.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Rng::from_number(seed ^ 0xabcd))
    }
}

impl<C> World<C> {
    /// The same world with other choices.
    pub fn chosen_by<D>(&self, choices: D) -> World<D> {
        World { rng: choices, gate: self.gate.clone(), history: self.history.clone(), actors: self.actors }
    }
}

impl<C: Choices> World<C> {
    /// A world of a seed, with choices from elsewhere.
    pub fn with(seed: u64, choices: C) -> Self {
        let history = Editor::new(seed, 1 + seed % 3).run(30);
        let mut gate = Gate::default();
        gate.admit_all(&history);
        Self { rng: choices, gate, history, actors: 1000 }
    }

    /// Where the choices come from.
    pub fn choices(&mut self) -> &mut C {
        &mut self.rng
    }

    /// An honest change on the heads, or on an older state by a fresh actor.
    pub fn edit(&mut self) -> Option<Change> {
        let upto = if self.rng.chance(300) {
            self.rng.below(self.history.len() as u64) as usize
        } else {
            self.history.len() - 1
        };
        let known: Vec<&Change> = self.history[..=upto].iter().collect();
        let fresh = upto + 1 < self.history.len() || self.rng.chance(300);
        let by = if fresh {
            self.actors += 1;
            actor(self.actors)
        } else {
            self.history[self.rng.below(self.history.len() as u64) as usize].actor_id().clone()
        };
        let seed = self.rng.u64();
        let edits = 1 + self.rng.below(4) as usize;
        quietly(|| {
            let doc = apply(&known).ok()?.with_actor(by);
            let mut editor = Editor::resume(seed, doc);
            editor.edit(edits);
            editor.docs[0].commit();
            editor.docs[0].get_last_local_change()
        })
        .ok()?
        .filter(|change| self.gate.table.place(&change.hash()).is_none())
    }

    fn id(&mut self) -> OpId {
        let change = &self.history[self.rng.below(self.history.len() as u64) as usize];
        let counter = change.start_op().get() + self.rng.below(change.len() as u64 + 1);
        OpId::new(if self.rng.chance(50) { self.rng.below(40) } else { counter }, change.actor_id())
    }

    fn key(&mut self) -> Key {
        match self.rng.below(4) {
            0 => Key::Map(["a", "text", "list", "b"][self.rng.below(4) as usize].into()),
            1 => Key::Seq(ElementId::Head),
            _ => Key::Seq(ElementId::Id(self.id())),
        }
    }

    fn action(&mut self) -> OpType {
        match self.rng.below(9) {
            0 => OpType::Make([ObjType::Map, ObjType::List, ObjType::Text, ObjType::Table][self.rng.below(4) as usize]),
            1 => OpType::Delete,
            2 => OpType::Increment([1, -7, i64::MAX, i64::MIN, 1 << 53][self.rng.below(5) as usize]),
            3 => OpType::Put(ScalarValue::counter([0, 5, i64::MAX][self.rng.below(3) as usize])),
            4 => OpType::Put(ScalarValue::F64([f64::NAN, -0.0, f64::INFINITY][self.rng.below(3) as usize])),
            5 => OpType::Put(ScalarValue::Unknown { type_code: 10 + self.rng.below(6) as u8, bytes: vec![1, 2] }),
            6 => OpType::MarkEnd(self.rng.chance(500)),
            7 => {
                OpType::MarkBegin(MarkData { name: "m".into(), value: ScalarValue::Null, expand: self.rng.chance(500) })
            }
            _ => OpType::Put(["", "x", "long and\0odd"][self.rng.below(3) as usize].into()),
        }
    }

    fn mutate_operation(&mut self, operations: &mut Vec<Op>) {
        if operations.is_empty() {
            return;
        }
        let at = self.rng.below(operations.len() as u64) as usize;
        match self.rng.below(9) {
            0 => operations[at].obj = if self.rng.chance(300) { ObjectId::Root } else { ObjectId::Id(self.id()) },
            1 => operations[at].key = self.key(),
            2 => {
                let pred = (0..self.rng.below(3)).map(|_| self.id()).collect::<Vec<_>>();
                operations[at].pred = pred.into();
            }
            3 => {
                let mut pred: Vec<OpId> = operations[at].pred.iter().cloned().collect();
                pred.push(self.id());
                operations[at].pred = pred.into();
            }
            4 => operations[at].insert = !operations[at].insert,
            5 => operations[at].action = self.action(),
            6 => drop(operations.remove(at)),
            7 => operations.insert(at, operations[at].clone()),
            _ => {
                let other = self.rng.below(operations.len() as u64) as usize;
                operations.swap(at, other);
            }
        }
    }

    fn mutate_header(&mut self, change: &mut ExpandedChange) {
        let start = change.start_op.get();
        match self.rng.below(9) {
            0 => change.start_op = NonZeroU64::new(start + 1 + self.rng.below(30)).unwrap_or(change.start_op),
            1 => change.start_op = NonZeroU64::new(start.saturating_sub(self.rng.below(9))).unwrap_or(NonZeroU64::MIN),
            2 => {
                change.start_op =
                    NonZeroU64::new((1u64 << self.rng.below(33)).saturating_sub(3)).unwrap_or(NonZeroU64::MIN)
            }
            3 => change.seq = (change.seq + self.rng.below(3)).saturating_sub(1),
            4 => change.deps = change.deps.iter().copied().filter(|_| self.rng.chance(500)).collect(),
            5 => change.deps.push(self.history[self.rng.below(self.history.len() as u64) as usize].hash()),
            6 => change.actor_id = actor(self.rng.below(4)),
            7 => change.extra_bytes = vec![[1, 2][self.rng.below(2) as usize], 2, 7, 7],
            _ => change.time = [i64::MAX, i64::MIN, -5, 1 << 53][self.rng.below(4) as usize],
        }
    }

    fn mutate_bytes(&mut self, change: &Change) -> Vec<u8> {
        let mut parts = Chunk::parse(change.raw_bytes());
        for _ in 0..1 + self.rng.below(2) {
            let which = self.rng.below(parts.columns.len() as u64 + 1) as usize;
            let target = parts.columns.get_mut(which).map_or(&mut parts.head, |(_, data)| data);
            let at = self.rng.below(target.len() as u64) as usize;
            match self.rng.below(4) {
                0 => target[at] = self.rng.u64() as u8,
                1 => target[at] = target[at].wrapping_add([1, 255][self.rng.below(2) as usize]),
                2 => target.insert(at, [0, 1, 2, 0x7f, 0x7e, 0xff][self.rng.below(6) as usize]),
                _ if target.len() > 1 => drop(target.remove(at)),
                _ => target[at] ^= 1,
            }
        }
        parts.build()
    }

    /// Bytes that are hardly ever the honest change's.
    pub fn mutant(&mut self, honest: &Change) -> Vec<u8> {
        if self.rng.chance(300) {
            return self.mutate_bytes(honest);
        }
        let mut expanded = honest.decode();
        for _ in 0..1 + self.rng.below(2) {
            if self.rng.chance(750) {
                self.mutate_operation(&mut expanded.operations);
            } else {
                self.mutate_header(&mut expanded);
            }
        }
        quietly(|| Change::from(expanded).raw_bytes().to_vec()).unwrap_or_default()
    }

    /// Edits, mutates, offers the mutant to the validator, and holds it to the law if it is accepted.
    pub fn round(&mut self, tally: &mut Tally) {
        let Some(honest) = self.edit() else { return };
        let bytes = self.mutant(&honest);
        let parsed = quietly(|| sync_core::change::Change::parse(&bytes, &self.gate.limits));
        let parsed = parsed.expect("parsing is guarded");
        let Ok(parsed) = parsed else {
            tally.unparsed += 1;
            return;
        };
        canonical::check(&parsed);
        let before = self.gate.clone();
        let admitted = quietly(|| self.gate.admit_parsed(&parsed)).expect("the validator does not panic");
        if admitted.is_err() {
            tally.refused += 1;
            return;
        }
        tally.accepted += 1;
        let mutant = parsed.into_automerge();
        let mut history = self.history.clone();
        history.push(mutant.clone());
        let seed = self.rng.u64();
        let Err(reason) = check(&history, &mutant, seed) else {
            self.history = history;
            return;
        };
        self.gate = before;
        // The honest change may meet the same end: then it is automerge's own trouble with this history.
        let mut control = self.history.clone();
        control.push(honest.clone());
        if check(&control, &honest, seed).is_err() {
            tally.honest_broken += 1;
        } else {
            tally.broken.push(format!("{reason}\nhonest {:?}\nmutant {:?}", honest.decode(), mutant.decode()));
        }
    }
}
