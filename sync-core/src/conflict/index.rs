//! Where a conflict may be: of each key and element what stands there and who deleted it, of each object who worked in it and what
//! took it away. Kept up change by change, at a cost that goes with the change.
//!
//! Owns no values but those of marks, and judges nothing for good: the places that it names are looked at again when conflicts are listed.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{self, ElementId, Key, MarkData, ObjectId, Op, OpType};
use automerge::marks::ExpandMark;
use automerge::{ObjId, ScalarValue};

use crate::change::{Change, Operations};
use crate::op_index::{Kind, ObjectKind, OpId, OpIndex, ROOT};
use crate::planted::{Planted, Planting};
use crate::table::{ChangeTable, Place};

/// A key of a map, or an element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Key(u32),
    Element(OpId),
}

/// A place that holds a value: the object's number, and where in it.
pub(super) type SlotId = (u32, At);

/// What is known of a place that was written to.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// Values that nobody overwrote who meant to: those that show or stand beside it, and those that a step put out of sight.
    pub(super) visible: Vec<OpId>,
    /// Deletions of each actor, ascending.
    pub(super) deletes: BTreeMap<u32, Vec<OpId>>,
    /// What somebody overwrote who held several sides, by the side that was shown.
    pub(super) passed: BTreeMap<OpId, BTreeSet<OpId>>,
    /// Values that were overwritten, and deletions, in automerge's order: the last [`GONE_MAX`].
    pub(super) gone: Vec<OpId>,
    /// Of each actor the last change that holds one from before those.
    pub(super) earlier: BTreeMap<u32, u32>,
    /// Values that a counter's step put out of sight, with the step: to automerge whoever steps the counter that shows overwrites all beside it.
    outdone: Vec<(OpId, OpId)>,
}

/// How many of a place's former values are kept, for sums of steps. The last by their order, so that they are the same on every replica.
const GONE_MAX: usize = 48;

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) maker: OpId,
    pub(super) slot: SlotId,
    /// Who changed it or something in it: of each actor the seqs, as runs.
    pub(super) work: BTreeMap<u32, Vec<(u32, u32)>>,
}

/// A mark on a text.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) begin: OpId,
    pub(super) end: OpId,
    pub(super) value: ScalarValue,
    pub(super) expand: ExpandMark,
}

/// The document's history that the index refers to: hashes and operations of the same changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct History<'a> {
    pub(super) table: &'a ChangeTable,
    pub(super) ops: &'a OpIndex,
}

impl History<'_> {
    pub(super) fn place(&self, id: OpId) -> Place {
        Place { actor: id.actor, seq: self.ops.past().seq_of(id.actor, id.counter) }
    }

    /// Whether the change at `place`, or one before it, holds an operation.
    pub(super) fn saw(&self, place: Place, id: OpId) -> bool {
        self.ops.past().seen(place, id.actor) >= self.place(id).seq
    }

    /// automerge's order: the higher wins.
    pub(super) fn key(&self, id: OpId) -> (u32, &[u8]) {
        (id.counter, self.table.actor(id.actor).map_or(&[], |actor| actor.to_bytes()))
    }

    pub(super) fn highest<'b>(&self, ids: impl IntoIterator<Item = &'b OpId>) -> Option<OpId> {
        ids.into_iter().copied().max_by(|a, b| self.key(*a).cmp(&self.key(*b)))
    }

    /// Puts an operation where it belongs among others in automerge's order, unless it is there. (A sort would be one more kind of sort to load.)
    pub(super) fn place_in(&self, ids: &mut Vec<OpId>, id: OpId) {
        let at = ids.partition_point(|held| self.key(*held) < self.key(id));
        if ids.get(at) != Some(&id) {
            ids.insert(at, id);
        }
    }

    pub(super) fn kind(&self, id: OpId) -> Option<Kind> {
        self.ops.run(id).map(|run| run.operation(id).kind)
    }

    /// The operation that automerge names so; `None` for the root.
    pub(super) fn op_of(&self, id: &ObjId) -> Option<OpId> {
        let ObjId::Id(counter, actor, _) = id else { return None };
        Some(OpId { counter: u32::try_from(*counter).ok()?, actor: self.table.number(actor)? })
    }

    fn resolve(&self, id: &legacy::OpId) -> Option<OpId> {
        Some(OpId { counter: u32::try_from(id.counter()).ok()?, actor: self.table.number(id.actor())? })
    }
}

