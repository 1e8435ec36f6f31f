//! Answers to conflicts, written into the document and so the same for everybody.
//!
//! Owns what an answer writes: its entry in the reserved root map, and in the same change what the answer needs. Two opposite answers meet
//! in that entry as any two values do. Owns no rule, and does not find conflicts.

mod error;
mod listed;
mod print;

use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue};

use crate::conflict::{Candidate, Conflict, ConflictId, ConflictKind, ConflictState, PathPart, Value, value_at};
use crate::id::ChangeHash;

pub use crate::id::RESERVED_KEY as ROOT_KEY;
pub use error::{AnswerError, Changed};
pub use listed::{Listed, ListedState, listed};

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;
/// What a counter can't be brought to.
const TOO_FAR: AnswerError = AnswerError::Unfit("the sum is beyond what a counter holds");
/// Deepest nesting of a value that is put back.
const DEPTH_MAX: usize = 100;

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

/// An answer as the document keeps it: a string of `1`, the version, `settled` or `reopened`, the steps, the answer and the policy, with a space
/// between each two, and on the lines after the first the note.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// The conflict's version that was answered.
    version: u64,
    /// Whose rule answered: a person is `human@1`.
    policy: String,
    note: Option<String>,
    /// The answer was taken back.
    is_reopened: bool,
    /// Steps that answers have added to a counter, so that another answer does not add them again.
    counted: i64,
    /// The change picked, `both`, or `value-` with the value's fingerprint: two answers that are not the same are not written alike.
    answer: String,
}

impl Entry {
    fn encode(&self) -> String {
        let state = if self.is_reopened { "reopened" } else { "settled" };
        let note = self.note.iter().flat_map(|note| ["\n", note]).collect::<String>();
        format!("1 {} {state} {} {} {}{note}", self.version, self.counted, self.answer, self.policy)
    }

