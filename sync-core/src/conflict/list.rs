//! The conflicts of a document, read at the places that the index names.
//!
//! Owns what counts as a conflict there: sides that say the same are one, and what lies within something hidden belongs to the conflict
//! about that. What it is called is decided in `name`. The same set of changes gives the same list, in the same order.

use std::collections::BTreeMap;

use automerge::{Automerge, ChangeHash, ReadDoc as _, ScalarValue};

use super::index::{At, ConflictIndex, History, Slot, SlotId};
use super::read::{self, Reader};
use super::{Candidate, Conflict, ConflictKind, ConflictState, Marking, Steps, Value};
use crate::id::DocumentName;
use crate::op_index::{Kind, OpId, OpIndex};
use crate::table::{ChangeTable, Place};

impl ConflictIndex {
    /// All conflicts of the document `name`, whose changes are those of `table` and `ops`, in the order of their ids.
    pub fn list(&self, name: &DocumentName, document: &Automerge, table: &ChangeTable, ops: &OpIndex) -> Vec<Conflict> {
        let mut conflicts = self.list_all(name, document, table, ops);
        conflicts.retain(|conflict| !conflict.agrees);
        conflicts
    }

    /// The same with those of which all sides agree by now.
    pub fn list_all(
        &self,
        name: &DocumentName,
        document: &Automerge,
        table: &ChangeTable,
        ops: &OpIndex,
    ) -> Vec<Conflict> {
        let history = History { table, ops };
        let lister = Lister { index: self, reader: Reader { document, history }, history, name };
        lister.all()
    }
}

pub(super) struct Lister<'a> {
    pub(super) index: &'a ConflictIndex,
    pub(super) reader: Reader<'a>,
    pub(super) history: History<'a>,
    pub(super) name: &'a DocumentName,
}

/// A conflict about to be told.
pub(super) struct Draft {
    pub(super) kind: ConflictKind,
    pub(super) slot: SlotId,
    /// The object or counter that was taken away.
    pub(super) lost: Option<OpId>,
    pub(super) hiding: OpId,
    /// What else is hidden that the name is to tell.
    pub(super) others: Vec<OpId>,
    pub(super) version: u64,
    pub(super) base: Option<Value>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) steps: Steps,
    /// Of each actor the last change that holds something hidden.
    pub(super) hidden: BTreeMap<u32, u32>,
    /// The same of objects that say what shows.
    pub(super) agreeing: BTreeMap<u32, u32>,
    pub(super) state: ConflictState,
    pub(super) marking: Option<Box<Marking>>,
}

impl Draft {
    /// A conflict at a place, of which nothing else is known.
    pub(super) fn of(kind: ConflictKind, slot: SlotId, hiding: OpId, state: ConflictState) -> Self {
        Self {
            kind,
            slot,
            lost: None,
            hiding,
            others: Vec::new(),
            version: 0,
            base: None,
            candidates: Vec::new(),
            steps: Steps::FromBase,
            hidden: BTreeMap::new(),
            agreeing: BTreeMap::new(),
            state,
            marking: None,
        }
    }
}

/// Operations that are hidden, with the work in the objects that they made.
#[derive(Default)]
struct Hidden<'a> {
    count: u64,
    told: Vec<(u32, &'a [u8])>,
    last: BTreeMap<u32, u32>,
}

impl Hidden<'_> {
    fn reach(&mut self, place: Place) {
        let last = self.last.entry(place.actor).or_default();
        *last = (*last).max(place.seq);
    }
}

