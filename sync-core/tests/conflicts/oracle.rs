//! What must be listed, said anew from the operations alone: no index, no runs, every past as a set. What shows it asks the document. The
//! simulation asks it too.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{Automerge, ChangeHash, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue};
use sync_core::change::Change;
use sync_core::conflict::{Candidate, Conflict, ConflictKind, ConflictState, PathPart, Value, value_at};

/// Where an operation stands: its object, the root if `None`, and the key or element in it.
type Slot = (Option<OpId>, At);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Key(String),
    Element(OpId),
}

struct Known {
    op: Op,
    id: OpId,
    slot: Slot,
    /// The change, by its number.
    change: usize,
}

impl Known {
    fn is_value(&self) -> bool {
        matches!(self.op.action, OpType::Put(_) | OpType::Make(_))
    }

    fn makes(&self) -> Option<ObjType> {
        match self.op.action {
            OpType::Make(kind) => Some(kind),
            _ => None,
        }
    }

    fn overwrites(&self) -> bool {
        !self.op.insert && !matches!(self.op.action, OpType::Increment(_))
    }
}

/// Holds the conflicts listed of a document against all of its changes, given in a causal order: every operation that does not show, that nobody
/// overwrote who knew of it, and that says something else than what shows, must be in one of them, and the side of each that shows must be what the
/// document has there. Otherwise says which is not.
pub(crate) fn check(changes: &[Change], document: &Automerge, conflicts: &[Conflict]) -> Result<(), String> {
    let mut oracle = Oracle::new(changes, document, conflicts);
    oracle.look()?;
    for known in &oracle.all {
        let fine = oracle.is_seen(known)
            || oracle.is_overwritten(known)
            || oracle.says_what_shows(known)
            || oracle.is_listed(known);
        if !fine {
            return Err(format!("{:?} {:?} is in no conflict of {conflicts:#?}", known.id, known.op));
        }
    }
    conflicts.iter().zip(&oracle.places).try_for_each(|(conflict, place)| oracle.check_shown(conflict, place))?;
    oracle.texts().try_for_each(|text| oracle.check_marks(text))
}

struct Oracle<'a> {
    document: &'a Automerge,
    conflicts: &'a [Conflict],
    changes: &'a [Change],
    all: Vec<Known>,
    /// Of each change all that its author knew, by number.
    pasts: Vec<BTreeSet<usize>>,
    slots: BTreeMap<Slot, Vec<usize>>,
    makers: BTreeMap<OpId, usize>,
    /// What somebody has overwritten.
    gone: BTreeSet<OpId>,
    steps: BTreeMap<OpId, i64>,
    /// What the document shows at each key and element.
    shows: BTreeMap<Slot, OpId>,
    /// Where each element of a list stands or would stand.
    indices: BTreeMap<OpId, usize>,
    /// Of each conflict the object and the key or index in it.
    places: Vec<(ObjId, PathPart)>,
}

impl<'a> Oracle<'a> {
    fn new(changes: &'a [Change], document: &'a Automerge, conflicts: &'a [Conflict]) -> Self {
        let (all, pasts) = (Vec::new(), Vec::new());
        let (slots, makers, gone, steps) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (shows, indices, places) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut oracle =
            Self { document, conflicts, changes, all, pasts, slots, makers, gone, steps, shows, indices, places };
        let numbers: BTreeMap<_, _> = changes.iter().enumerate().map(|(at, change)| (change.hash(), at)).collect();
        for (number, change) in changes.iter().enumerate() {
            let mut past = BTreeSet::new();
            for dep in change.deps().iter().map(|dep| numbers[dep]) {
                past.insert(dep);
                past.extend(oracle.pasts[dep].iter().copied());
            }
            oracle.pasts.push(past);
            for (counter, op) in (change.start_op()..).zip(change.automerge().decode().operations) {
                oracle.take(number, OpId::new(counter, change.actor()), op);
            }
        }
        oracle
    }

