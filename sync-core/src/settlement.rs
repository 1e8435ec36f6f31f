//! Answers to conflicts, written into the document and so the same for everybody.
//!
//! Owns what an answer writes: its entry in the reserved root map, and in the same change what the answer needs. Two opposite answers meet
//! in that entry as any two values do. Owns no rule, and does not find conflicts.

mod entry;
mod error;
mod listed;
mod marks;
mod print;
mod values;
mod writing;

use automerge::transaction::Transaction;
use automerge::{Automerge, AutomergeError, ObjId, Prop, ROOT, ReadDoc, ScalarValue};

use crate::conflict::{
    Candidate, Conflict, ConflictId, ConflictIndex, ConflictKind, ConflictState, PathPart, Value, value_at,
};
use crate::id::ChangeHash;
use crate::op_index::OpIndex;
use crate::table::ChangeTable;
use entry::{Entry, name_of, read, write};
use marks::Content;
use writing::Effect;

pub use crate::id::RESERVED_KEY as ROOT_KEY;
pub use error::{AnswerError, Changed};
pub use listed::{Listed, ListedState, Settler, Telling, listed, telling};
pub use writing::Plan;

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;
/// Whose answer is nobody's rule.
const HUMAN: &str = "human@1";
/// The word for an answer that keeps all sides.
const BOTH: &str = "both";
/// What a counter can't be brought to.
const TOO_FAR: AnswerError = AnswerError::Unfit("the sum is beyond what a counter holds");

/// A document, and what is known of the changes that it has.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The document.
    pub document: &'a Automerge,
    /// Its conflicts.
    pub index: &'a ConflictIndex,
    /// Its changes.
    pub table: &'a ChangeTable,
    /// Their operations.
    pub ops: &'a OpIndex,
}

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
    standing_of(read(document, &conflict.id), conflict)
}

fn standing_of(entry: Option<(Entry, ObjId)>, conflict: &Conflict) -> Standing {
    let Some((entry, written)) = entry else { return Standing::Unanswered };
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
    entry::put_text(tx, RULES, Some(text.into()))
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

/// Checks an answer to `conflict`, of which `seen` was looked at. `conflicts` are all of the document.
pub fn plan(
    known: Known<'_>,
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
    let effect = effect(known, conflict, answer)?;
    if conflict.kind == ConflictKind::Rejected {
        return Err(AnswerError::Unfit("what the server refused is tried again or let go"));
    }
    let disputes = disputes(conflicts);
    let also = conflicts.iter().filter(|other| other.is_where(conflict)).map(|other| other.id);
    let also = also.filter(|id| *id != conflict.id && disputes.contains(id)).collect();
    let answer = match answer {
        Answer::Pick(change) => change.to_string(),
        Answer::Both => BOTH.into(),
        Answer::Value(value) => format!("value-{}", print::fingerprint(value.as_ref())),
    };
    let mut knew = conflict.agreeing.clone();
    for (actor, seq) in &conflict.hidden {
        let known = knew.entry(actor.clone()).or_default();
        *known = (*known).max(*seq);
    }
    let (policy, is_disputed) = (HUMAN.into(), disputes.contains(&conflict.id));
    Ok(Plan { conflict: conflict.clone(), note, effect, answer, policy, knew, also, is_disputed })
}

/// What an answer comes to where the conflict is.
fn effect(known: Known<'_>, conflict: &Conflict, answer: &Answer) -> Result<Effect, AnswerError> {
    let now = now(known.document, conflict, None);
    let change = match answer {
        Answer::Value(value) => return held(known, conflict, now.as_ref(), value.clone().map(Content::plain), 0),
        Answer::Both => return both(conflict, now.as_ref(), Some(known)),
        Answer::Pick(change) => change,
    };
    let picked = conflict.candidates.iter().position(|side| side.change == *change);
    let picked = picked.ok_or(AnswerError::Unfit("the conflict has no such side"))?;
    let side = &conflict.candidates[picked];
    let stays = match (conflict.kind, &conflict.marking) {
        // An operation of its own, or somebody who picks another one at the same time would win unseen.
        (ConflictKind::Register, _) => false,
        (_, Some(marking)) => picked == 0 && marking.over.iter().all(|(_, _, by)| by == change),
        // Of what is not in its list any more there may be copies.
        _ => side.value == now && !conflict.spot.is_gone,
    };
    if stays {
        return Ok(Effect::Nothing);
    }
    // What shows may be told as it was before an answer.
    let content = if picked == 0 { side.value.clone().map(Content::plain) } else { known.content(side) };
    held(known, conflict, now.as_ref(), content, picked)
}

/// What stands where a conflict is, now or at other heads.
fn now(document: &Automerge, conflict: &Conflict, heads: Option<&[ChangeHash]>) -> Option<Value> {
    value_at(document, &conflict.spot.object, conflict.prop(document, heads)?, heads)
}

/// What makes a value stand at the place; a mark's as that of this side does.
fn held(
    known: Known<'_>,
    conflict: &Conflict,
    now: Option<&Value>,
    content: Option<Content>,
    side: usize,
) -> Result<Effect, AnswerError> {
    let value = content.as_ref().map(|content| &content.value);
    if let Some(marking) = &conflict.marking {
        let value = match value {
            None => ScalarValue::Null,
            Some(Value::Scalar(scalar)) => scalar.clone(),
            Some(_) => return Err(AnswerError::Unfit("a mark has a plain value")),
        };
        let expand = marking.expand.get(side).copied().unwrap_or_default();
        return Ok(Effect::Format { over: marks::in_dispute(known.document, conflict, marking), value, expand });
    }
    if conflict.spot.is_gone {
        // Where it stood, another one may stand now.
        return Ok(Effect::Stand { after: 0, values: content.into_iter().collect() });
    }
    if let (ConflictKind::CounterOverwrite, Some(wanted), Some(_)) = (conflict.kind, value, now.and_then(counter)) {
        return number(wanted).map(Effect::CountTo).ok_or(AnswerError::Unfit("a counter holds a whole number"));
    }
    Ok(Effect::Put(content))
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Scalar(ScalarValue::Int(number)) => Some(*number),
        value => counter(value),
    }
}