impl Lister<'_> {
    fn all(&self) -> Vec<Conflict> {
        let mut drafts = Vec::new();
        for id in &self.index.contested {
            let Some(slot) = self.index.slots.get(id).filter(|_| self.is_shown(id.0)) else { continue };
            drafts.extend(self.open(*id, slot));
            drafts.extend(slot.passed.iter().filter_map(|(shown, sides)| {
                self.sides(*id, *shown, sides.iter().copied().collect(), ConflictState::Superseded)
            }));
        }
        self.index.suspects.iter().for_each(|object| drafts.extend(self.lost_work(*object)));
        drafts.extend(self.index.lost_steps.iter().filter_map(|counter| self.lost_steps(*counter)));
        self.index.marks.iter().for_each(|((text, name), marks)| drafts.extend(self.marks(*text, name, marks)));
        let mut conflicts: Vec<Conflict> = drafts.into_iter().filter_map(|draft| self.finish(draft)).collect();
        conflicts.sort_by_key(|conflict| conflict.id);
        conflicts
    }

    /// Whether a path leads from the root to an object.
    pub(super) fn is_shown(&self, object: u32) -> bool {
        let mut number = object;
        while !read::is_root(number) {
            let Some(object) = self.index.objects.get(&number) else { return false };
            if self.winner(object.slot) != Some(object.maker) {
                return false;
            }
            number = object.slot.0;
        }
        true
    }

    /// The value that shows at a place.
    fn winner(&self, slot: SlotId) -> Option<OpId> {
        match (self.index.slots.get(&slot), slot.1) {
            (Some(slot), _) => self.history.highest(slot.in_sight()),
            (None, At::Element(element)) => Some(element).filter(|id| !self.index.killers.contains_key(id)),
            (None, At::Key(_)) => None,
        }
    }

    fn open(&self, id: SlotId, slot: &Slot) -> Option<Draft> {
        let shown = slot.shown(self.history)?;
        let others = slot.visible.iter().copied().filter(|id| *id != shown);
        self.sides(id, shown, others.chain(slot.resisted(self.history)).collect(), ConflictState::Open)
    }

    /// Several values, or a value and deletions, at one place.
    fn sides(&self, id: SlotId, shown: OpId, unsorted: Vec<OpId>, state: ConflictState) -> Option<Draft> {
        let mut others = Vec::new();
        unsorted.into_iter().for_each(|op| self.history.place_in(&mut others, op));
        let (mut hidden, mut agreeing) = (Hidden::default(), Hidden::default());
        // A step that left nothing in sight says as much.
        let deletes = |op: &OpId| matches!(self.history.kind(*op), Some(Kind::Delete | Kind::Increment));
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut makes = false;
        let (mut sides, mut twin): (Vec<OpId>, _) = (Vec::new(), None);
        for op in std::iter::once(shown).chain(others.into_iter().rev()) {
            let value = if deletes(&op) { None } else { Some(self.value(id, op)?) };
            // What says the same as what shows is not hidden.
            match candidates.first().map(|first| first.value == value) {
                Some(true) => {
                    twin = twin.or(Some(op));
                    self.hide(op, state, &mut agreeing);
                }
                Some(false) => self.hide(op, state, &mut hidden),
                None => {}
            }
            if candidates.iter().all(|held| held.value != value) {
                makes |= self.history.kind(op) == Some(Kind::Make);
                candidates.push(self.candidate(op, value, op == shown));
                sides.push(op);
            }
        }
        if candidates.len() < 2 {
            let twin = twin.filter(|_| makes && state == ConflictState::Open)?;
            candidates.push(self.candidate(twin, candidates.first()?.value.clone(), false));
            sides.push(twin);
        }
        let values = candidates.iter().filter(|candidate| candidate.value.is_some()).count();
        let kind = match (values > 1, makes) {
            (true, true) => ConflictKind::Container,
            (true, false) => ConflictKind::Register,
            (false, _) => ConflictKind::DeleteUpdate,
        };
        let places: Vec<Place> = sides.iter().map(|op| self.history.place(*op)).collect();
        let base = self.base(id, &places);
        let version = self.version(hidden.count + 1, hidden.told.into_iter());
        let hidden = hidden.last;
        // Any other value that shows is overwritten by an answer, with all that says the same.
        let agreeing = if kind == ConflictKind::Container { agreeing.last } else { BTreeMap::new() };
        let steps = match (kind, state) {
            (ConflictKind::Register, ConflictState::Open) => self.steps(id, &candidates),
            _ => Steps::FromBase,
        };
        let draft = Draft::of(kind, id, shown, state);
        Some(Draft { version, base, candidates, steps, hidden, agreeing, ..draft })
    }

    /// Counts what an operation said that does not show. Work in what was overwritten later is a conflict of its own.
    fn hide<'h>(&'h self, op: OpId, state: ConflictState, hidden: &mut Hidden<'h>) {
        hidden.count += 1;
        hidden.told.push(self.history.key(op));
        hidden.reach(self.history.place(op));
        let made = self.history.ops.object_number(op).filter(|_| state == ConflictState::Open);
        let Some(object) = made.and_then(|number| self.index.objects.get(&number)) else { return };
        let work = |runs: &Vec<(u32, u32)>| runs.last().map_or(0, |(_, last)| *last);
        let mut last = BTreeMap::new();
        for (actor, runs) in &object.work {
            last.insert(*actor, work(runs));
        }
        for place in self.places(&last) {
            hidden.told.push((place.seq, self.history.table.actor(place.actor).map_or(&[], |actor| actor.to_bytes())));
            hidden.reach(place);
        }
        let changes = object.work.values().flatten().map(|(first, last)| u64::from(last - first + 1));
        hidden.count += changes.sum::<u64>();
    }

    /// What a value says; a counter with its steps.
    pub(super) fn value(&self, id: SlotId, op: OpId) -> Option<Value> {
        if self.history.kind(op) == Some(Kind::Counter) {
            return Some(self.counted(op));
        }
        if let Some((object, prop)) = self.prop(id)
            && let Ok(all) = self.reader.document.get_all(&object, prop)
        {
            let ours = self.reader.id(op);
            if let Some((value, id)) = all.iter().find(|(_, id)| *id == ours) {
                return Some(read::read(self.reader.document, value, id, None));
            }
        }
        self.then(id, op).or_else(|| self.reader.said(op))
    }

    fn then(&self, slot: SlotId, op: OpId) -> Option<Value> {
        let (object, _) = self.reader.object(self.maker(slot.0))?;
        self.reader.then(&object, &slot.1, self.key(slot), op)
    }

    /// What the change that holds an operation left at a place.
    pub(super) fn left(&self, slot: SlotId, op: OpId) -> Option<Value> {
        let (object, _) = self.reader.object(self.maker(slot.0))?;
        let heads = [self.history.table.hash_at(self.history.place(op))?];
        self.reader.before(&object, &slot.1, self.key(slot), &heads)
    }

    pub(super) fn key(&self, slot: SlotId) -> Option<&str> {
        match slot.1 {
            At::Key(key) => self.index.keys.get(&key).map(AsRef::as_ref),
            At::Element(_) => None,
        }
    }

    fn counted(&self, counter: OpId) -> Value {
        let steps: i64 = self.index.steps.get(&counter).into_iter().flatten().map(|(_, by)| by).sum();
        Value::Scalar(ScalarValue::counter(self.reader.start(counter) + steps))
    }

    pub(super) fn candidate(&self, op: OpId, value: Option<Value>, shown: bool) -> Candidate {
        let makes = self.history.kind(op) == Some(Kind::Make);
        let object = makes.then(|| self.reader.id(op));
        Candidate { object, ..self.reader.side(self.history.place(op), value, shown) }
    }

    /// The side of what shows where something was taken away: who says so is who put it there, or deleted what was.
    fn shown(&self, slot: SlotId, hiding: OpId) -> Candidate {
        let held = self.index.slots.get(&slot);
        let deletes = held.into_iter().flat_map(|held| held.deletes.values()).filter_map(|deletes| deletes.last());
        match self.winner(slot) {
            Some(op) => self.candidate(op, self.value(slot, op), true),
            None if self.history.kind(hiding) == Some(Kind::Delete) => self.candidate(hiding, None, true),
            None => self.candidate(self.history.highest(deletes).unwrap_or(hiding), None, true),
        }
    }

    /// Work in an object that was deleted or replaced.
    fn lost_work(&self, number: u32) -> Vec<Draft> {
        let Some(object) = self.index.objects.get(&number) else { return Vec::new() };
        let killers = self.index.killers.get(&object.maker).map_or(&[][..], Vec::as_slice);
        let Some(hiding) = self.history.highest(killers).filter(|_| self.is_shown(object.slot.0)) else {
            return Vec::new();
        };
        let past = self.history.ops.past();
        let mut hidden = (BTreeMap::new(), 0);
        let mut late = (BTreeMap::new(), 0);
        for (actor, runs) in &object.work {
            let meant = killers.iter().map(|op| past.seen(self.history.place(*op), *actor)).max().unwrap_or(0);
            let knew = |seq: u32| killers.iter().any(|op| self.history.saw(Place { actor: *actor, seq }, *op));
            for (first, last) in runs {
                let first = (*first).max(meant + 1);
                if first > *last {
                    continue;
                }
                // Whoever knows of it goes on knowing.
                let turn = first + partition(*last - first + 1, |offset| !knew(first + offset));
                for (side, from, until) in [(&mut hidden, first, turn), (&mut late, turn, *last + 1)] {
                    if from < until {
                        side.0.insert(*actor, until - 1);
                        side.1 += u64::from(until - from);
                    }
                }
            }
        }
        [(ConflictKind::DeleteUpdate, hidden), (ConflictKind::EditInDeleted, late)]
            .into_iter()
            .filter(|(_, (actors, _))| !actors.is_empty())
            .filter_map(|(kind, (actors, count))| {
                self.lost_object(kind, object.slot, object.maker, hiding, &actors, count)
            })
            .collect()
    }

    fn lost_object(
        &self,
        kind: ConflictKind,
        slot: SlotId,
        maker: OpId,
        hiding: OpId,
        actors: &BTreeMap<u32, u32>,
        count: u64,
    ) -> Option<Draft> {
        let places = self.places(actors);
        let table = self.history.table;
        let sides = places.iter().filter_map(|place| Some((place.seq, table.actor(place.actor)?.to_bytes())));
        let version = self.version(count, sides);
        let (id, made) = self.reader.object(Some(maker))?;
        let content = read::object(self.reader.document, &id, made, None);
        let mut candidates = vec![self.shown(slot, hiding)];
        let side = |place: &Place| Candidate {
            object: Some(id.clone()),
            ..self.reader.side(*place, Some(content.clone()), false)
        };
        candidates.extend(places.iter().map(side));
        let all: Vec<Place> = places.iter().copied().chain([self.history.place(hiding)]).collect();
        let base = Some(read::object(self.reader.document, &id, made, Some(&self.meet(&all))));
        let state = self.state(slot, hiding, &places);
        let draft = Draft::of(kind, slot, hiding, state);
        Some(Draft { lost: Some(maker), version, base, candidates, hidden: actors.clone(), ..draft })
    }

    /// Steps of a counter that was deleted or overwritten by somebody who did not know them.
    fn lost_steps(&self, counter: OpId) -> Option<Draft> {
        let op = self.history.ops.run(counter)?.operation(counter);
        let at = match op.slot {
            crate::op_index::Slot::Key(key) => At::Key(key),
            crate::op_index::Slot::At(element) => At::Element(element),
            crate::op_index::Slot::After(_) => At::Element(counter),
            crate::op_index::Slot::Nowhere => return None,
        };
        let slot = (op.object, at);
        let killers = self.index.killers.get(&counter)?;
        let hiding = self.history.highest(killers).filter(|_| self.is_shown(op.object))?;
        let seen: Vec<Place> = killers.iter().map(|op| self.history.place(*op)).collect();
        let lost = self.index.steps.get(&counter)?.iter().map(|(step, _)| *step);
        let lost: Vec<OpId> = lost.filter(|step| !seen.iter().any(|place| self.history.saw(*place, *step))).collect();
        let mut last = BTreeMap::new();
        for step in &lost {
            last.insert(step.actor, self.history.place(*step).seq);
        }
        let places = self.places(&last);
        let latest = self.history.place(self.history.highest(&lost)?);
        let deleted = self.history.kind(hiding) == Some(Kind::Delete);
        let kind = if deleted { ConflictKind::DeleteUpdate } else { ConflictKind::CounterOverwrite };
        let mut candidates = vec![self.shown(slot, hiding)];
        candidates.push(self.reader.side(latest, Some(self.counted(counter)), false));
        let all: Vec<Place> = places.iter().copied().chain([self.history.place(hiding)]).collect();
        let base = self.base(slot, &all);
        let state = self.state(slot, hiding, &places);
        let mut steps: Vec<_> = lost.iter().map(|step| self.history.key(*step)).collect();
        steps.sort_unstable();
        let version = self.version(lost.len() as u64, steps.into_iter());
        let draft = Draft::of(kind, slot, hiding, state);
        Some(Draft { lost: Some(counter), version, base, candidates, hidden: last, ..draft })
    }

    /// Changes of several actors, in an order that is the same everywhere.
    fn places(&self, last: &BTreeMap<u32, u32>) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for (actor, seq) in last {
            let name = |actor: u32| self.history.table.actor(actor);
            let at = places.partition_point(|place| name(place.actor) < name(*actor));
            places.insert(at, Place { actor: *actor, seq: *seq });
        }
        places
    }

    /// Whether somebody has written at a place since, who held what hides and what is hidden.
    fn state(&self, slot: SlotId, hiding: OpId, hidden: &[Place]) -> ConflictState {
        let Some(held) = self.index.slots.get(&slot) else { return ConflictState::Open };
        let passed = |op: &OpId| {
            let place = self.history.place(*op);
            let past = self.history.ops.past();
            *op != hiding
                && self.history.saw(place, hiding)
                && hidden.iter().all(|hidden| past.seen(place, hidden.actor) >= hidden.seq)
        };
        let later = held.visible.iter().chain(held.deletes.values().filter_map(|deletes| deletes.last()));
        if later.into_iter().any(passed) { ConflictState::Superseded } else { ConflictState::Open }
    }

    /// Heads of what all of these changes stand on.
    pub(super) fn meet(&self, places: &[Place]) -> Vec<ChangeHash> {
        let past = self.history.ops.past();
        let known = |place: &Place, actor: u32| match place.actor == actor {
            true => place.seq - 1,
            false => past.seen(*place, actor),
        };
        (0..past.actor_count())
            .filter_map(|actor| {
                let seq = places.iter().map(|place| known(place, actor)).min().filter(|seq| *seq > 0)?;
                self.history.table.hash_at(Place { actor, seq })
            })
            .collect()
    }

    fn base(&self, slot: SlotId, places: &[Place]) -> Option<Value> {
        let (object, _) = self.reader.object(self.maker(slot.0))?;
        self.reader.before(&object, &slot.1, self.key(slot), &self.meet(places))
    }

    pub(super) fn maker(&self, object: u32) -> Option<OpId> {
        self.index.objects.get(&object).map(|object| object.maker)
    }
}

/// How many of the first numbers below `count` a condition holds for that holds for none behind one for which it does not.
fn partition(count: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
