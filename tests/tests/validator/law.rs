//! The law: what the validator accepts applies on every replica, in every causal order, reads, edits, saves, loads, bundles
//! and gives back the same bytes.
//!
//! Honest edits are mutated, as operations and as bytes with a repaired checksum. A mutant that is accepted stays in the
//! history, and the next edits are made on top of it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{
    AutoCommit, AutoSerde, Automerge, Bundle, Change, ChangeHash, ExpandedChange, ObjType, ROOT, ReadDoc, ScalarValue,
};
use sync_core::rng::Rng;

use super::chunk;
use super::support::{Editor, Gate, actor};

thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });

/// Runs what may panic without a word on the terminal.
fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
    })
}

/// Applies changes in one call, failing where automerge does or where it queues.
fn apply(changes: &[&Change]) -> Result<AutoCommit, String> {
    let mut doc = AutoCommit::new().with_actor(actor(u64::MAX));
    doc.apply_changes(changes.iter().map(|c| (*c).clone()).collect::<Vec<_>>()).map_err(|e| e.to_string())?;
    Ok(doc)
}

/// One replica's life. Gives what it reads after a load.
fn live(mut doc: AutoCommit, expected: &BTreeSet<Vec<u8>>) -> Result<serde_json::Value, String> {
    doc.hydrate(ROOT, None).map_err(|e| format!("hydrate: {e}"))?;
    let held = |doc: &mut AutoCommit| -> BTreeSet<Vec<u8>> {
        doc.get_changes(&[]).iter().map(|c| c.raw_bytes().to_vec()).collect()
    };
    if held(&mut doc) != *expected {
        return Err("gives back other changes".into());
    }
    let saved = doc.save();
    let mut loaded = AutoCommit::load(&saved).map_err(|e| format!("load: {e}"))?;
    if held(&mut loaded) != *expected {
        return Err("gives back other changes once loaded".into());
    }
    let hashes: Vec<ChangeHash> = doc.get_changes(&[]).iter().map(Change::hash).collect();
    let bundle = doc.bundle(hashes).map_err(|e| format!("bundle: {e}"))?;
    let again = Bundle::try_from(bundle.bytes()).map_err(|e| format!("bundle: {e}"))?;
    let again = again.to_changes().map_err(|e| format!("bundle: {e}"))?;
    if again.iter().map(|c| c.raw_bytes().to_vec()).collect::<BTreeSet<_>>() != *expected {
        return Err("bundles other changes".into());
    }
    loaded.hydrate(ROOT, None).map_err(|e| format!("hydrate: {e}"))?;
    let value = serde_json::to_value(AutoSerde::from(&loaded)).map_err(|e| format!("read: {e}"))?;
    for mut doc in [doc, loaded] {
        doc.put(ROOT, "edited", 1).map_err(|e| format!("edit: {e}"))?;
        let mut editor = Editor::resume(7, doc);
        editor.edit(6);
        editor.docs[0].commit();
        let saved = editor.docs[0].save();
        Automerge::load(&saved).map_err(|e| format!("load after an edit: {e}"))?;
    }
    Ok(value)
}

/// Orders in which a history could arrive, in two batches each: as it stands, and with one change as early as can be.
fn orders<'a>(history: &'a [Change], early: &Change) -> Vec<(Vec<&'a Change>, Vec<&'a Change>)> {
    let mut wanted: BTreeSet<ChangeHash> = BTreeSet::from([early.hash()]);
    for change in history.iter().rev().filter(|c| c.hash() != early.hash()) {
        let needed = wanted.contains(&change.hash());
        if needed {
            wanted.extend(change.deps());
        }
    }
    wanted.extend(early.deps());
    for change in history.iter().rev() {
        if wanted.contains(&change.hash()) {
            wanted.extend(change.deps());
        }
    }
    let (before, after): (Vec<_>, Vec<_>) = history.iter().partition(|c| wanted.contains(&c.hash()));
    let (others, late): (Vec<_>, Vec<_>) = history.iter().partition(|c| c.hash() != early.hash());
    vec![(history.iter().collect(), Vec::new()), (before, after), (others, late)]
}

/// Lives every replica through a history, and says what breaks.
fn check(history: &[Change], early: &Change) -> Result<(), String> {
    let expected: BTreeSet<Vec<u8>> = history.iter().map(|c| c.raw_bytes().to_vec()).collect();
    let mut read: Option<serde_json::Value> = None;
    for (number, (first, second)) in orders(history, early).into_iter().enumerate() {
        let value = quietly(|| {
            let mut doc = apply(&first)?;
            if !second.is_empty() {
                let second: Vec<Change> = second.into_iter().cloned().collect();
                doc.apply_changes(second).map_err(|e| e.to_string())?;
            }
            live(doc, &expected)
        });
        let value = value.map_err(|panic| format!("order {number} panics: {panic}"))?;
        let value = value.map_err(|e| format!("order {number}: {e}"))?;
        if read.as_ref().is_some_and(|read| *read != value) {
            return Err(format!("order {number} reads otherwise"));
        }
        read = Some(value);
    }
    Ok(())
}

struct World {
    rng: Rng,
    gate: Gate,
    history: Vec<Change>,
    actors: u64,
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    unparsed: u64,
    broken: Vec<String>,
    honest_broken: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let history = Editor::new(seed, 1 + seed % 3).run(30);
        let mut gate = Gate::default();
        gate.admit_all(&history);
        Self { rng: Rng::from_number(seed ^ 0xabcd), gate, history, actors: 1000 }
    }

    /// An honest change on the heads, or on an older state by a fresh actor.
    fn edit(&mut self) -> Option<Change> {
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
        let mut parts = chunk::Chunk::parse(change.raw_bytes());
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

    /// Bytes that are not the honest change's.
    fn mutant(&mut self, honest: &Change) -> Vec<u8> {
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

    fn round(&mut self, tally: &mut Tally) {
        let Some(honest) = self.edit() else { return };
        let bytes = self.mutant(&honest);
        let parsed = quietly(|| sync_core::change::Change::parse(&bytes, &self.gate.limits));
        let parsed = parsed.expect("parsing is guarded");
        let Ok(parsed) = parsed else {
            tally.unparsed += 1;
            return;
        };
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
        let Err(reason) = check(&history, &mutant) else {
            self.history = history;
            return;
        };
        self.gate = before;
        // The honest change may meet the same end: then it is automerge's own trouble with this history.
        let mut control = self.history.clone();
        control.push(honest.clone());
        if check(&control, &honest).is_err() {
            tally.honest_broken += 1;
        } else {
            tally.broken.push(format!("{reason}\nhonest {:?}\nmutant {:?}", honest.decode(), mutant.decode()));
        }
    }
}

#[test]
fn what_is_accepted_breaks_no_replica() {
    let worlds = super::rounds("REJOIN_LAW_ROUNDS", 25);
    let first = super::rounds("REJOIN_LAW_FROM", 0);
    let mut tally = Tally::default();
    for seed in first..first + worlds {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.round(&mut tally);
        }
    }
    println!(
        "{} accepted, {} refused, {} unparsed; {} broken, {} where the honest change broke as well",
        tally.accepted,
        tally.refused,
        tally.unparsed,
        tally.broken.len(),
        tally.honest_broken
    );
    assert!(tally.accepted > worlds && tally.refused > worlds, "{tally:?}");
    assert!(tally.broken.is_empty(), "{}", tally.broken.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n"));
}