fn counter(value: &Value) -> Option<i64> {
    match value {
        Value::Scalar(ScalarValue::Counter(counter)) => Some(i64::from(counter)),
        _ => None,
    }
}

/// Whether all sides can be kept.
fn keeps_both(document: &Automerge, conflict: &Conflict) -> bool {
    match conflict.kind {
        ConflictKind::CounterOverwrite => both(conflict, now(document, conflict, None).as_ref(), None).is_ok(),
        // Only of a counter it matters what shows.
        ConflictKind::Register | ConflictKind::Container => both(conflict, None, None).is_ok(),
        _ => false,
    }
}

/// What keeps all sides; with how their texts look, if that is to be written.
fn both(conflict: &Conflict, now: Option<&Value>, known: Option<Known<'_>>) -> Result<Effect, AnswerError> {
    const ONE: AnswerError = AnswerError::Unfit("one place can't hold both");
    let content = |side: &Candidate| match known {
        Some(known) => known.content(side),
        None => side.value.clone().map(Content::plain),
    };
    let hidden = || conflict.hidden_sides().iter().filter_map(content);
    match conflict.kind {
        ConflictKind::Container if !conflict.spot.is_gone => {
            let shown = conflict.candidates.first().and_then(|side| side.value.as_ref());
            Ok(Effect::Merge { to: shown.filter(|_| shown != now).cloned(), sides: hidden().collect() })
        }
        ConflictKind::CounterOverwrite => {
            now.and_then(counter).ok_or(ONE)?;
            let before = conflict.base.as_ref().and_then(number).unwrap_or(0);
            let mut steps = hidden().filter_map(|side| number(&side.value)).map(|side| side.checked_sub(before));
            let sum = steps.try_fold(0i64, |sum, step| sum.checked_add(step?));
            Ok(Effect::Count { steps: sum.ok_or(TOO_FAR)? })
        }
        ConflictKind::Register if conflict.spot.is_gone => {
            Ok(Effect::Stand { after: 0, values: conflict.candidates.iter().filter_map(content).collect() })
        }
        ConflictKind::Register if conflict.spot.element.is_some() => {
            Ok(Effect::Stand { after: 1, values: hidden().collect() })
        }
        _ => Err(ONE),
    }
}

/// Takes an answer back, if there is one: what it wrote stays until there is another.
pub fn reopen(tx: &mut Transaction<'_>, id: &ConflictId) -> Result<bool, AutomergeError> {
    match read(tx, id) {
        Some((entry, written)) if !entry.is_reopened => {
            write(tx, id, &Entry { is_reopened: true, note: None, taken: Some(name_of(&written)), ..entry })?;
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
