//! Answers to conflicts, written into the document and so the same for everybody.
//!
//! Owns what an answer writes: its entry in the reserved root map, and in the same change what the answer needs. Two opposite answers meet
//! in that entry as any two values do. Owns no rule, and does not find conflicts.

mod entry;
mod error;
mod listed;
mod print;
mod values;

use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, AutomergeError, ObjId, Prop, ROOT, ReadDoc, ScalarValue};

use crate::conflict::{Candidate, Conflict, ConflictId, ConflictKind, ConflictState, PathPart, Value, value_at};
use crate::id::ChangeHash;
use entry::{Entry, read, write};
use values::{insert, merge, put};

pub use crate::id::RESERVED_KEY as ROOT_KEY;
pub use error::{AnswerError, Changed};
pub use listed::{Listed, ListedState, Settler, Telling, listed, telling};

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;
/// Whose answer is nobody's rule.
const HUMAN: &str = "human@1";
/// What a counter can't be brought to.
const TOO_FAR: AnswerError = AnswerError::Unfit("the sum is beyond what a counter holds");

/// An answer to a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The side that this change wrote.
    Pick(ChangeHash),
    /// This value; `None`: that nothing should be there.
    Value(Option<Value>),
    /// What keeps all sides.
    Both,
}

/// What somebody has looked at who answers a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which one it is.
    pub id: ConflictId,
    /// The version that was looked at.
    pub version: u64,
    /// Its sides, to say what has changed; none where they are not known any more.
    pub candidates: Vec<Candidate>,
}

impl From<&Conflict> for Seen {
    fn from(conflict: &Conflict) -> Self {
        Self { id: conflict.id, version: conflict.version, candidates: conflict.candidates.clone() }
    }
}

impl From<&Listed> for Seen {
    fn from(listed: &Listed) -> Self {
        Self::from(&listed.conflict)
    }
}

/// An answer that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Whose rule answered.
    pub policy: String,
    /// Why, for those who look at it later.
    pub note: Option<String>,
    /// The operation that wrote it, by which its change is found.
    pub written: ObjId,
}

/// Where a conflict stands, by what the document says of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nobody has answered it, or only when it had other sides.
    Unanswered,
    /// It is answered.
    Settled(Settled),
    /// It was answered, and the answer taken back.
    Reopened,
}

/// What the document says of a conflict.
pub fn standing(document: &Automerge, conflict: &Conflict) -> Standing {
    let Some((entry, written)) = read(document, &conflict.id) else { return Standing::Unanswered };
    match entry {
        Entry { is_reopened: true, .. } => Standing::Reopened,
        // It answers other sides than there are. A greater version is no wider answer: anybody can write any number.
        Entry { version, .. } if version != conflict.version => Standing::Unanswered,
        Entry { policy, note, .. } => Standing::Settled(Settled { policy, note, written }),
    }
}

/// Whether a conflict was answered as it is, or an answer to it was taken back: then no rule is to answer it again.
pub fn was_answered(document: &Automerge, conflict: &Conflict) -> bool {
    read(document, &conflict.id).is_some_and(|(entry, _)| entry.is_reopened || entry.version == conflict.version)
}

/// Where the rules that an application declares stand in the reserved map: no conflict has this name.
const RULES: &str = "rules";

/// The text that declares an application's rules, if there is one.
pub fn declared(document: &Automerge) -> Option<String> {
    let (_, entries) = document.get(ROOT, ROOT_KEY).ok()??;
    Some(document.get(&entries, RULES).ok()??.0.as_str()?.to_owned())
}

/// Declares an application's rules by their text.
pub fn declare(tx: &mut Transaction<'_>, text: &str) -> Result<(), AutomergeError> {
    entry::put_text(tx, RULES, text.into())
}

/// Whether a conflict is one of answers, and so about another one.
pub fn is_of_answers(conflict: &Conflict) -> bool {
    matches!(conflict.path.first(), Some(PathPart::Key(root)) if root == ROOT_KEY)
}

/// Conflicts that two have answered without knowing of each other.
pub fn disputes(conflicts: &[Conflict]) -> Vec<ConflictId> {
    // What the server refused of this client's is in no log, and disputes nothing.
    let counts =
        |conflict: &&Conflict| conflict.kind != ConflictKind::Rejected && conflict.state == ConflictState::Open;
    let open = conflicts.iter().filter(|conflict| is_of_answers(conflict)).filter(counts);
    let about = open.filter_map(|conflict| match conflict.path.get(1) {
        Some(PathPart::Key(id)) => id.parse().ok(),
        _ => None,
    });
    about.collect()
}