    fn take(&mut self, change: usize, id: OpId, op: Op) {
        let object = match &op.obj {
            ObjectId::Root => None,
            ObjectId::Id(id) => Some(id.clone()),
        };
        let at = match &op.key {
            Key::Map(key) => At::Key(key.to_string()),
            Key::Seq(ElementId::Id(element)) if !op.insert => At::Element(element.clone()),
            Key::Seq(_) => At::Element(id.clone()),
        };
        let known = Known { op, id, slot: (object, at), change };
        if known.overwrites() {
            self.gone.extend(known.op.pred.iter().cloned());
        }
        if let OpType::Increment(by) = known.op.action {
            known.op.pred.iter().for_each(|counter| *self.steps.entry(counter.clone()).or_default() += by);
        }
        self.slots.entry(known.slot.clone()).or_default().push(self.all.len());
        self.makers.insert(known.id.clone(), self.all.len());
        self.all.push(known);
    }

    /// Asks the document what it shows, and where.
    fn look(&mut self) -> Result<(), String> {
        let named = |id: ObjId| match id {
            ObjId::Id(counter, actor, _) => Some(OpId::new(counter, &actor)),
            ObjId::Root => None,
        };
        let keys = self.slots.keys().filter_map(|(of, at)| match at {
            At::Key(key) => Some((of, key)),
            At::Element(_) => None,
        });
        let (mut shows, mut indices) = (BTreeMap::new(), BTreeMap::new());
        for (of, key) in keys {
            let found = self.document.get(maker_id(of.as_ref()), key.as_str()).map_err(|e| e.to_string())?;
            let id = found.and_then(|(_, id)| named(id));
            shows.extend(id.map(|id| ((of.clone(), At::Key(key.clone())), id)));
        }
        for list in self.all.iter().filter(|known| known.makes() == Some(ObjType::List)) {
            let id = object(&list.id);
            for index in 0..self.document.length(&id) {
                let found = self.document.get(&id, index).map_err(|e| e.to_string())?;
                let id = found.and_then(|(_, id)| named(id)).ok_or("an element shows nothing")?;
                let slot = self.named(&id).ok_or("an element shows what nobody put there")?.slot.clone();
                shows.insert(slot, id);
            }
        }
        for list in self.all.iter().filter(|known| known.makes() == Some(ObjType::List)) {
            let mut index = 0;
            for element in self.elements(&list.id) {
                indices.insert(element.id.clone(), index);
                index += usize::from(shows.contains_key(&element.slot));
            }
        }
        (self.shows, self.indices) = (shows, indices);
        for conflict in self.conflicts {
            let place = self.place(&conflict.path);
            self.places.push(place.ok_or_else(|| format!("no path leads to the place of {conflict:#?}"))?);
        }
        Ok(())
    }

    /// The object that a path leads to, but for its last step.
    fn place(&self, path: &[PathPart]) -> Option<(ObjId, PathPart)> {
        let (last, above) = path.split_last()?;
        let mut object = ObjId::Root;
        for part in above {
            object = match self.document.get(&object, prop(part)).ok()?? {
                (automerge::Value::Object(_), id) => id,
                _ => return None,
            };
        }
        Some((object, last.clone()))
    }

    /// Whether the author of `a` knew of `b`.
    fn saw(&self, a: &Known, b: &Known) -> bool {
        self.pasts[a.change].contains(&b.change) || a.change == b.change && b.id < a.id
    }

    fn at(&self, slot: &Slot) -> impl Iterator<Item = &Known> {
        self.slots.get(slot).into_iter().flatten().map(|at| &self.all[*at])
    }

    fn named(&self, id: &OpId) -> Option<&Known> {
        self.makers.get(id).map(|at| &self.all[*at])
    }

    /// A value that nobody overwrote who meant to: a step may have put it out of sight.
    fn is_alive(&self, known: &Known) -> bool {
        known.is_value() && !self.gone.contains(&known.id)
    }

    fn winner(&self, slot: &Slot) -> Option<&Known> {
        self.shows.get(slot).and_then(|id| self.named(id))
    }

    /// Makers of the object that an operation works in, and of all that hold it.
    fn holders(&self, known: &Known) -> Vec<&Known> {
        let mut out = Vec::new();
        let mut object = &known.slot.0;
        while let Some(maker) = object.as_ref().and_then(|id| self.named(id)) {
            out.push(maker);
            object = &maker.slot.0;
        }
        out
    }

