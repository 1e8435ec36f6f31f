//! Why a change may not enter a document: one reason for each rule.

use std::fmt;

use automerge::legacy;

use crate::change::ScanError;
use crate::id::ActorId;
use crate::table::TableError;

/// Why a change may not enter a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its place among the changes held is wrong: a gap, an unknown dep, another change at its seq.
    #[error(transparent)]
    Place(#[from] TableError),
    /// It is larger than allowed, or its columns are out of bounds.
    #[error(transparent)]
    Bounds(#[from] ScanError),
    /// Its deps are not sorted, or one is named twice.
    #[error("its deps are out of order")]
    DepOrder,
    /// The actor's previous change is held, but is no ancestor of this one.
    #[error("change {seq} of its actor is not among its ancestors")]
    PreviousNotAncestor {
        /// Seq of the previous change.
        seq: u32,
    },
    /// Its first operation is not above all operations of its ancestors.
    #[error("starts at operation {start_op}, its ancestors end at {highest}")]
    StartTooLow {
        /// Where it starts.
        start_op: u64,
        /// Highest operation of its ancestors.
        highest: u64,
    },
    /// Its first operation is further above the highest known than allowed.
    #[error("starts at operation {start_op}, at most {max} allowed")]
    StartTooHigh {
        /// Where it starts.
        start_op: u64,
        /// Highest start allowed.
        max: u64,
    },
    /// It has no operations and yet does not start right after its ancestors' highest.
    #[error("is empty and starts at operation {start_op} instead of {expected}")]
    EmptyStart {
        /// Where it starts.
        start_op: u64,
        /// Where it should.
        expected: u64,
    },
    /// Its actor stands for a fixed change, which this is not.
    #[error("is not the fixed change that its actor stands for")]
    ForgedInit,
    /// Its actor has skipped more operation counters than allowed.
    #[error("its actor has skipped {skipped} operation counters, at most {max} allowed")]
    SkippedTooMany {
        /// Counters skipped, with this change.
        skipped: u64,
        /// The bound.
        max: u64,
    },
    /// It would use operation counters beyond the reserve.
    #[error("ends at operation {last}, at most {max} allowed")]
    CountersExhausted {
        /// Its last operation.
        last: u64,
        /// The bound.
        max: u64,
    },
    /// The document would have more actors than allowed.
    #[error("the document has {0} actors already")]
    TooManyActors(u32),
    /// The document would have more concurrent heads than allowed.
    #[error("the document has {0} concurrent heads already")]
    TooManyHeads(usize),
    /// The index would have to keep more about who had seen what than allowed.
    #[error("the document's actors have seen each other in too many ways")]
    TooManySteps,
    /// The document's op index is as large as allowed.
    #[error("the document has {0} runs of operations, objects and keys already")]
    IndexFull(usize),
    /// Something follows its columns that is no author footer of an actor's first change.
    #[error("ends with {0} bytes that are no author footer of a first change")]
    Footer(usize),
    /// It names an actor that the document does not have.
    #[error("names actor {0}, which the document does not have")]
    UnknownActor(ActorId),
    /// automerge cannot decode it.
    #[error("can't be decoded")]
    Undecodable,
    /// automerge would write the same operations in other bytes.
    #[error("is not encoded as automerge encodes it")]
    NotCanonical,
    /// One of its operations breaks a rule.
    #[error("operation {index}: {wrong}")]
    Operation {
        /// The operation's number in the change, from 0.
        index: u32,
        /// The rule.
        wrong: Wrong,
    },
}

/// Names an operation by counter and actor, as a change does.
#[derive(Clone, PartialEq, Eq)]
pub struct OpName {
    /// The counter.
    pub counter: u64,
    /// The actor.
    pub actor: ActorId,
}

impl From<&legacy::OpId> for OpName {
    fn from(id: &legacy::OpId) -> Self {
        Self { counter: id.counter(), actor: id.actor().clone() }
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.actor)
    }
}

impl fmt::Debug for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The rule an operation breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// What it names is not in the causal past of the change.
    #[error("{0} is not in its causal past")]
    NotPast(OpName),
    /// No object was made by the operation it names as its object.
    #[error("{0} is no object")]
    NoObject(OpName),
    /// It names an element in a map.
    #[error("names an element in a map")]
    ElementInMap,
    /// It names a key in a list or text.
    #[error("names a key in a sequence")]
    KeyInSequence,
    /// It inserts in a map.
    #[error("inserts in a map")]
    InsertInMap,
    /// It updates the place before the first element.
    #[error("updates the head")]
    UpdatesHead,
    /// The element it names was not inserted in its object.
    #[error("{0} is no element of its object")]
    NoElement(OpName),
    /// It updates a mark.
    #[error("updates the mark {0}")]
    UpdatesMark(OpName),
    /// Its predecessors are not sorted, or one is named twice.
    #[error("predecessor {0} is out of order")]
    PredecessorOrder(OpName),
    /// A predecessor stands in another object, or at another key or element.
    #[error("predecessor {0} stands elsewhere")]
    PredecessorElsewhere(OpName),
    /// A predecessor is a delete, an increment or a mark.
    #[error("predecessor {0} is no value")]
    PredecessorNoValue(OpName),
    /// It inserts and has predecessors.
    #[error("an insert has no predecessor")]
    InsertWithPredecessor,
    /// It is a delete, an increment or an update of an element, and has no predecessor.
    #[error("needs a predecessor")]
    NoPredecessor,
    /// It increments where there is no counter.
    #[error("increments no counter")]
    NoCounter,
    /// It increments within a text, where automerge 0.12 can't read a counter that was incremented.
    #[error("increments in a text")]
    IncrementInText,
    /// It inserts a delete or an increment.
    #[error("a delete or increment can't be inserted")]
    InsertsNothing,
    /// A counter or an increment is further from zero than JavaScript can count.
    #[error("counts with {0}, which is out of range")]
    CounterRange(i64),
    /// It makes a table, a kind of map that automerge keeps for old documents and can't apply changes to.
    #[error("makes a table")]
    MakesTable,
    /// Its object would be nested too deep.
    #[error("nested {depth} deep, at most {max} allowed")]
    TooDeep {
        /// Its depth below the root.
        depth: u32,
        /// The bound.
        max: u32,
    },
    /// A mark stands outside a text.
    #[error("a mark outside a text")]
    MarkOutsideText,
    /// A mark does not insert.
    #[error("a mark that does not insert")]
    MarkNotInserted,
    /// A mark's begin is not directly followed by its end in the same text, or an end has no begin.
    #[error("a mark without its other end")]
    MarkUnpaired,
    /// A mark ends before it begins.
    #[error("a mark that ends before it begins")]
    MarkOrder,
    /// The order of a mark's ends takes more steps to find than allowed.
    #[error("the ends of marks lie too far apart")]
    MarkTooFar,
}