/// What is to be written for an answer, checked against what the conflict is now.
#[derive(Clone, Debug)]
pub struct Plan {
    id: ConflictId,
    version: u64,
    note: Option<String>,
    path: Vec<PathPart>,
    effect: Effect,
    answer: String,
    policy: String,
    /// Conflicts at the same place with two answers, of which this makes one.
    also: Vec<ConflictId>,
}

#[derive(Clone, Debug)]
enum Effect {
    Nothing,
    Put(Option<Value>),
    Merge(Vec<Value>),
    /// A counter is to have these steps on top of what it was put to.
    Count {
        steps: i64,
    },
    /// A counter is to hold this.
    CountTo(i64),
    /// Elements that are to stand `after` places behind the path's.
    Insert {
        values: Vec<Value>,
        after: usize,
    },
}

/// Checks an answer to `conflict`, of which `seen` was looked at. `conflicts` are all of the document.
pub fn plan(
    conflict: &Conflict,
    seen: &Seen,
    answer: &Answer,
    note: Option<String>,
    conflicts: &[Conflict],
) -> Result<Plan, AnswerError> {
    let version = conflict.version;
    if seen.version != version {
        return Err(AnswerError::Changed(Box::new(Changed {
            was: seen.candidates.clone(),
            now: conflict.candidates.clone(),
            version,
        })));
    }
    if note.as_ref().is_some_and(|note| note.len() > NOTE_BYTES_MAX) {
        return Err(AnswerError::Unfit("the note is too long"));
    }
    let effect = match answer {
        Answer::Value(value) => held(conflict, value.clone())?,
        Answer::Both => both(conflict)?,
        Answer::Pick(change) => {
            let picked = conflict.candidates.iter().find(|side| side.change == *change);
            let picked = picked.ok_or(AnswerError::Unfit("the conflict has no such side"))?;
            let stays = picked.shown && conflict.kind != ConflictKind::Register;
            if stays { Effect::Nothing } else { held(conflict, picked.value.clone())? }
        }
    };
    if conflict.kind == ConflictKind::Rejected {
        return Err(AnswerError::Unfit("what the server refused is tried again or let go"));
    }
    let disputes = disputes(conflicts);
    let also = conflicts.iter().filter(|other| other.path == conflict.path && disputes.contains(&other.id));
    let also = also.map(|other| other.id).filter(|id| *id != conflict.id).collect();
    let answer = match answer {
        Answer::Pick(change) => change.to_string(),
        Answer::Both => "both".into(),
        Answer::Value(value) => format!("value-{}", print::fingerprint(value.as_ref())),
    };
    Ok(Plan { id: conflict.id, version, note, path: conflict.path.clone(), effect, answer, policy: HUMAN.into(), also })
}

/// What makes a value stand at the place.
fn held(conflict: &Conflict, value: Option<Value>) -> Result<Effect, AnswerError> {
    if conflict.kind == ConflictKind::Mark {
        // Its place is a character, which is not to be replaced.
        return Err(AnswerError::Unfit(
            "a format is changed by formatting again; then the answer is the one that shows",
        ));
    }
    let is_gone = conflict.candidates.iter().any(|side| side.shown && side.value.is_none());
    Ok(match (conflict.kind, value, conflict.path.last()) {
        (ConflictKind::CounterOverwrite, Some(value), _) => {
            Effect::CountTo(number(&value).ok_or(AnswerError::Unfit("a counter holds a whole number"))?)
        }
        // Where a deleted element stood, another one may stand now.
        (_, Some(value), Some(PathPart::Index(_))) if is_gone => Effect::Insert { values: vec![value], after: 0 },
        (_, None, Some(PathPart::Index(_))) if is_gone => Effect::Nothing,
        (_, value, _) => Effect::Put(value),
    })
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Scalar(ScalarValue::Counter(counter)) => Some(i64::from(counter)),
        Value::Scalar(ScalarValue::Int(number)) => Some(*number),
        _ => None,
    }
}

