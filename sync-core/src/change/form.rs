//! Whether automerge would write a change in the very bytes in which it came, told without writing it again.
//!
//! Owns the proof. Where it proves nothing, which is rare in what editors write, automerge has to be asked.
//!
//! automerge's encoder writes each column from the operations alone, so that its bytes can differ from those that were decoded in two
//! ways. The same rows can stand in another form: other runs, a column of nulls that is left out, an actor that nobody names; the scan
//! looks at that. Or decoding has dropped something that was in a column: the actor beside a list's head, the counter 0 of an object
//! that is the root, a value, a mark's name or an expand flag where the action has none, the type of an unsigned increment. It adds
//! nothing and moves nothing but predecessors. So where the operations have as much of each as the columns had, nothing was dropped.

use automerge::ScalarValue;
use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpType};

use super::scan::Counts;
use super::{Change, Operations};

/// How a change is written.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub(super) counts: Counts,
    /// Whether the encoder would write the same rows in the same bytes.
    pub(super) plain: bool,
    pub(super) held: Held,
}

/// How much there is of what decoding can drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) objects: u64,
    pub(super) object_counters: u64,
    pub(super) key_actors: u64,
    /// Counters of elements, the head's 0 among them.
    pub(super) elements: u64,
    pub(super) keys: u64,
    /// Values that are null, or none.
    pub(super) nulls: u64,
    /// Values of the unsigned type.
    pub(super) uints: u64,
    pub(super) expands: u64,
    pub(super) names: u64,
}

impl Form {
    /// Whether it is proven that automerge would write these very bytes for `operations`, which are those of `change`, as `self` is its
    /// form. A `false` proves nothing.
    pub fn proves(&self, change: &Change, operations: &Operations) -> bool {
        self.plain && self.held == Held::of(&operations.0) && change.deps().is_sorted() && change.checksum_fits()
    }
}

impl Held {
    fn of(operations: &[Op]) -> Self {
        let mut held = Self::default();
        for op in operations {
            held.objects += u64::from(op.obj != ObjectId::Root);
            match op.key {
                Key::Map(_) => held.keys += 1,
                Key::Seq(ElementId::Head) => held.elements += 1,
                Key::Seq(ElementId::Id(_)) => {
                    held.elements += 1;
                    held.key_actors += 1;
                }
            }
            match &op.action {
                OpType::Put(value) => held.value(value),
                OpType::MarkBegin(MarkData { value, expand, .. }) => {
                    held.value(value);
                    held.names += 1;
                    held.expands += u64::from(*expand);
                }
                OpType::MarkEnd(expand) => {
                    held.nulls += 1;
                    held.expands += u64::from(*expand);
                }
                OpType::Make(_) | OpType::Delete => held.nulls += 1,
                OpType::Increment(_) => {}
            }
        }
        held.object_counters = held.objects;
        held
    }

    fn value(&mut self, value: &ScalarValue) {
        match value {
            ScalarValue::Null => self.nulls += 1,
            ScalarValue::Uint(_) => self.uints += 1,
            _ => {}
        }
    }
}
