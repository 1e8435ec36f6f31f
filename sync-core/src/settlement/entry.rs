//! An answer as it stands in the reserved map of a document.
//!
//! Owns its text, and reading and writing it there. What an answer means is decided above.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

use super::ROOT_KEY;
use crate::conflict::ConflictId;

/// An answer as the document keeps it: a string of `1`, the version, `settled` or `reopened`, the steps, the answer and the policy, with a space
/// between each two, and on the lines after the first the note.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The conflict's version that was answered.
    pub(super) version: u64,
    /// Whose rule answered: a person is `human@1`.
    pub(super) policy: String,
    pub(super) note: Option<String>,
    /// The answer was taken back.
    pub(super) is_reopened: bool,
    /// Steps that answers have added to a counter, so that another answer does not add them again.
    pub(super) counted: i64,
    /// The change picked, `both`, or `value-` with the value's fingerprint: two answers that are not the same are not written alike.
    pub(super) answer: String,
}

impl Entry {
    pub(super) fn encode(&self) -> String {
        let state = if self.is_reopened { "reopened" } else { "settled" };
        let note = self.note.iter().flat_map(|note| ["\n", note]).collect::<String>();
        format!("1 {} {state} {} {} {}{note}", self.version, self.counted, self.answer, self.policy)
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
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

pub(super) fn read<D: ReadDoc>(document: &D, id: &ConflictId) -> Option<(Entry, ObjId)> {
    let (_, entries) = document.get(ROOT, ROOT_KEY).ok()??;
    let (value, written) = document.get(&entries, id.to_string()).ok()??;
    Some((Entry::decode(value.as_str()?)?, written))
}

pub(super) fn write(tx: &mut Transaction<'_>, id: &ConflictId, entry: &Entry) -> Result<(), AutomergeError> {
    put_text(tx, &id.to_string(), entry.encode())
}

/// Writes under a key of the reserved map.
pub(super) fn put_text(tx: &mut Transaction<'_>, key: &str, text: String) -> Result<(), AutomergeError> {
    let entries = match tx.get(ROOT, ROOT_KEY)? {
        Some((automerge::Value::Object(ObjType::Map), entries)) => entries,
        _ => tx.put_object(ROOT, ROOT_KEY, ObjType::Map)?,
    };
    // An equal value would write nothing, and so answer nobody who answers otherwise at the same time.
    tx.put(&entries, key, ScalarValue::Null)?;
    tx.put(&entries, key, text)
}