/// Finds the places of a document where somebody's work may be hidden.
#[derive(Clone, Debug, Default)]
pub struct ConflictIndex {
    pub(super) slots: BTreeMap<SlotId, Slot>,
    pub(super) objects: BTreeMap<u32, Object>,
    /// What took objects and counters away, by the operation that made them.
    pub(super) killers: BTreeMap<OpId, Vec<OpId>>,
    /// Steps of counters, by the operation that made them.
    pub(super) steps: BTreeMap<OpId, Vec<(OpId, i64)>>,
    /// Marks by text and name.
    pub(super) marks: BTreeMap<(u32, Box<str>), Vec<Mark>>,
    /// Map keys by their number.
    pub(super) keys: BTreeMap<u32, Box<str>>,
    pub(super) contested: BTreeSet<SlotId>,
    pub(super) suspects: BTreeSet<u32>,
    pub(super) lost_steps: BTreeSet<OpId>,
    /// The mark whose end is to come next.
    begun: Option<(u32, OpId, MarkData)>,
    planted: Planting,
}

impl ConflictIndex {
    /// The index of an empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a planted bug.
    pub fn planted(self, planted: Planting) -> Self {
        Self { planted, ..self }
    }

    /// Takes in a change that `table` and `ops` have taken in.
    pub fn admit(&mut self, change: &Change, table: &ChangeTable, ops: &OpIndex) {
        self.admit_decoded(change, &Operations::of(change), table, ops);
    }

    /// As [`ConflictIndex::admit`], with the change's operations.
    pub fn admit_decoded(&mut self, change: &Change, operations: &Operations, table: &ChangeTable, ops: &OpIndex) {
        let history = History { table, ops };
        let Some(actor) = table.number(change.actor()) else { return };
        let place = Place { actor, seq: change.seq() };
        let start = change.start_op() as u32;
        for (counter, op) in (start..).zip(&operations.0) {
            self.operation(history, place, OpId { counter, actor }, op);
        }
    }

    fn operation(&mut self, history: History<'_>, place: Place, id: OpId, op: &Op) -> Option<()> {
        let object = match &op.obj {
            ObjectId::Root => ROOT,
            ObjectId::Id(maker) => history.ops.object_number(history.resolve(maker)?)?,
        };
        self.worked(object, place);
        let at = match &op.key {
            Key::Map(name) => {
                let number = history.ops.key(name)?;
                self.keys.entry(number).or_insert_with(|| name.as_str().into());
                At::Key(number)
            }
            Key::Seq(_) if op.insert => At::Element(id),
            Key::Seq(ElementId::Id(element)) => At::Element(history.resolve(element)?),
            Key::Seq(ElementId::Head) => return None,
        };
        let slot = (object, at);
        if let OpType::Make(_) = op.action {
            let number = history.ops.object_number(id)?;
            self.objects.insert(number, Object { maker: id, slot, work: BTreeMap::new() });
        }
        let overwritten: Vec<OpId> = op.pred.iter().filter_map(|pred| history.resolve(pred)).collect();
        match &op.action {
            OpType::MarkBegin(data) => self.begun = Some((object, id, data.clone())),
            OpType::MarkEnd(after) => {
                let (text, begin, MarkData { name, value, expand }) = self.begun.take()?;
                let mark = Mark { begin, end: id, value, expand: ExpandMark::from(expand, *after) };
                self.marks.entry((text, name.as_str().into())).or_default().push(mark);
            }
            OpType::Increment(by) => {
                overwritten.iter().for_each(|counter| self.step(history, *counter, id, *by));
                let others = overwritten.iter().filter(|held| history.kind(**held) != Some(Kind::Counter));
                let outdone: Vec<_> = others.map(|held| (*held, id)).collect();
                let planted = self.planted.has(Planted::OutdoneInSight);
                if let Some(held) = self.slots.get_mut(&slot).filter(|_| !outdone.is_empty() && !planted) {
                    held.outdone.extend(outdone);
                    self.contest(history, slot);
                }
            }
            _ => {
                // Characters conflict only as part of what holds them.
                let text = history.ops.object(object).is_some_and(|object| object.kind == ObjectKind::Text);
                let writes = !op.insert && !text;
                let outdone = self.outdone_before(history, place, slot, &overwritten);
                overwritten.iter().chain(&outdone).for_each(|gone| self.kill(history, place, *gone, id));
                if writes {
                    self.write(history, slot, id, &overwritten, &outdone);
                }
            }
        }
        Some(())
    }

    /// Somebody worked in an object, and so in all that hold it.
    fn worked(&mut self, object: u32, place: Place) {
        let mut number = object;
        while number != ROOT
            && let Some(object) = self.objects.get_mut(&number)
        {
            add_run(object.work.entry(place.actor).or_default(), (place.seq, place.seq));
            if self.killers.contains_key(&object.maker) {
                self.suspects.insert(number);
            }
            if self.planted.has(Planted::NestedWorkUnindexed) {
                return;
            }
            number = object.slot.0;
        }
    }

