//! Runs of consecutive operations of one actor that differ in nothing but their place in a row.
//!
//! Owns their compact form and lookup. What is typed in one go is one run, however long.

use super::saved::OUT_OF_RANGE;
use crate::pack::PackError;
use crate::pack::leb::{Reader, put_signed, put_unsigned};

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

/// What an operation brings. The numbers stand in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value = 0,
    Counter = 1,
    Make = 2,
    Mark = 3,
    Increment = 4,
    Delete = 5,
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
    /// Not kept: nothing may refer to a delete or an increment. The object is kept of deletes in texts. It is [`super::ROOT`] otherwise, and
    /// in what older versions kept.
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
    Key = 0,
    At = 1,
    After = 2,
    Nowhere = 3,
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

    /// Counter behind its last operation.
    pub(crate) fn end(&self) -> u32 {
        self.start + self.len
    }

    /// Whether it refers to an element, or to the place before the first.
    fn at_element(&self) -> bool {
        matches!(self.form, Form::At | Form::After)
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

    /// Appends the runs to `out`, column by column.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put_unsigned(out, self.0.len() as u64);
        let mut end = 0;
        for run in &self.0 {
            put_unsigned(out, u64::from(run.start - end));
            end = run.end();
        }
        self.0.iter().for_each(|run| put_unsigned(out, u64::from(run.len)));
        self.0.iter().for_each(|run| out.push((run.form as u8) << 4 | run.kind as u8));
        self.0.iter().for_each(|run| put_unsigned(out, u64::from(run.object)));
        for run in &self.0 {
            match run.form {
                Form::Key => put_unsigned(out, u64::from(run.reference.counter)),
                Form::At | Form::After => put_signed(out, i64::from(run.reference.counter) - i64::from(run.start)),
                Form::Nowhere => {}
            }
        }
        let elements = self.0.iter().filter(|run| run.at_element());
        elements.for_each(|run| put_unsigned(out, u64::from(run.reference.actor)));
    }

    /// Reads what [`Runs::save`] of this version wrote.
    pub(super) fn restore(
        r: &mut Reader<'_>,
        version: u8,
        actors: u32,
        objects: u32,
        keys: u32,
    ) -> Result<Self, PackError> {
        let count = r.length()?;
        if count > r.remaining() {
            return Err(PackError::Malformed("it ends early"));
        }
        let gaps = (0..count).map(|_| r.small()).collect::<Result<Vec<_>, _>>()?;
        let lens = (0..count).map(|_| r.small()).collect::<Result<Vec<_>, _>>()?;
        let mut runs = Vec::with_capacity(count);
        let mut end = 0u32;
        for (gap, len) in gaps.into_iter().zip(lens) {
            let start = end.checked_add(gap).filter(|start| *start > 0).ok_or(OUT_OF_RANGE)?;
            end = start.checked_add(len).filter(|_| len > 0).ok_or(OUT_OF_RANGE)?;
            let (kind, form) = read_kind(r.byte()?)?;
            runs.push(Run { start, len, object: 0, reference: OpId { counter: 0, actor: 0 }, kind, form });
        }
        for run in &mut runs {
            run.object = r.small().ok().filter(|object| *object < objects).ok_or(OUT_OF_RANGE)?;
        }
        // The first version says of every run how far its reference lies behind, whatever it is, and an actor.
        let says = |run: &Run| version == 1 || run.at_element();
        for run in &mut runs {
            run.reference.counter = match run.form {
                _ if says(run) => {
                    let counter = r.signed()?.checked_add(i64::from(run.start)).and_then(|c| u32::try_from(c).ok());
                    counter.ok_or(OUT_OF_RANGE)?
                }
                Form::Key => r.small()?,
                _ => 0,
            };
        }
        for run in &mut runs {
            if says(run) {
                run.reference.actor = r.small()?;
            }
            let known = match run.form {
                Form::Key => run.reference.counter < keys && run.reference.actor == 0,
                // What an operation refers to came before it: so every way from one to the next has an end.
                _ => run.reference.actor < actors && run.reference.counter < run.start,
            };
            if !known {
                return Err(OUT_OF_RANGE);
            }
        }
        Ok(Self(runs))
    }

    /// The objects in which marks are.
    pub(crate) fn marked(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().filter(|run| run.kind == Kind::Mark).map(|run| run.object)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Run>()
    }
}

fn read_kind(byte: u8) -> Result<(Kind, Form), PackError> {
    let no_kind = PackError::Malformed("an operation of no kind");
    let kinds = [Kind::Value, Kind::Counter, Kind::Make, Kind::Mark, Kind::Increment, Kind::Delete];
    let forms = [Form::Key, Form::At, Form::After, Form::Nowhere];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == byte & 15).ok_or(no_kind.clone())?;
    let form = forms.into_iter().find(|form| *form as u8 == byte >> 4).ok_or(no_kind)?;
    Ok((kind, form))
}

#[cfg(test)]
mod tests {
    use super::super::saved::VERSION;
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

    /// Two elements, each made after the other, kept whoever looked for their order walking in a circle.
    #[test]
    fn what_stands_after_something_later_is_not_restored() {
        for (after, whole) in [(9, true), (10, false), (11, false)] {
            let mut runs = Runs::default();
            let (id, op) = typed(10, after);
            runs.push(id, op);
            let mut saved = Vec::new();
            runs.save(&mut saved);
            assert_eq!(Runs::restore(&mut Reader::new(&saved), VERSION, 4, 2, 0).is_ok(), whole, "after {after}");
        }
    }
}