    fn wins(&self, known: &Known) -> bool {
        self.winner(&known.slot).is_some_and(|winner| winner.id == known.id)
    }

    fn is_in_text(&self, known: &Known) -> bool {
        let maker = known.slot.0.as_ref().and_then(|id| self.named(id));
        maker.is_some_and(|maker| maker.op.action == OpType::Make(ObjType::Text))
    }

    fn is_seen(&self, known: &Known) -> bool {
        if !self.holders(known).iter().all(|maker| self.wins(maker)) {
            return false;
        }
        // Of characters none hides another.
        if self.is_in_text(known) {
            return true;
        }
        match &known.op.action {
            OpType::Delete => self.winner(&known.slot).is_none(),
            OpType::Increment(_) => {
                self.winner(&known.slot).is_some_and(|winner| known.op.pred.iter().any(|pred| *pred == winner.id))
            }
            _ => self.wins(known),
        }
    }

    fn is_overwritten(&self, known: &Known) -> bool {
        let later = |other: &&Known| other.overwrites() && self.saw(other, known);
        let took = |maker: &Known| {
            // A maker's slot is that of its object.
            self.at(&maker.slot).filter(later).any(|other| other.op.pred.iter().any(|pred| *pred == maker.id))
        };
        self.at(&known.slot).any(|other| later(&other)) || self.holders(known).into_iter().any(took)
    }

    /// The values that an operation is part of, from its own to the outermost: what could show in its place.
    fn values(&self, known: &Known) -> Vec<&Known> {
        let own: Vec<&Known> = match known.op.action {
            OpType::Increment(_) => known.op.pred.iter().filter_map(|id| self.named(id)).collect(),
            _ if known.is_value() && !self.is_in_text(known) => vec![self.named(&known.id).expect("it is known")],
            _ => Vec::new(),
        };
        own.into_iter().chain(self.holders(known)).collect()
    }

    fn says_what_shows(&self, known: &Known) -> bool {
        self.values(known).into_iter().any(|value| {
            let winner = self.winner(&value.slot).filter(|_| self.is_alive(value));
            winner.is_some_and(|winner| winner.id != value.id && self.says(winner) == self.says(value))
        })
    }

    /// What a value says; a counter with its steps.
    fn says(&self, known: &Known) -> Value {
        match &known.op.action {
            OpType::Make(kind) => self.read(&object(&known.id), *kind),
            OpType::Put(ScalarValue::Counter(start)) => {
                let steps = self.steps.get(&known.id).copied().unwrap_or_default();
                Value::Scalar(ScalarValue::counter(i64::from(start) + steps))
            }
            OpType::Put(value) => Value::Scalar(value.clone()),
            _ => Value::Scalar(ScalarValue::Null),
        }
    }

    fn read(&self, id: &ObjId, kind: ObjType) -> Value {
        let document = self.document;
        match kind {
            ObjType::Text => Value::Text(document.text(id).unwrap_or_default()),
            ObjType::List => {
                let items = 0..document.length(id);
                Value::List(items.filter_map(|at| value_at(document, id, at.into(), None)).collect())
            }
            _ => {
                let entry = |key: String| Some((key.clone(), value_at(document, id, key.into(), None)?));
                Value::Map(document.keys(id).filter_map(entry).collect())
            }
        }
    }

    fn is_listed(&self, known: &Known) -> bool {
        let values = self.values(known);
        let objects: Vec<ObjId> = values.iter().map(|value| object(&value.id)).collect();
        let said: Vec<(&Known, Value)> = values.iter().map(|value| (*value, self.says(value))).collect();
        let is_side = |place: &(ObjId, PathPart), side: &Candidate| match &side.value {
            // Deletions by several people are one side.
            None => known.op.action == OpType::Delete && self.is_at(place, &known.slot),
            Some(value) => said.iter().any(|(of, says)| self.is_at(place, &of.slot) && says == value),
        };
        self.conflicts.iter().zip(&self.places).any(|(conflict, place)| {
            let mut sides = conflict.candidates.iter();
            sides.any(|side| side.object.as_ref().is_some_and(|id| objects.contains(id)) || is_side(place, side))
        })
    }

