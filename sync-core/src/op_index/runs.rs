//! Runs of consecutive operations of one actor that differ in nothing but their place in a row.
//!
//! Owns their compact form and lookup. What is typed in one go is one run, however long.

/// Names an operation: its counter, and its actor's number in the document's table.
///
/// The order of ids here is for lookup only; automerge orders by counter and then by the actor's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpId {
    pub(crate) counter: u32,
    pub(crate) actor: u32,
}

/// An element of a list or text, or the place before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Head,
    Id(OpId),
}

/// What an operation brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value,
    Counter,
    Make,
    Mark,
    Increment,
    Delete,
}

/// Where in its object an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// At a map key, by number.
    Key(u32),
    /// At an element that is there.
    At(OpId),
    /// It is an element of its own, made after another.
    After(Element),
    /// Not kept: nothing may refer to a delete or an increment.
    Nowhere,
}

/// One operation as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) object: u32,
    pub(crate) kind: Kind,
    pub(crate) slot: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Key,
    At,
    After,
    Nowhere,
}

/// Consecutive operations; of inserts, each after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    start: u32,
    len: u32,
    object: u32,
    /// The element at or after which the first operation stands (counter 0 for the head), or the key's number.
    reference: OpId,
    kind: Kind,
    form: Form,
}

impl Run {
    fn one(counter: u32, op: Operation) -> Self {
        let (form, reference) = match op.slot {
            Slot::Key(key) => (Form::Key, OpId { counter: key, actor: 0 }),
            Slot::At(id) => (Form::At, id),
            Slot::After(Element::Id(id)) => (Form::After, id),
            Slot::After(Element::Head) => (Form::After, OpId { counter: 0, actor: 0 }),
            Slot::Nowhere => (Form::Nowhere, OpId { counter: 0, actor: 0 }),
        };
        Self { start: counter, len: 1, object: op.object, reference, kind: op.kind, form }
    }

    /// Counter of its first operation.
    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    /// What its first element was inserted after, if it is a run of elements.
    pub(crate) fn after(&self) -> Option<Element> {
        match (self.form, self.reference) {
            (Form::After, OpId { counter: 0, .. }) => Some(Element::Head),
            (Form::After, id) => Some(Element::Id(id)),
            _ => None,
        }
    }

    /// The operation with this counter, which lies within the run, of the actor whose run this is.
    pub(crate) fn operation(&self, id: OpId) -> Operation {
        let slot = match self.form {
            Form::Key => Slot::Key(self.reference.counter),
            Form::At => Slot::At(self.reference),
            Form::After if id.counter > self.start => {
                Slot::After(Element::Id(OpId { counter: id.counter - 1, actor: id.actor }))
            }
            Form::After => Slot::After(self.after().unwrap_or(Element::Head)),
            Form::Nowhere => Slot::Nowhere,
        };
        Operation { object: self.object, kind: self.kind, slot }
    }

    fn end(&self) -> u32 {
        self.start + self.len
    }

    /// Whether `next` continues this run of `actor`.
    fn continues(&self, next: &Run, actor: u32) -> bool {
        let alike =
            next.start == self.end() && self.object == next.object && self.kind == next.kind && self.form == next.form;
        let follows = match self.form {
            Form::After => next.reference == OpId { counter: self.end() - 1, actor },
            _ => next.reference == self.reference,
        };
        alike && follows
    }
}

/// The runs of one actor, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// Adds an operation behind the last.
    pub(crate) fn push(&mut self, id: OpId, op: Operation) {
        self.push_run(Run::one(id.counter, op), id.actor);
    }

    /// Adds another's runs behind the last.
    pub(crate) fn append(&mut self, later: Runs, actor: u32) {
        for run in later.0 {
            self.push_run(run, actor);
        }
    }

    fn push_run(&mut self, next: Run, actor: u32) {
        match self.0.last_mut() {
            Some(last) if last.continues(&next, actor) => last.len += next.len,
            _ => self.0.push(next),
        }
    }

    /// The run that holds a counter.
    pub(crate) fn run(&self, counter: u32) -> Option<&Run> {
        let last = self.0.last()?;
        let run = if counter >= last.start {
            last
        } else {
            self.0.get(self.0.partition_point(|run| run.start <= counter).checked_sub(1)?)?
        };
        (counter < run.end()).then_some(run)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Run>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(counter: u32, after: u32) -> (OpId, Operation) {
        let after = Element::Id(OpId { counter: after, actor: 3 });
        (OpId { counter, actor: 3 }, Operation { object: 1, kind: Kind::Value, slot: Slot::After(after) })
    }

    #[test]
    fn typing_is_one_run_and_each_element_knows_its_predecessor() {
        let mut runs = Runs::default();
        for counter in 10..20 {
            let (id, op) = typed(counter, counter - 1);
            runs.push(id, op);
        }
        let (id, op) = typed(20, 12);
        runs.push(id, op);
        assert_eq!(runs.len(), 2);
        for counter in 10..20 {
            let (id, op) = typed(counter, counter - 1);
            assert_eq!(runs.run(counter).map(|run| run.operation(id)), Some(op));
        }
        assert_eq!(runs.run(20).map(|run| run.operation(id)), Some(op));
        assert_eq!(runs.run(9), None);
        assert_eq!(runs.run(21), None);
        assert_eq!(size_of::<Run>(), 24);
    }
}