fn both(conflict: &Conflict) -> Result<Effect, AnswerError> {
    let hidden = || conflict.candidates.iter().filter(|side| !side.shown).filter_map(|side| side.value.clone());
    match (conflict.kind, conflict.path.last()) {
        (ConflictKind::Container, _) => Ok(Effect::Merge(hidden().collect())),
        (ConflictKind::CounterOverwrite, _) => {
            let before = conflict.base.as_ref().and_then(number).unwrap_or(0);
            let mut steps = hidden().filter_map(|side| number(&side)).map(|side| side.checked_sub(before));
            let sum = steps.try_fold(0i64, |sum, step| sum.checked_add(step?));
            Ok(Effect::Count { steps: sum.ok_or(TOO_FAR)? })
        }
        (ConflictKind::Register, Some(PathPart::Index(_))) => {
            Ok(Effect::Insert { values: hidden().collect(), after: 1 })
        }
        _ => Err(AnswerError::Unfit("one place can't hold both")),
    }
}

impl Plan {
    /// The answer is a rule's, of this name and version.
    pub fn by(self, policy: String) -> Self {
        Self { policy, ..self }
    }

    /// Writes the answer.
    pub fn write(self, tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
        let counted = read(tx, &self.id).map_or(0, |(entry, _)| entry.counted);
        let place = place(tx, &self.path);
        let now = place.as_ref().and_then(|(object, prop)| value_in(tx, object, prop));
        let more = match self.effect {
            Effect::Count { steps } => steps.checked_sub(counted),
            Effect::CountTo(target) => target.checked_sub(now.unwrap_or(target)),
            _ => Some(0),
        };
        let more = more.filter(|more| now.is_none_or(|now| now.checked_add(*more).is_some()));
        let more = more.ok_or(AutomergeError::Fail)?;
        let steps = counted.checked_add(more).ok_or(AutomergeError::Fail)?;
        match (&self.effect, place) {
            (Effect::Nothing, _) => {}
            // What stood above it is gone as well: the answer is known, and there is no place for it.
            (_, None) => return Err(AutomergeError::NotAnObject),
            (Effect::Put(value), Some((object, prop))) => put(tx, &object, prop, value.as_ref())?,
            (Effect::Merge(sides), Some((object, prop))) => {
                sides.iter().try_for_each(|side| merge(tx, &object, prop.clone(), side, 0))?
            }
            (Effect::Insert { values, after }, Some((list, Prop::Seq(index)))) => {
                let at = (index + after).min(tx.length(&list));
                for (offset, value) in values.iter().enumerate() {
                    insert(tx, &list, at + offset, value)?;
                }
            }
            (Effect::Count { .. } | Effect::CountTo(_), Some((object, prop))) if more != 0 => {
                tx.increment(&object, prop, more)?
            }
            _ => {}
        }
        let entry = Entry {
            version: self.version,
            policy: self.policy,
            note: self.note,
            is_reopened: false,
            counted: steps,
            answer: self.answer,
        };
        for id in &self.also {
            if let Some((entry, _)) = read(tx, id) {
                write(tx, id, &entry)?;
            }
        }
        write(tx, &self.id, &entry)
    }
}

/// What a counter holds.
fn value_in<D: ReadDoc>(document: &D, object: &ObjId, prop: &Prop) -> Option<i64> {
    match document.get(object, prop.clone()).ok()?? {
        (automerge::Value::Scalar(scalar), _) => number(&Value::Scalar(scalar.into_owned())),
        _ => None,
    }
}

/// Takes an answer back, if there is one: what it wrote stays until there is another.
pub fn reopen(tx: &mut Transaction<'_>, id: &ConflictId) -> Result<bool, AutomergeError> {
    match read(tx, id) {
        Some((entry, _)) if !entry.is_reopened => {
            write(tx, id, &Entry { is_reopened: true, note: None, ..entry })?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// What stands at a path now.
pub fn stands(document: &Automerge, path: &[PathPart], heads: Option<&[ChangeHash]>) -> Option<Value> {
    let (object, prop) = place(document, path)?;
    value_at(document, &object, prop, heads)
}

/// The object that holds a place, and the place in it.
fn place<D: ReadDoc>(document: &D, path: &[PathPart]) -> Option<(ObjId, Prop)> {
    let prop = |step: &PathPart| match step {
        PathPart::Key(key) => Prop::Map(key.clone()),
        PathPart::Index(index) => Prop::Seq(*index),
    };
    let (last, above) = path.split_last()?;
    let object =
        above.iter().try_fold(ROOT, |object: ObjId, step| match document.get(&object, prop(step)).ok()?? {
            (automerge::Value::Object(_), id) => Some(id),
            _ => None,
        })?;
    Some((object, prop(last)))
}

#[cfg(test)]
mod tests;
