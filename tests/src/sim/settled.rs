//! What must be true of settlements that the simulated server wrote, judged by the log alone.
//!
//! Reads each from the operations of its change and what its author had seen from the change's deps, without the engine's help: S2 the server
//! answers a conflict once in a version, S3 what people answered, took back or disagree about is left to them, S4 where the document declared another
//! rule too, S5 what a rule answers is not left open, S6 there is nothing more to settle, S7 what the rule says shows as soon as it is written. (S1 is at `settling`: what is stored stays.)

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::Key;
use automerge::{Automerge, ROOT, ReadDoc};
use sync_core::change::Change;
use sync_core::conflict::{ConflictKind, PathPart};
use sync_core::desk::ByRule;
use sync_core::id::{ChangeHash, DocumentName};
use sync_core::planted::Planting;
use sync_core::resolver::Stands;
use sync_core::settlement::{Answer, Listed, ROOT_KEY};

use crate::sim::ledger::LogMirror;
use crate::sim::rules::RuleSet;
use crate::sim::world::World;
use crate::sim::{answers, conflicts};

/// What a gate's seeds must show of settling, by the names under which it is counted.
pub const SETTLED: [&str; 5] =
    [BY_SERVER, LEFT, "conflict answered on read", "rules declared", "server crash while it settles"];

/// One settlement in a log.
const BY_SERVER: &str = "conflict settled by the server";
/// One that a rule of a set in force would answer.
pub(crate) const LEFT: &str = "conflict left to people by another declared rule";

/// An answer in the map of answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    version: u64,
    is_reopened: bool,
    policy: String,
    text: String,
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        // The format, the version, what became of it, what was done, the answer, what its author knew, the first answer, what it takes back,
        // and the policy.
        let words: Vec<&str> = text.lines().next()?.splitn(9, ' ').collect();
        let ["2", version, state, _, _, _, _, _, policy] = words[..] else { return None };
        let version = version.parse().ok()?;
        Some(Self { version, is_reopened: state == "reopened", policy: policy.into(), text: text.into() })
    }
}

/// The conflicts that a change answers.
fn answers_in(change: &Change) -> Vec<(String, Entry)> {
    let operations = change.automerge().decode().operations;
    let answers = operations.iter().filter_map(|op| match &op.key {
        Key::Map(key) if key.len() == 32 => {
            let text = op.primitive_value()?;
            Some((key.to_string(), Entry::parse(text.as_str()?)?))
        }
        _ => None,
    });
    answers.collect()
}

/// The different answers to a conflict, after these changes.
fn seen(document: &Automerge, id: &str, heads: &[ChangeHash]) -> BTreeSet<Entry> {
    let Ok(Some((_, entries))) = document.get(ROOT, ROOT_KEY) else { return BTreeSet::new() };
    let all = document.get_all_at(&entries, id, heads).unwrap_or_default();
    all.iter().filter_map(|(value, _)| Entry::parse(value.as_str()?)).collect()
}

/// S3 and S4, of one change that the server wrote.
fn judge(
    name: &DocumentName,
    document: &Automerge,
    rules: RuleSet,
    change: &Change,
    settled: &ByRule,
) -> Result<(), String> {
    let id = settled.id.to_string();
    let answers = answers_in(change);
    let [(key, entry)] = answers.as_slice() else {
        return Err(format!("P3: one settlement of {name} answers {} conflicts", answers.len()));
    };
    if (key, entry.version, &entry.policy, entry.is_reopened) != (&id, settled.version, &settled.policy, false) {
        return Err(format!("P3: the server wrote {entry:?} to {key} of {name}, and tells of {settled:?}"));
    }
    let deps = change.automerge().deps();
    let before = seen(document, &id, deps);
    if before.iter().any(|before| before.is_reopened) {
        return Err(format!("P3: the server settled {id} of {name}, whose answer was taken back"));
    }
    if before.iter().any(|before| before.version == entry.version) {
        return Err(format!("P3: the server settled {id} of {name}, which was answered: {before:?}"));
    }
    if before.len() > 1 {
        return Err(format!("P3: the server settled {id} of {name}, about which people disagree: {before:?}"));
    }
    let declared = RuleSet::declared(document, Some(deps));
    if rules.differs(declared, &settled.path) {
        let path = &settled.path;
        return Err(format!("P3: the server settled {path:?} of {name} by {rules:?}, and it declares {declared:?}"));
    }
    Ok(())
}

