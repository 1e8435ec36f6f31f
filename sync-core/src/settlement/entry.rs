//! An answer as it stands in the reserved map of a document.
//!
//! Owns its text, and reading and writing it there. What an answer means is decided above.

use std::collections::BTreeMap;

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

use super::ROOT_KEY;
use crate::conflict::ConflictId;
use crate::id::ActorId;

/// An answer as the document keeps it: a string of `2`, the version, `settled` or `reopened`, the steps, the answer, what its author knew and the
/// policy, with a space between each two, and on the lines after the first the note. Those that begin with `1` don't say what their author knew.
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
    /// Of each actor whose work was on a side that did not show the seq of the last change that holds some of it.
    pub(super) knew: BTreeMap<ActorId, u32>,
}

impl Entry {
    pub(super) fn encode(&self) -> String {
        let state = if self.is_reopened { "reopened" } else { "settled" };
        let note = self.note.iter().flat_map(|note| ["\n", note]).collect::<String>();
        let knew: Vec<String> = self.knew.iter().map(|(actor, seq)| format!("{actor}:{seq}")).collect();
        let knew = if knew.is_empty() { NOBODY.into() } else { knew.join(",") };
        let Self { version, counted, answer, policy, .. } = self;
        format!("2 {version} {state} {counted} {answer} {knew} {policy}{note}")
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let (line, note) = text.split_once('\n').map_or((text, None), |(line, note)| (line, Some(note)));
        let (format, line) = line.split_once(' ')?;
        let says_knew = match format {
            "1" => false,
            "2" => true,
            _ => return None,
        };
        let mut parts = line.splitn(if says_knew { 6 } else { 5 }, ' ');
        let mut part = || parts.next();
        let version = part()?.parse().ok()?;
        let is_reopened = part()? == "reopened";
        let counted = part()?.parse().ok()?;
        let answer = part()?.into();
        let knew = match says_knew {
            true => part().filter(|knew| *knew != NOBODY).map_or(Some(BTreeMap::new()), known)?,
            false => BTreeMap::new(),
        };
        Some(Self { version, policy: part()?.into(), note: note.map(Into::into), is_reopened, counted, answer, knew })
    }

    /// Whether its author says to have known all of this, which is something.
    pub(super) fn knew(&self, work: &BTreeMap<ActorId, u32>) -> bool {
        let knew = |(actor, seq): (&ActorId, &u32)| self.knew.get(actor).is_some_and(|known| known >= seq);
        !work.is_empty() && work.iter().all(knew)
    }
}

/// What stands for no actor at all.
const NOBODY: &str = "-";

fn known(text: &str) -> Option<BTreeMap<ActorId, u32>> {
    let one = |one: &str| {
        let (actor, seq) = one.split_once(':')?;
        Some((ActorId::try_from(actor).ok()?, seq.parse().ok()?))
    };
    text.split(',').map(one).collect()
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