    /// Whether a conflict is about a key or element.
    fn is_at(&self, (of, part): &(ObjId, PathPart), slot: &Slot) -> bool {
        *of == maker_id(slot.0.as_ref())
            && match (part, &slot.1) {
                (PathPart::Key(key), At::Key(ours)) => key == ours,
                (PathPart::Index(index), At::Element(element)) => self.indices.get(element) == Some(index),
                _ => false,
            }
    }

    /// Of an open conflict's sides the first is what the document shows, and no other, and its change is that which says so. Marks are asked for
    /// character by character, elsewhere.
    fn check_shown(&self, conflict: &Conflict, place: &(ObjId, PathPart)) -> Result<(), String> {
        if conflict.state != ConflictState::Open || conflict.kind == ConflictKind::Mark {
            return Ok(());
        }
        let wrong = |what: &str| Err(format!("{what}: {conflict:#?}"));
        let [side, others @ ..] = &conflict.candidates[..] else { return wrong("no sides") };
        if !side.shown || others.iter().any(|side| side.shown) {
            return wrong("one side shows, and it is the first");
        }
        if side.value.is_some() && side.value != value_at(self.document, &place.0, prop(&place.1), None) {
            return wrong("the document shows something else");
        }
        let mut slots = self.slots.iter().filter(|(slot, _)| self.is_at(place, slot));
        let says_so = |(slot, at): (&Slot, &Vec<usize>)| match (self.shows.get(slot), &side.value) {
            (Some(id), Some(_)) => self.named(id).is_some_and(|known| self.changes[known.change].hash() == side.change),
            (None, None) => at.iter().map(|at| &self.all[*at]).any(|known| {
                self.changes[known.change].hash() == side.change
                    && matches!(known.op.action, OpType::Delete | OpType::Increment(_))
            }),
            _ => false,
        };
        if slots.any(says_so) { Ok(()) } else { wrong("that change did not make the document show this") }
    }
}

/// An object by the operation that made it.
fn maker_id(of: Option<&OpId>) -> ObjId {
    of.map_or(ObjId::Root, object)
}

fn prop(part: &PathPart) -> Prop {
    match part {
        PathPart::Key(key) => Prop::Map(key.clone()),
        PathPart::Index(index) => Prop::Seq(*index),
    }
}

fn object(id: &OpId) -> ObjId {
    ObjId::Id(id.counter(), id.actor().clone(), 0)
}

/// A mark: its name, its operation, what it says, and the characters under it.
struct Marked<'a> {
    name: String,
    known: &'a Known,
    says: Option<Value>,
    characters: BTreeSet<usize>,
}

