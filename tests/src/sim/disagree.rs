//! People who disagree in simulated worlds: what they write, what is counted of it, and a writer of another make.
//!
//! Owns no judgement: what must be listed says the oracle, which is that of the random histories in sync-core's own tests. Has chance of its
//! own, and only every third seed has it, so that the others keep their stories.

#[path = "../../../sync-core/tests/conflicts/oracle.rs"]
pub(crate) mod oracle;
#[path = "../../../sync-core/tests/conflicts/scribble.rs"]
mod scribble;

use std::collections::BTreeSet;

use automerge::legacy::OpType;
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ReadDoc as _};
use sync_core::change::Change;
use sync_core::conflict::{Conflict, ConflictKind, PathPart};
use sync_core::id::DocumentName;
use sync_core::rng::Rng;

use crate::sim::ledger::{LogMirror, Token};
use crate::sim::world::World;

/// Mixed into the seed, so that this chance is not the world's.
const ASIDE: u64 = 0x6469_7361_6772_6565;
/// More edits than one transaction has.
const EDITS_MAX: u64 = 8;
/// How many of a thousand edits link words that others link too.
const LINKS: u64 = 150;

/// How the people of one run disagree.
#[derive(Debug)]
pub(crate) struct Disagree {
    rng: Rng,
}

impl Disagree {
    /// Every third run has it.
    pub(crate) fn draw(seed: u64) -> Option<Self> {
        (seed % 3 == 1).then(|| Self { rng: Rng::from_number(seed ^ ASIDE) })
    }

    /// What one edit is to write beside its token, drawn now.
    pub(crate) fn next(&mut self) -> Rng {
        self.rng.fork()
    }
}

/// Writes somewhere, a few times.
pub(crate) fn edit(tx: &mut Transaction<'_>, rng: &mut Rng, token: Token) -> Result<(), AutomergeError> {
    (0..rng.below(3)).try_for_each(|number| scribble::scribble(tx, rng, token * EDITS_MAX + number))?;
    // The text that all write in, so that three and more lie over the same characters.
    match tx.get(ROOT, "text")? {
        Some((automerge::Value::Object(ObjType::Text), text)) if tx.length(&text) > 1 && rng.chance(LINKS) => {
            scribble::mark(tx, rng, &text, token * EDITS_MAX + EDITS_MAX - 1)
        }
        _ => Ok(()),
    }
}

/// What a gate's seeds must show of conflicts, by the names under which it is counted.
pub const COUNTED: [&str; 10] = [
    "conflict: register",
    "conflict: delete-update",
    "conflict: edit-in-deleted",
    "conflict: container",
    "conflict: counter-overwrite",
    "conflict: mark",
    "conflict: rejected",
    "conflict in a list",
    "conflict deep down",
    THREE_MARKS,
];

/// Three and more on the same characters.
const THREE_MARKS: &str = "conflict of three marks";

/// What is counted of a listed conflict: its kind, and where it is.
pub(crate) fn counted(conflict: &Conflict) -> Vec<&'static str> {
    let is_kind = |name: &&str| name.strip_prefix("conflict: ") == Some(conflict.kind.name());
    let in_list = conflict.kind != ConflictKind::Mark && matches!(conflict.path.last(), Some(PathPart::Index(_)));
    let is_of_three = conflict.kind == ConflictKind::Mark && conflict.candidates.len() > 2;
    let place =
        [("conflict in a list", in_list), ("conflict deep down", conflict.path.len() > 2), (THREE_MARKS, is_of_three)];
    let places = place.into_iter().filter_map(|(name, is)| is.then_some(name));
    COUNTED.into_iter().filter(is_kind).chain(places).collect()
}

/// Objects that somebody has deleted or put something over.
fn taken_away(changes: &[Change]) -> Vec<(ObjId, ObjType)> {
    let (mut made, mut gone) = (Vec::new(), BTreeSet::new());
    for change in changes {
        for (counter, op) in (change.start_op()..).zip(change.automerge().decode().operations) {
            let reserved = matches!(&op.key, automerge::legacy::Key::Map(key) if key.starts_with('$'));
            match op.action {
                OpType::Make(kind) if !reserved => made.push((counter, change.actor().clone(), kind)),
                OpType::Increment(_) => continue,
                _ => {}
            }
            gone.extend(op.pred.iter().map(|id| (id.counter(), id.actor().clone())));
        }
    }
    let gone = made.into_iter().filter(|(counter, actor, _)| gone.contains(&(*counter, actor.clone())));
    gone.map(|(counter, actor, kind)| (ObjId::Id(counter, actor, 0), kind)).collect()
}

impl LogMirror {
    /// A change that writes in an object whose deletion is in its past: our own programs refuse to, others don't.
    fn write_in_deleted(&self, rng: &mut Rng) -> Option<Change> {
        let gone = taken_away(&self.changes);
        let (object, kind) = gone.get(rng.below(gone.len().max(1) as u64) as usize)?;
        let mut document = self.materialise().ok()?;
        document.set_actor(rng.actor());
        let value = format!("late {};", rng.below(u64::from(u32::MAX)));
        let written = document.transact::<_, _, AutomergeError>(|tx| match kind {
            ObjType::Text => tx.splice_text(object, tx.length(object), 0, &value),
            ObjType::List => tx.insert(object, tx.length(object), value),
            _ => tx.put(object, "late", value),
        });
        let hash = written.ok()?.hash?;
        Change::from_automerge(document.get_change_by_hash(&hash)?).ok()
    }
}

impl World {
    /// Perhaps a program of another make writes in what is deleted.
    pub(crate) fn write_in_deleted(&mut self, name: &DocumentName) {
        let Some(disagree) = self.disagree.as_mut().filter(|_| self.chaos && self.server.up) else { return };
        if !disagree.rng.chance(20) {
            return;
        }
        let mut rng = disagree.next();
        let Some(change) = self.ledger.logs.get(name).and_then(|mirror| mirror.write_in_deleted(&mut rng)) else {
            return;
        };
        self.count("edit in what is deleted");
        self.push_foreign(name, change);
    }
}
