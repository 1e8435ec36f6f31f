//! Conflicts: what a merge hid or dropped of somebody's work, found in the set of changes and in nothing else.
//!
//! Owns what a conflict is, the index that finds the places where one may be (`index`; `replay` makes it of a document that is there), what is
//! read of a document when they are listed (`list`, `before`), and what each is called (`name`). A conflict is a function of the set of changes: never
//! of who merged what first. Nothing here is written, and no rule is applied.

mod before;
mod index;
mod list;
mod marks;
mod name;
mod read;
mod replay;
mod steps;

use std::collections::BTreeMap;
use std::fmt;

use automerge::marks::ExpandMark;
use automerge::{ObjId, Prop, ROOT, ReadDoc, ScalarValue};

use crate::id::{ActorId, ChangeHash};

pub use index::ConflictIndex;
pub use read::value_at;
pub(crate) use read::{ids_at, object as object_at, position, said_by};

/// A conflict's name: the same on every replica and on the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId(pub [u8; 16]);

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for ConflictId {
    type Err = ();

    fn from_str(hex: &str) -> Result<Self, ()> {
        let mut id = [0; 16];
        if hex.len() != 32 || !hex.is_ascii() {
            return Err(());
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(id))
    }
}

impl fmt::Debug for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConflictId({self})")
    }
}

/// What has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConflictKind {
    /// Several values at one key or element.
    Register,
    /// A deletion, or a value put over an object, met work on what it took away.
    DeleteUpdate,
    /// Work in an object by somebody who already had its deletion.
    EditInDeleted,
    /// Several objects, or an object and values, at one key or element.
    Container,
    /// Steps of a counter that was overwritten.
    CounterOverwrite,
    /// Several marks of one name on the same characters.
    Mark,
    /// A change that the server refused.
    Rejected,
}

impl ConflictKind {
    /// Its name, as it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::DeleteUpdate => "delete-update",
            Self::EditInDeleted => "edit-in-deleted",
            Self::Container => "container",
            Self::CounterOverwrite => "counter-overwrite",
            Self::Mark => "mark",
            Self::Rejected => "rejected",
        }
    }
}

/// Where a conflict stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConflictState {
    /// Nobody has answered it.
    Open,
    /// Somebody who held all sides wrote there later, without having settled it.
    Superseded,
}

/// A step from the root to a place in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathPart {
    /// A map's key.
    Key(String),
    /// An element, or a character of a text, by its index.
    Index(usize),
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Anything but an object.
    Scalar(ScalarValue),
    /// A map.
    Map(BTreeMap<String, Value>),
    /// A list.
    List(Vec<Value>),
    /// A text.
    Text(String),
}

impl Value {
    /// About how many bytes it takes as JSON.
    pub fn bytes(&self) -> usize {
        /// A number, a word, or what stands around an entry.
        const SMALL: usize = 16;
        match self {
            Self::Scalar(ScalarValue::Str(text)) => SMALL + text.len(),
            // As numbers with commas.
            Self::Scalar(ScalarValue::Bytes(bytes) | ScalarValue::Unknown { bytes, .. }) => SMALL + 4 * bytes.len(),
            Self::Scalar(_) => SMALL,
            Self::Text(text) => SMALL + text.len(),
            Self::List(items) => SMALL + items.iter().map(Self::bytes).sum::<usize>(),
            Self::Map(entries) => {
                SMALL + entries.iter().map(|(key, entry)| SMALL + key.len() + entry.bytes()).sum::<usize>()
            }
        }
    }
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it says; `None`: that nothing should be there.
    pub value: Option<Value>,
    /// Who says so.
    pub actor: ActorId,
    /// The author that the change names, if it names one.
    pub author: Option<Vec<u8>>,
    /// The author's clock, in milliseconds since 1970.
    pub time: i64,
    /// The change, or of several the last.
    pub change: ChangeHash,
    /// Whether the document shows this one.
    pub shown: bool,
    /// Whether it was written here. Only a replica knows; else false.
    pub mine: bool,
    /// Where the value is an object, its id: it can be read by it, though no path may lead there.
    pub object: Option<ObjId>,
}