    fn decode(text: &str) -> Option<Self> {
        let (line, note) = text.split_once('\n').map_or((text, None), |(line, note)| (line, Some(note)));
        let mut parts = line.splitn(6, ' ');
        let mut part = || parts.next();
        if part() != Some("1") {
            return None;
        }
        let version = part()?.parse().ok()?;
        let is_reopened = part()? == "reopened";
        let counted = part()?.parse().ok()?;
        let answer = part()?.into();
        Some(Self { version, policy: part()?.into(), note: note.map(Into::into), is_reopened, counted, answer })
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

/// Whether a conflict is one of answers, and so about another one.
pub fn is_of_answers(conflict: &Conflict) -> bool {
    matches!(conflict.path.first(), Some(PathPart::Key(root)) if root == ROOT_KEY)
}

/// Conflicts that two have answered without knowing of each other.
pub fn disputes(conflicts: &[Conflict]) -> Vec<ConflictId> {
    let open = conflicts.iter().filter(|conflict| is_of_answers(conflict) && conflict.state == ConflictState::Open);
    let about = open.filter_map(|conflict| match conflict.path.get(1) {
        Some(PathPart::Key(id)) => id.parse().ok(),
        _ => None,
    });
    about.collect()
}

fn read<D: ReadDoc>(document: &D, id: &ConflictId) -> Option<(Entry, ObjId)> {
    let (_, entries) = document.get(ROOT, ROOT_KEY).ok()??;
    let (value, written) = document.get(&entries, id.to_string()).ok()??;
    Some((Entry::decode(value.as_str()?)?, written))
}

fn write(tx: &mut Transaction<'_>, id: &ConflictId, entry: &Entry) -> Result<(), AutomergeError> {
    let entries = match tx.get(ROOT, ROOT_KEY)? {
        Some((automerge::Value::Object(ObjType::Map), entries)) => entries,
        _ => tx.put_object(ROOT, ROOT_KEY, ObjType::Map)?,
    };
    // An equal value would write nothing, and so answer nobody who answers otherwise at the same time.
    tx.put(&entries, id.to_string(), ScalarValue::Null)?;
    tx.put(&entries, id.to_string(), entry.encode())
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
    Ok(Plan { id: conflict.id, version, note, path: conflict.path.clone(), effect, answer, also })
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
            policy: "human@1".into(),
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

/// Puts a value where several may stand. Of one that is equal to what shows a new operation must come to be, or somebody who puts
/// another one at the same time would win unseen.
fn put(tx: &mut Transaction<'_>, object: &ObjId, prop: Prop, value: Option<&Value>) -> Result<(), AutomergeError> {
    let held = tx.get(object, prop.clone())?;
    match (value, held, &prop) {
        (None, None, _) => Ok(()),
        (None, Some(_), _) => tx.delete(object, prop),
        (Some(value), None, Prop::Seq(index)) => insert(tx, object, (*index).min(tx.length(object)), value),
        (Some(Value::Scalar(scalar)), Some(_), _) => {
            let other = if *scalar == ScalarValue::Null { ScalarValue::Boolean(false) } else { ScalarValue::Null };
            tx.put(object, prop.clone(), other)?;
            tx.put(object, prop, scalar.clone())
        }
        (Some(value), Some((automerge::Value::Object(kind), held)), _) if kind == kind_of(value) => {
            become_value(tx, &held, value, 0)
        }
        (Some(value), _, _) => make(tx, object, prop, value),
    }
}

fn kind_of(value: &Value) -> ObjType {
    match value {
        Value::List(_) => ObjType::List,
        Value::Text(_) => ObjType::Text,
        Value::Map(_) | Value::Scalar(_) => ObjType::Map,
    }
}

/// Makes an object hold what `value` says, key by key, so that what others write in it meanwhile is kept.
fn become_value(tx: &mut Transaction<'_>, object: &ObjId, value: &Value, depth: usize) -> Result<(), AutomergeError> {
    if depth > DEPTH_MAX {
        return Err(AutomergeError::Fail);
    }
    match value {
        Value::Map(entries) => {
            let gone: Vec<String> = tx.keys(object).filter(|key| !entries.contains_key(key)).collect();
            gone.into_iter().try_for_each(|key| tx.delete(object, key))?;
            for (key, entry) in entries {
                match (tx.get(object, key.as_str())?, entry) {
                    (Some((automerge::Value::Scalar(held), _)), Value::Scalar(scalar)) if *held == *scalar => {}
                    (Some((automerge::Value::Object(kind), held)), Value::Map(_) | Value::List(_) | Value::Text(_))
                        if kind == kind_of(entry) =>
                    {
                        become_value(tx, &held, entry, depth + 1)?
                    }
                    _ => make(tx, object, key.as_str().into(), entry)?,
                }
            }
            Ok(())
        }
        Value::List(items) => {
            (0..tx.length(object)).rev().try_for_each(|index| tx.delete(object, index))?;
            items.iter().enumerate().try_for_each(|(index, item)| insert(tx, object, index, item))
        }
        Value::Text(text) => tx.update_text(object, text),
        Value::Scalar(_) => Ok(()),
    }
}

/// Adds to what shows what another side has and it has not: keys of maps, at any depth, elements of lists, the text behind a text.
fn merge(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    prop: Prop,
    side: &Value,
    depth: usize,
) -> Result<(), AutomergeError> {
    if depth > DEPTH_MAX {
        return Err(AutomergeError::Fail);
    }
    match (tx.get(object, prop.clone())?, side) {
        (None, side) => make(tx, object, prop, side),
        (Some((automerge::Value::Object(ObjType::Map), held)), Value::Map(entries)) => {
            entries.iter().try_for_each(|(key, entry)| merge(tx, &held, key.as_str().into(), entry, depth + 1))
        }
        (Some((automerge::Value::Object(ObjType::List), held)), Value::List(items)) => {
            let length = tx.length(&held);
            items.iter().enumerate().try_for_each(|(index, item)| insert(tx, &held, length + index, item))
        }
        (Some((automerge::Value::Object(ObjType::Text), held)), Value::Text(text)) => {
            let length = tx.length(&held);
            tx.splice_text(&held, length, 0, text)
        }
        // Of two values for one key the one that shows stays.
        _ => Ok(()),
    }
}

fn make(tx: &mut Transaction<'_>, object: &ObjId, prop: Prop, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Scalar(scalar) => tx.put(object, prop, scalar.clone()),
        _ => {
            let made = tx.put_object(object, prop, kind_of(value))?;
            fill(tx, &made, value)
        }
    }
}

fn insert(tx: &mut Transaction<'_>, list: &ObjId, index: usize, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Scalar(scalar) => tx.insert(list, index, scalar.clone()),
        _ => {
            let made = tx.insert_object(list, index, kind_of(value))?;
            fill(tx, &made, value)
        }
    }
}

fn fill(tx: &mut Transaction<'_>, object: &ObjId, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Map(entries) => entries.iter().try_for_each(|(key, entry)| make(tx, object, key.as_str().into(), entry)),
        Value::List(items) => items.iter().enumerate().try_for_each(|(index, item)| insert(tx, object, index, item)),
        Value::Text(text) => tx.splice_text(object, 0, 0, text),
        Value::Scalar(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