/// S7, of one change that the server wrote: what it had seen says which conflict there was, and its rules what to answer.
fn stands(
    name: &DocumentName,
    (document, mirror): (&Automerge, &LogMirror),
    (rules, planted): (RuleSet, Planting),
    change: &Change,
    settled: &ByRule,
) -> Result<(), String> {
    let mut known: BTreeSet<ChangeHash> = change.deps().iter().copied().collect();
    let mut past = Vec::new();
    for before in mirror.changes.iter().rev() {
        if known.contains(&before.hash()) {
            known.extend(before.deps());
            past.push(before.clone());
        }
    }
    past.reverse();
    let (conflicts, _) = conflicts::of_log(name, &past, planted)?;
    let conflict = conflicts.iter().find(|one| (one.id, one.version) == (settled.id, settled.version));
    let conflict = conflict.ok_or_else(|| format!("P3: the server settled {settled:?} of {name}, which was none"))?;
    let answer = match rules.policies().rule(conflict).answer {
        Some(Stands::Value(value)) => Some(value),
        Some(Stands::Nothing) => None,
        None => return Err(format!("P3: the server settled {settled:?} of {name}, and its rule answers nothing")),
    };
    let stands = answers::stands(document, conflict, &Answer::Value(answer), &[change.hash()]);
    stands.map_err(|e| format!("P3: the server settles {name}, {e}"))
}

/// S5: what is left open though a rule of the server answers it, and nobody has said anything about it. Only at places that are always there.
fn left_open<'a>(document: &Automerge, rules: RuleSet, listed: &'a [Listed]) -> Option<&'a Listed> {
    let (heads, declared) = (document.get_heads(), RuleSet::declared(document, None));
    let was_said = |one: &Listed| !seen(document, &one.conflict.id.to_string(), &heads).is_empty();
    let said: BTreeSet<&Vec<PathPart>> =
        listed.iter().filter(|one| was_said(one)).map(|one| &one.conflict.path).collect();
    listed.iter().find(|one| {
        let conflict = &one.conflict;
        one.is_open()
            && (conflict.kind == ConflictKind::Register && conflict.path.len() == 1)
            && !said.contains(&conflict.path)
            && !rules.differs(declared, &conflict.path)
            && rules.policies().rule(conflict).is_projected
    })
}

impl World {
    /// All of it, once the world is at rest.
    pub(crate) fn check_settling(&mut self) {
        if self.settling.is_none() {
            return;
        }
        if self.is_settling() {
            return self.fail("P5: the server settles what was at rest".into());
        }
        let outcome = self.compare_settled();
        self.note(outcome);
    }

    fn compare_settled(&self) -> Result<Vec<&'static str>, String> {
        let Some(settling) = &self.settling else { return Ok(Vec::new()) };
        let mut counted = Vec::new();
        let planted = Planting::new(self.options.planted);
        for (name, mirror) in &self.ledger.logs {
            let document = mirror.materialise()?;
            let mut versions: BTreeMap<(String, u64), ChangeHash> = BTreeMap::new();
            for change in &mirror.changes {
                let Some(Some(settled)) = settling.written.get(&change.hash()) else { continue };
                judge(name, &document, settling.rules, change, settled)?;
                stands(name, (&document, mirror), (settling.rules, planted), change, settled)?;
                counted.push(BY_SERVER);
                let version = (settled.id.to_string(), settled.version);
                // A store that went back may hold what was settled again, and then get back the first as well.
                if versions.insert(version, change.hash()).is_some() && !self.ledger.restored {
                    return Err(format!("P3: the server settled {} of {name} twice in one version", settled.id));
                }
            }
            let listed = conflicts::of_log(name, &mirror.changes, planted)?.1;
            if let Some(open) = left_open(&document, settling.rules, &listed) {
                let conflict = &open.conflict;
                return Err(format!("P3: {name}: a rule of the server answers {conflict:?}, and it was left open"));
            }
            self.still_stored(name, mirror)?;
        }
        Ok(counted)
    }

    /// S1, at the end: what was acknowledged of the server's own is still in the log. What went back with the store is as lost as anybody's; who held it
    /// brings it again.
    fn still_stored(&self, name: &DocumentName, mirror: &LogMirror) -> Result<(), String> {
        let Some(settling) = self.settling.as_ref().filter(|_| !self.ledger.restored) else { return Ok(()) };
        let held: BTreeSet<ChangeHash> = mirror.changes.iter().map(Change::hash).collect();
        let stored = settling.stored.iter();
        let lost = stored.filter(|(of, incarnation, _)| of == name && *incarnation == mirror.log.incarnation());
        match lost.map(|(.., hash)| hash).find(|hash| !held.contains(hash)) {
            Some(hash) => Err(format!("P1: settlement {hash} of {name} was acknowledged, and the log lacks it")),
            None => Ok(()),
        }
    }
}