/// Marks: of several on one character one shows.
impl Oracle<'_> {
    fn texts(&self) -> impl Iterator<Item = &Known> {
        let texts = self.all.iter().filter(|known| known.op.action == OpType::Make(ObjType::Text));
        texts.filter(|known| self.wins(known) && self.holders(known).iter().all(|maker| self.wins(maker)))
    }

    /// A text's or a list's elements in their order: those that were inserted behind the same one by falling id, each with all behind it.
    fn elements(&self, text: &OpId) -> Vec<&Known> {
        let mut behind: BTreeMap<Option<OpId>, Vec<&Known>> = BTreeMap::new();
        for known in self.all.iter().filter(|known| known.op.insert && known.slot.0.as_ref() == Some(text)) {
            let before = match &known.op.key {
                Key::Seq(ElementId::Id(id)) => Some(id.clone()),
                _ => None,
            };
            behind.entry(before).or_default().push(known);
        }
        let of = |id: Option<OpId>| {
            let mut of = behind.get(&id).cloned().unwrap_or_default();
            of.sort_by(|a, b| (a.id.counter(), a.id.actor()).cmp(&(b.id.counter(), b.id.actor())));
            of
        };
        let (mut out, mut next) = (Vec::new(), of(None));
        while let Some(known) = next.pop() {
            out.push(known);
            next.extend(of(Some(known.id.clone())));
        }
        out
    }

    fn marks(&self, text: &OpId) -> Vec<Marked<'_>> {
        let elements = self.elements(text);
        let place: BTreeMap<&OpId, usize> = elements.iter().enumerate().map(|(at, known)| (&known.id, at)).collect();
        let begun = elements.iter().filter_map(|known| {
            let OpType::MarkBegin(data) = &known.op.action else { return None };
            let end = place.get(&known.id.increment_by(1))?;
            let under = place[&known.id]..*end;
            let shows = |at: &usize| self.at(&elements[*at].slot).any(|known| self.is_alive(known));
            let characters: BTreeSet<usize> = under.filter(shows).collect();
            let says = Some(Value::Scalar(data.value.clone())).filter(|_| data.value != ScalarValue::Null);
            Some(Marked { name: data.name.to_string(), known, says, characters })
        });
        begun.collect()
    }

    /// What shows over each character, which is asked of the document, against all that lie over it: of those that say something else, and of which no
    /// author of any other knew, one open conflict must tell, of all of them, and an open one must tell of such ones only.
    fn check_marks(&self, text: &Known) -> Result<(), String> {
        let id = object(&text.id);
        let all = self.marks(&text.id);
        let names: BTreeSet<&str> = all.iter().map(|mark| mark.name.as_str()).collect();
        let characters = self.elements(&text.id);
        let characters =
            characters.iter().enumerate().filter(|(_, known)| self.at(&known.slot).any(|at| self.is_alive(at)));
        let mut due = Vec::new();
        for (index, (at, _)) in characters.enumerate() {
            let shown = self.document.get_marks(&id, index, None).map_err(|e| e.to_string())?;
            for name in &names {
                let of_name = shown.iter().find(|(shown, _)| shown == name);
                let says = of_name.map(|(_, value)| Value::Scalar(value.clone()));
                let here = || all.iter().filter(|mark| mark.name == *name && mark.characters.contains(&at));
                let Some(first) = here().max_by_key(|mark| (mark.known.id.counter(), mark.known.id.actor())) else {
                    if says.is_some() {
                        return Err(format!("the document shows {says:?} over {index}, and nobody put it there"));
                    }
                    continue;
                };
                if first.says != says {
                    return Err(format!("the document shows {says:?} over {index}, and not {:?}", first.known.op));
                }
                let is_lost = |mark: &&Marked<'_>| {
                    mark.says != says
                        && !here().any(|by| by.known.id != mark.known.id && self.saw(by.known, mark.known))
                };
                let lost: Vec<_> = here().filter(is_lost).map(|mark| mark.side(self)).collect();
                due.extend(Some((first.side(self), lost)).filter(|(_, lost)| !lost.is_empty()));
            }
        }
        let open: Vec<_> = self
            .conflicts
            .iter()
            .zip(&self.places)
            .filter(|(conflict, place)| conflict.kind == ConflictKind::Mark && place.0 == id)
            .filter(|(conflict, _)| conflict.state == ConflictState::Open)
            .collect();
        let tells = |(conflict, _): &&(&Conflict, _), (first, lost): &(Side, Vec<Side>)| {
            let [shown, hidden @ ..] = &conflict.candidates[..] else { return false };
            let side = |side: &Candidate| (side.change, side.value.clone());
            let is_told = |says: &Option<Value>| hidden.iter().filter(|side| side.value == *says).count() == 1;
            (side(shown) == *first && shown.shown && hidden.iter().all(|side| !side.shown))
                && hidden.iter().all(|hidden| lost.contains(&side(hidden)))
                && lost.iter().all(|(_, says)| is_told(says))
        };
        if let Some(missing) = due.iter().find(|due| open.iter().all(|one| !tells(&one, due))) {
            return Err(format!("{missing:?} are in no conflict of {open:#?}"));
        }
        match open.iter().find(|one| !due.iter().any(|due| tells(one, due))) {
            Some((conflict, _)) => Err(format!("what shows hides nothing: {conflict:#?}")),
            None => Ok(()),
        }
    }
}

/// A side of a conflict about marks: its change, and what it says.
type Side = (ChangeHash, Option<Value>);

impl Marked<'_> {
    fn side(&self, oracle: &Oracle<'_>) -> Side {
        (oracle.changes[self.known.change].hash(), self.says.clone())
    }
}
