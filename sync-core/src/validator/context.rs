//! What a change's operations may refer to: the operations in its causal past, and those before them in the change itself.

use automerge::legacy;

use crate::change::Change;
use crate::id::ActorId;
use crate::limits::ChangeLimits;
use crate::op_index::{Object, OpId, OpIndex, Operation, ROOT, Run, Staged};
use crate::table::ChangeTable;

use super::header::Header;
use super::{OpName, Refusal, Wrong};

/// An actor that the change names, and how much of it lies in the past.
struct Other {
    number: u32,
    last_op: u32,
}

/// A change being checked, beside the document it wants to enter.
pub(super) struct Context<'a> {
    change: &'a Change,
    table: &'a ChangeTable,
    index: &'a OpIndex,
    pub(super) limits: &'a ChangeLimits,
    own: u32,
    start: u32,
    next: u32,
    /// As the change lists them, sorted.
    others: Vec<Other>,
    staged: Staged,
    pub(super) order_steps: u32,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        change: &'a Change,
        table: &'a ChangeTable,
        index: &'a OpIndex,
        limits: &'a ChangeLimits,
        header: &Header,
    ) -> Result<Self, Refusal> {
        let known = |actor: &ActorId| {
            let number = table.number(actor).ok_or_else(|| Refusal::UnknownActor(actor.clone()))?;
            let seen = index.past().seen_by(&header.deps, number);
            Ok(Other { number, last_op: index.past().last_op(number, seen) })
        };
        let others = change.automerge().other_actor_ids().iter().map(known).collect::<Result<_, Refusal>>()?;
        let start = change.start_op() as u32;
        Ok(Self {
            change,
            table,
            index,
            limits,
            own: header.place.actor,
            start,
            next: start,
            others,
            staged: Staged::default(),
            order_steps: 0,
        })
    }

    /// The operation an id names, if it may be referred to.
    pub(super) fn resolve(&self, id: &legacy::OpId) -> Result<OpId, Wrong> {
        let not_past = || Wrong::NotPast(OpName::from(id));
        let counter = u32::try_from(id.counter()).map_err(|_| not_past())?;
        if id.actor() == self.change.actor() {
            return if counter < self.next { Ok(OpId { counter, actor: self.own }) } else { Err(not_past()) };
        }
        let actors = self.change.automerge().other_actor_ids();
        let found = actors.binary_search(id.actor()).ok().and_then(|i| self.others.get(i));
        match found {
            Some(other) if counter <= other.last_op => Ok(OpId { counter, actor: other.number }),
            _ => Err(not_past()),
        }
    }

    /// The run that holds an operation of the past.
    pub(super) fn run(&self, id: OpId) -> Option<&Run> {
        if id.actor == self.own && id.counter >= self.start {
            self.staged.runs.run(id.counter)
        } else {
            self.index.run(id)
        }
    }

    /// An operation of the past.
    pub(super) fn operation(&self, id: OpId) -> Option<Operation> {
        self.run(id).map(|run| run.operation(id))
    }

    /// The object an id names.
    pub(super) fn object(&self, id: &legacy::ObjectId) -> Result<(u32, Object), Wrong> {
        let number = match id {
            legacy::ObjectId::Root => Some(ROOT),
            legacy::ObjectId::Id(id) => {
                let id = self.resolve(id)?;
                if id.actor == self.own && id.counter >= self.start {
                    let found = self.staged.objects.binary_search_by_key(&id.counter, |(counter, _)| *counter);
                    found.ok().map(|i| self.index.object_count() + i as u32)
                } else {
                    self.index.object_number(id)
                }
            }
        };
        let object = number.and_then(|number| Some((number, self.object_numbered(number)?)));
        object.ok_or_else(|| match id {
            legacy::ObjectId::Id(id) => Wrong::NoObject(OpName::from(id)),
            legacy::ObjectId::Root => Wrong::NoObject(OpName { counter: 0, actor: self.change.actor().clone() }),
        })
    }

    fn object_numbered(&self, number: u32) -> Option<Object> {
        let held = self.index.object_count();
        match number.checked_sub(held) {
            Some(new) => self.staged.objects.get(new as usize).map(|(_, object)| *object),
            None => self.index.object(number),
        }
    }

    /// The number of a map key, a new one if it was never used.
    pub(super) fn key(&mut self, key: &str) -> u32 {
        if let Some(number) = self.index.key(key).or_else(|| self.staged.keys.get(key).copied()) {
            return number;
        }
        let number = self.index.key_count() + self.staged.keys.len() as u32;
        self.staged.keys.insert(key.into(), number);
        number
    }

    /// The id of the operation being checked.
    pub(super) fn here(&self) -> OpId {
        OpId { counter: self.next, actor: self.own }
    }

    /// Takes in the operation being checked, and the object it makes.
    pub(super) fn push(&mut self, operation: Operation, makes: Option<Object>) {
        let id = self.here();
        self.staged.runs.push(id, operation);
        if let Some(object) = makes {
            self.staged.objects.push((id.counter, object));
        }
        self.next += 1;
    }

    /// Whether automerge orders `a` above `b`.
    pub(super) fn above(&self, a: OpId, b: OpId) -> bool {
        (a.counter, self.actor(a.actor)) > (b.counter, self.actor(b.actor))
    }

    fn actor(&self, number: u32) -> &ActorId {
        if number == self.own { self.change.actor() } else { self.table.actor(number).unwrap_or(self.change.actor()) }
    }

    /// What the change brings, if all of it was in order.
    pub(super) fn finish(self) -> Staged {
        self.staged
    }
}