/// From where the numbers of a conflict's sides are to be counted, by a rule that adds up everybody's steps.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Steps {
    /// From the base: no two sides have a step in common.
    #[default]
    FromBase,
    /// Some have. These numbers, each as often as it says, add up to what all steps make of where they began, with each step counted
    /// once. What is no number is null.
    Shared(Vec<(Value, i64)>),
    /// Some may have, and more was put there than is looked at.
    TooMany,
}

/// Where a conflict is, by what does not move when others write.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// The object that holds the place.
    pub object: ObjId,
    /// Of a list the element, by the operation that inserted it; at a key of a map none.
    pub element: Option<ObjId>,
    /// The element is not in the list any more: the path says where it stood, which may be another one's place by now.
    pub is_gone: bool,
}

impl Default for Spot {
    fn default() -> Self {
        Self { object: ROOT, element: None, is_gone: false }
    }
}

/// Which marks a conflict is about, and where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Marking {
    /// Their name.
    pub name: String,
    /// The characters in dispute, now: from which, until which, and the change whose mark shows there.
    pub over: Vec<(usize, usize, ChangeHash)>,
    /// At which of these the conflict is: where its first side shows, if that is anywhere.
    pub place: usize,
    /// Those at the conflict's place, as a text: its beginning, if they are many.
    pub words: String,
    /// What shows there.
    pub shows: Option<Value>,
    /// How each side's mark takes in what is written beside it.
    pub expand: Vec<ExpandMark>,
}

/// Somebody's work that a merge hid, with what hid it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Its name.
    pub id: ConflictId,
    /// Grows as more of the losing side arrives, falls as somebody overwrites some of it who knew of that, and is another for other sides of
    /// the same number: how many operations or changes are hidden stands above the lower 32 bits, and a digest of their ids in these. Below 2^53.
    pub version: u64,
    /// Where.
    pub path: Vec<PathPart>,
    /// What has met.
    pub kind: ConflictKind,
    /// What was there before the sides parted.
    pub base: Option<Value>,
    /// The sides, the one that is shown first.
    pub candidates: Vec<Candidate>,
    /// If the sides are numbers: which steps they have in common.
    pub steps: Steps,
    /// Of each actor whose work is hidden the seq of the last change that holds some of it: what an answer's author must have known.
    pub hidden: BTreeMap<ActorId, u32>,
    /// The same of objects that say what shows: an edit in what shows, as an answer may be, hides them.
    pub agreeing: BTreeMap<ActorId, u32>,
    /// Where it stands.
    pub state: ConflictState,
    /// The place, by what does not move.
    pub spot: Spot,
    /// Of marks, which they are.
    pub marking: Option<Box<Marking>>,
    /// All sides are objects that say the same by now. It is none any more, unless that is because somebody has answered it so.
    pub agrees: bool,
}

impl Conflict {
    /// The sides beside the one that shows.
    pub(crate) fn hidden_sides(&self) -> &[Candidate] {
        self.candidates.get(1..).unwrap_or_default()
    }

    /// Whether another conflict is about the same place.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        let name = |one: &Self| one.marking.as_ref().map(|marking| marking.name.clone());
        self.path == other.path && self.spot == other.spot && name(self) == name(other)
    }

    /// The key or index of its place, now or at other heads; `None` if its element is gone.
    pub(crate) fn prop<D: ReadDoc>(&self, document: &D, heads: Option<&[ChangeHash]>) -> Option<Prop> {
        match (&self.spot.element, self.path.last()?) {
            (None, PathPart::Key(key)) => Some(key.as_str().into()),
            (Some(ObjId::Id(counter, actor, _)), _) if !self.spot.is_gone => {
                position(document, &self.spot.object, &format!("{counter}@{actor}"), heads).map(Prop::Seq)
            }
            _ => None,
        }
    }
}
