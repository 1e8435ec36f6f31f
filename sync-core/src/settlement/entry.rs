//! An answer as it stands in the reserved map of a document.
//!
//! Owns its text, and reading and writing it there. What an answer means is decided above.

use std::collections::BTreeMap;

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

use super::ROOT_KEY;
use crate::conflict::ConflictId;
use crate::id::ActorId;

/// An answer as the document keeps it: a string of `2`, the version, `settled` or `reopened`, what was done, the answer, what its author knew, the
/// first answer, the one taken back and the policy, with a space between each two, and on the lines after the first the note. One that begins with
/// `1` says of what was done only how many steps a counter was given, and neither what its author knew nor what it takes back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The conflict's version that was answered.
    pub(super) version: u64,
    /// Whose rule answered: a person is `human@1`.
    pub(super) policy: String,
    pub(super) note: Option<String>,
    /// The answer was taken back.
    pub(super) is_reopened: bool,
    /// What answers have done that is not the same when it is done twice, by the operation that did it: steps of a counter; an element
    /// that was inserted; that something was added elsewhere. So another answer does not add it again, and the same given by two at once is
    /// not written alike.
    pub(super) done: BTreeMap<String, i64>,
    /// The change picked, `both`, or `value-` with the value's fingerprint: two answers that are not the same are not written alike.
    pub(super) answer: String,
    /// Of each actor whose work was on a side that did not show the seq of the last change that holds some of it.
    pub(super) knew: BTreeMap<ActorId, u32>,
    /// The operation that wrote the first answer to this version, if this is not the first.
    pub(super) first: Option<String>,
    /// If the answer was taken back, the operation that wrote it.
    pub(super) taken: Option<String>,
}

impl Entry {
    pub(super) fn encode(&self) -> String {
        let state = if self.is_reopened { "reopened" } else { "settled" };
        let note = self.note.iter().flat_map(|note| ["\n", note]).collect::<String>();
        let done = self.done.iter().map(|(op, steps)| if *steps == 0 { op.clone() } else { format!("{op}{steps:+}") });
        let knew = self.knew.iter().map(|(actor, seq)| format!("{actor}:{seq}"));
        let (done, knew) = (word(done), word(knew));
        let [first, taken] = [&self.first, &self.taken].map(|name| name.as_deref().unwrap_or(NONE));
        let Self { version, answer, policy, .. } = self;
        format!("2 {version} {state} {done} {answer} {knew} {first} {taken} {policy}{note}")
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let (line, note) = text.split_once('\n').map_or((text, None), |(line, note)| (line, Some(note)));
        let (format, line) = line.split_once(' ')?;
        let words: Vec<&str> = line.splitn(if format == "1" { 5 } else { 8 }, ' ').collect();
        let (version, state, answer, policy);
        let (mut knew, mut first, mut taken) = (BTreeMap::new(), None, None);
        let done = match (format, &words[..]) {
            ("1", [a, b, steps, c, d]) => {
                (version, state, answer, policy) = (a, b, c, d);
                one_sum(steps.parse().ok()?)
            }
            ("2", [a, b, done, c, known, one, other, d]) => {
                (version, state, answer, policy) = (a, b, c, d);
                [first, taken] = [one, other].map(|name| Some((*name).to_owned()).filter(|name| name != NONE));
                knew = each(known, knowing)?;
                each(done, did)?
            }
            _ => return None,
        };
        let (version, is_reopened) = (version.parse().ok()?, **state == *"reopened");
        let (policy, note, answer) = ((*policy).into(), note.map(Into::into), (*answer).into());
        Some(Self { version, policy, note, is_reopened, done, answer, knew, first, taken })
    }

    /// Whether its author says to have known all of this, which is something.
    pub(super) fn knew(&self, work: &BTreeMap<ActorId, u32>) -> bool {
        let knew = |(actor, seq): (&ActorId, &u32)| self.knew.get(actor).is_some_and(|known| known >= seq);
        !work.is_empty() && work.iter().all(knew)
    }
}

/// What stands for nothing at all.
const NONE: &str = "-";