    /// The same of somebody's changes that did nothing else, after all that did: whatever these changes had seen is there, and what came after them.
    pub(super) fn worked_before(&mut self, history: History<'_>, object: u32, actor: u32, changes: &[(u32, u32)]) {
        let Some((_, last)) = changes.last() else { return };
        let mut number = object;
        while number != ROOT
            && let Some(object) = self.objects.get_mut(&number)
        {
            let work = object.work.entry(actor).or_default();
            *work = merged(work, changes);
            let killers = self.killers.get(&object.maker).map_or(&[][..], Vec::as_slice);
            if killers.iter().any(|killer| history.ops.past().seen(history.place(*killer), actor) < *last) {
                self.suspects.insert(number);
            }
            if self.planted.has(Planted::NestedWorkUnindexed) {
                return;
            }
            number = object.slot.0;
        }
    }

    /// `by` overwrote or deleted `gone`.
    fn kill(&mut self, history: History<'_>, place: Place, gone: OpId, by: OpId) {
        match history.kind(gone) {
            Some(Kind::Make) => {
                self.killers.entry(gone).or_default().push(by);
                let Some(number) = history.ops.object_number(gone) else { return };
                let Some(object) = self.objects.get(&number) else { return };
                let seen = |actor: u32| history.ops.past().seen(place, actor);
                let unseen =
                    |(actor, runs): (&u32, &Vec<(u32, u32)>)| runs.last().is_some_and(|(_, last)| *last > seen(*actor));
                if object.work.iter().any(unseen) {
                    self.suspects.insert(number);
                }
            }
            Some(Kind::Counter) => {
                self.killers.entry(gone).or_default().push(by);
                let steps = self.steps.get(&gone).map_or(&[][..], Vec::as_slice);
                // The last one may be another actor's, so all are looked at, once for each who took the counter away.
                if steps.iter().any(|(step, _)| !history.saw(place, *step)) {
                    self.lost_steps.insert(gone);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, history: History<'_>, counter: OpId, id: OpId, by: i64) {
        if history.kind(counter) != Some(Kind::Counter) || self.planted.has(Planted::StepsUnindexed) {
            return;
        }
        self.steps.entry(counter).or_default().push((id, by));
        if self.killers.contains_key(&counter) {
            self.lost_steps.insert(counter);
        }
    }

    /// What a writer who overwrites `gone` knew to be out of sight beside it, and so overwrites too, though automerge does not say so: else
    /// nobody could ever answer it, since it would stand beside each answer anew.
    fn outdone_before(&self, history: History<'_>, place: Place, slot: SlotId, gone: &[OpId]) -> BTreeSet<OpId> {
        let Some(slot) = self.slots.get(&slot) else { return BTreeSet::new() };
        let saw = |id: OpId, step: OpId| history.saw(history.place(id), step);
        // Who overwrites what was written after a step, or knows of a deletion after it, comes after that one's writer.
        let is_first = |step: OpId| {
            !gone.iter().any(|id| saw(*id, step)) && !slot.deleted(history, place).any(|delete| saw(delete, step))
        };
        let killers = |held: &OpId| self.killers.get(held).map_or(&[][..], Vec::as_slice);
        let known = slot.outdone.iter().filter(|(held, step)| {
            !gone.contains(held)
                && history.saw(place, *step)
                && is_first(*step)
                && !killers(held).iter().any(|killer| history.saw(place, *killer))
        });
        known.map(|(held, _)| *held).collect()
    }

    /// A value was put or deleted at a place that is there, over `gone`, and over what was out of sight.
    fn write(&mut self, history: History<'_>, id: SlotId, op: OpId, gone: &[OpId], outdone: &BTreeSet<OpId>) {
        let slot = self.slots.entry(id).or_insert_with(|| match id.1 {
            At::Key(_) => Slot::default(),
            // Its first value is the operation that made it.
            At::Element(element) => Slot { visible: vec![element], ..Slot::default() },
        });
        let place = history.place(op);
        let deletes = history.kind(op) == Some(Kind::Delete);
        slot.pass(history, place, gone, outdone);
        let known = slot.outdone.iter().filter(|(_, step)| history.saw(place, *step));
        let known: Vec<OpId> = known.map(|(held, _)| *held).collect();
        slot.visible.retain(|held| !gone.contains(held) && !known.contains(held));
        gone.iter().chain(outdone).chain(Some(&op).filter(|_| deletes)).for_each(|id| slot.bury(history, *id));
        if deletes {
            slot.deletes.entry(op.actor).or_default().push(op);
        } else {
            slot.visible.push(op);
        }
        self.contest(history, id);
    }

    /// Whether there may be a conflict at a place that was written to.
    fn contest(&mut self, history: History<'_>, id: SlotId) {
        let Some(slot) = self.slots.get(&id) else { return };
        let is_hidden = slot.in_sight().count() < slot.visible.len();
        if slot.visible.len() > 1 || is_hidden || !slot.passed.is_empty() || !slot.resisted(history).is_empty() {
            self.contested.insert(id);
        } else {
            self.contested.remove(&id);
        }
    }
}

impl Slot {
    /// Those of the values that automerge shows, or has beside what it shows.
    pub(super) fn in_sight(&self) -> impl Iterator<Item = &OpId> {
        self.visible.iter().filter(|id| !self.outdone.iter().any(|(held, _)| held == *id))
    }

    /// What shows, or what took away all that was left by a step: a deletion; where there is none the step.
    pub(super) fn shown(&self, history: History<'_>) -> Option<OpId> {
        let emptied = || self.emptied(history, &self.visible, &self.resisted(history), |_| true);
        history.highest(self.in_sight()).or_else(emptied)
    }

    /// Keeps what a writer who held several sides has overwritten: one was shown, but nobody settled it.
    fn pass(&mut self, history: History<'_>, place: Place, gone: &[OpId], outdone: &BTreeSet<OpId>) {
        let held: Vec<OpId> = gone.iter().chain(outdone).copied().collect();
        let deletes = self.unheard(history, &held, |actor| history.ops.past().seen(place, actor));
        let emptied = || self.emptied(history, &held, &deletes, |step| history.saw(place, step));
        let Some(shown) = history.highest(gone).or_else(emptied) else { return };
        let sides: BTreeSet<OpId> = held.into_iter().chain(deletes).filter(|id| *id != shown).collect();
        if !sides.is_empty() {
            self.passed.entry(shown).or_default().extend(sides);
        }
    }

    /// What left nothing in sight at a place where `held` was put out of sight.
    fn emptied(
        &self,
        history: History<'_>,
        held: &[OpId],
        deletes: &[OpId],
        is_known: impl Fn(OpId) -> bool,
    ) -> Option<OpId> {
        let steps = self.outdone.iter().filter(|(of, step)| held.contains(of) && is_known(*step));
        history.highest(deletes.iter()).or_else(|| history.highest(steps.map(|(_, step)| step)))
    }

    /// The last deletion of each actor that the change at a place, or one before it, holds.
    fn deleted(&self, history: History<'_>, place: Place) -> impl Iterator<Item = OpId> {
        self.deletes
            .iter()
            .filter_map(move |(actor, deletes)| last_until(history, deletes, history.ops.past().seen(place, *actor)))
    }

    /// Deletions, of each actor the last up to a change, of which the writers of `held` did not know.
    fn unheard(&self, history: History<'_>, held: &[OpId], until: impl Fn(u32) -> u32) -> Vec<OpId> {
        let last = self.deletes.iter().filter_map(|(actor, deletes)| last_until(history, deletes, until(*actor)));
        last.filter(|id| !held.iter().any(|held| history.saw(history.place(*held), *id))).collect()
    }

    fn bury(&mut self, history: History<'_>, id: OpId) {
        history.place_in(&mut self.gone, id);
        if self.gone.len() > GONE_MAX {
            let place = history.place(self.gone.remove(0));
            let last = self.earlier.entry(place.actor).or_default();
            *last = (*last).max(place.seq);
        }
    }

    /// Deletions that are in force for nobody: what stands here was put by who did not know of them.
    pub(super) fn resisted(&self, history: History<'_>) -> Vec<OpId> {
        if self.visible.is_empty() { Vec::new() } else { self.unheard(history, &self.visible, |_| u32::MAX) }
    }
}

/// The last of one actor's operations up to a change.
pub(super) fn last_until(history: History<'_>, ops: &[OpId], seq: u32) -> Option<OpId> {
    let until = ops.partition_point(|id| history.place(*id).seq <= seq);
    ops.get(until.checked_sub(1)?).copied()
}

/// Adds changes behind the last, or some of the last.
pub(super) fn add_run(runs: &mut Vec<(u32, u32)>, (first, last): (u32, u32)) {
    match runs.last_mut() {
        Some(held) if first <= held.1 + 1 => held.1 = held.1.max(last),
        _ => runs.push((first, last)),
    }
}

/// Changes that are in one or the other, both ascending.
fn merged(one: &[(u32, u32)], other: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut all = Vec::new();
    loop {
        let next = match (one.peek(), other.peek()) {
            (Some(here), Some(there)) if there.0 < here.0 => other.next(),
            (Some(_), _) => one.next(),
            (None, _) => other.next(),
        };
        match next {
            Some(run) => add_run(&mut all, *run),
            None => return all,
        }
    }
}