fn word(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { NONE.into() } else { parts.join(",") }
}

fn each<K: Ord, V>(word: &str, one: impl Fn(&str) -> Option<(K, V)>) -> Option<BTreeMap<K, V>> {
    let mut all = BTreeMap::new();
    for part in word.split(',').filter(|_| word != NONE) {
        let (key, value) = one(part)?;
        all.insert(key, value);
    }
    Some(all)
}

fn knowing(text: &str) -> Option<(ActorId, u32)> {
    let (actor, seq) = text.split_once(':')?;
    Some((ActorId::try_from(actor).ok()?, seq.parse().ok()?))
}

fn did(text: &str) -> Option<(String, i64)> {
    match text.find(['+', '-']) {
        Some(at) => Some((text[..at].into(), text[at..].parse().ok()?)),
        None => Some((text.into(), 0)),
    }
}

/// Of an old entry, which does not say by which operations.
fn one_sum(steps: i64) -> BTreeMap<String, i64> {
    if steps == 0 { BTreeMap::new() } else { [(String::new(), steps)].into() }
}

/// An operation's name in an entry.
pub(super) fn name_of(operation: &ObjId) -> String {
    match operation {
        ObjId::Id(counter, actor, _) => format!("{counter}@{actor}"),
        ObjId::Root => NONE.into(),
    }
}

/// The operation of a name.
pub(super) fn operation(name: &str) -> Option<ObjId> {
    let (counter, actor) = name.split_once('@')?;
    Some(ObjId::Id(counter.parse().ok()?, ActorId::try_from(actor).ok()?, 0))
}

/// All answers that nobody has overwritten: two who did not know of each other give several. The last shows.
pub(super) fn all_of<D: ReadDoc>(document: &D, id: &ConflictId) -> Vec<(Entry, ObjId)> {
    let entries = document.get(ROOT, ROOT_KEY).ok().flatten();
    let all = entries.and_then(|(_, entries)| document.get_all(&entries, id.to_string()).ok()).unwrap_or_default();
    let read = |(value, written): (automerge::Value<'_>, ObjId)| Some((Entry::decode(value.as_str()?)?, written));
    all.into_iter().filter_map(read).collect()
}

/// The answer that shows, with what all answers that nobody has overwritten have done.
pub(super) fn read<D: ReadDoc>(document: &D, id: &ConflictId) -> Option<(Entry, ObjId)> {
    let mut all = all_of(document, id);
    let (mut shown, written) = all.pop()?;
    all.into_iter().for_each(|(other, _)| shown.done.extend(other.done));
    Some((shown, written))
}

/// Begins to write an entry, of which nothing is to be equal to what stands there; gives the operation's name.
pub(super) fn claim(tx: &mut Transaction<'_>, id: &ConflictId) -> Result<String, AutomergeError> {
    put_text(tx, &id.to_string(), None)?;
    let (_, entries) = tx.get(ROOT, ROOT_KEY)?.ok_or(AutomergeError::Fail)?;
    let (_, written) = tx.get(&entries, id.to_string())?.ok_or(AutomergeError::Fail)?;
    Ok(name_of(&written))
}

pub(super) fn write(tx: &mut Transaction<'_>, id: &ConflictId, entry: &Entry) -> Result<(), AutomergeError> {
    put_text(tx, &id.to_string(), Some(entry.encode()))
}

/// Writes under a key of the reserved map; without a text, only what makes room for one.
pub(super) fn put_text(tx: &mut Transaction<'_>, key: &str, text: Option<String>) -> Result<(), AutomergeError> {
    let entries = match tx.get(ROOT, ROOT_KEY)? {
        Some((automerge::Value::Object(ObjType::Map), entries)) => entries,
        _ => tx.put_object(ROOT, ROOT_KEY, ObjType::Map)?,
    };
    // An equal value would write nothing, and so answer nobody who answers otherwise at the same time.
    tx.put(&entries, key, ScalarValue::Null)?;
    text.map_or(Ok(()), |text| tx.put(&entries, key, text))
}
