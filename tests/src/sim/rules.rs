//! Rule sets in simulated worlds: which one a client or the server has in force, which one a document declares, and what replicas make of both.
//!
//! Owns the sets, and says by a table of its own where two differ, without the engine's help. The server's settling is in `settling`.

use std::collections::BTreeMap;

use automerge::{Automerge, ROOT, ReadDoc};
use sync_core::conflict::{ConflictId, ConflictKind, PathPart, Value, value_at};
use sync_core::id::{ChangeHash, DocumentName};
use sync_core::planted::Planting;
use sync_core::replica::{DocumentId, EditError};
use sync_core::resolver::{BuiltIn, Declaration, MISMATCH, Placed, Policies, Policy, Ruling, project};
use sync_core::rng::Rng;
use sync_core::settlement::{Listed, ROOT_KEY};
use sync_core::time::WallTime;

use crate::sim::conflicts;
use crate::sim::settled::LEFT;
use crate::sim::world::World;

/// Where a rule holds, its name, and the rule.
type Row = (&'static str, &'static str, BuiltIn);

/// What the rules of one set make of the open conflicts of a document, and its value with their answers.
type Rulings = (BTreeMap<ConflictId, Ruling>, Value);

/// One of the sets that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleSet {
    /// A rule for every place.
    Everywhere,
    /// Other rules at some of the places, and for most of them none.
    Few,
}

impl RuleSet {
    const ALL: [Self; 2] = [Self::Everywhere, Self::Few];

    /// The server's in one run.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        if rng.chance(700) { Self::Everywhere } else { Self::Few }
    }

    /// That of a client.
    fn of_client(index: usize) -> Self {
        if index % 3 == 2 { Self::Few } else { Self::Everywhere }
    }

    fn rows(self) -> Vec<Row> {
        match self {
            Self::Everywhere => vec![
                ("k0", "sumDeltas", BuiltIn::SumDeltas),
                ("k1", "max", BuiltIn::Max),
                ("k2", "latest", BuiltIn::Latest),
                ("map/*/v", "min", BuiltIn::Min),
                ("counter", "sumDeltas", BuiltIn::SumDeltas),
                ("x", "first", BuiltIn::First),
                ("y", "union", BuiltIn::Union),
                ("z", "mergeMaps", BuiltIn::MergeMaps),
                ("**", "latest", BuiltIn::Latest),
            ],
            Self::Few => vec![
                ("k0", "max", BuiltIn::Max),
                ("k1", "max", BuiltIn::Max),
                ("map/*/v", "max", BuiltIn::Max),
                ("counter", "sumDeltas", BuiltIn::SumDeltas),
                ("x", "first", BuiltIn::First),
                ("y", "latest", BuiltIn::Latest),
            ],
        }
    }

    /// For the engine.
    pub(crate) fn policies(self) -> Policies {
        let policy = |(pattern, _, rule): Row| Policy::new(pattern, rule).expect("a pattern that can match");
        Policies::new(self.rows().into_iter().map(policy))
    }

    fn text(self) -> String {
        Declaration::of(&self.policies()).expect("a small set with rules").encode()
    }

    /// The rule for a place.
    fn name_at(self, path: &[PathPart]) -> Option<&'static str> {
        let key = |part: &PathPart, key: &str| matches!(part, PathPart::Key(held) if held == key);
        let holds = |pattern: &str| match (pattern, path) {
            ("**", _) => true,
            ("map/*/v", [map, _, value]) => key(map, "map") && key(value, "v"),
            (pattern, [only]) => key(only, pattern),
            _ => false,
        };
        self.rows().into_iter().find(|(pattern, ..)| holds(pattern)).map(|(_, name, _)| name)
    }

    /// The set that a document declares, after these changes or now.
    pub(crate) fn declared(document: &Automerge, heads: Option<&[ChangeHash]>) -> Option<Self> {
        let (_, entries) = document.get(ROOT, ROOT_KEY).ok()??;
        let found = match heads {
            Some(heads) => document.get_at(&entries, "rules", heads),
            None => document.get(&entries, "rules"),
        };
        let (text, _) = found.ok()??;
        Self::ALL.into_iter().find(|set| Some(set.text().as_str()) == text.as_str())
    }

    /// Whether `declared` has another rule for a place than this set.
    pub(crate) fn differs(self, declared: Option<Self>, path: &[PathPart]) -> bool {
        let other = declared.and_then(|declared| declared.name_at(path));
        other.is_some_and(|other| other != self.name_at(path).unwrap_or("human"))
    }

    fn rulings(self, document: &Automerge, listed: &[Listed], declared: Option<&str>) -> Rulings {
        let (policies, declared) = (self.policies(), declared.and_then(Declaration::parse));
        let open = listed.iter().filter(|one| one.is_open() && one.conflict.kind != ConflictKind::Rejected);
        let ruled: Vec<_> = open.map(|one| (one, policies.rule_beside(declared.as_ref(), &one.conflict))).collect();
        let answers = ruled.iter().filter_map(|(one, ruling)| Some(Placed::of(&one.conflict, ruling.answer.as_ref()?)));
        let shown = |key: String| Some((key.clone(), value_at(document, &ROOT, key.into(), None)?));
        let mut value = Value::Map(document.keys(ROOT).filter(|key| key != ROOT_KEY).filter_map(shown).collect());
        project(&mut value, answers);
        (ruled.into_iter().map(|(one, ruling)| (one.conflict.id, ruling)).collect(), value)
    }
}

impl World {
    /// Perhaps a client declares its rules in a document, in place of what it declares.
    pub(crate) fn declare_some(&mut self, index: usize, id: DocumentId, wall: WallTime) {
        let Some(settling) = self.settling.as_mut().filter(|_| self.chaos) else { return };
        let Some(replica) = self.clients[index].replica.as_mut().filter(|_| settling.chance(40)) else { return };
        match replica.declare(self.now, wall, id, &RuleSet::of_client(index).text()) {
            Ok(true) => self.count("rules declared"),
            Ok(false) | Err(EditError::NotReady) => {}
            Err(e) => self.fail(format!("P2: client {index} can't declare its rules: {e}")),
        }
    }

    /// P3: replicas with the same rules give the same answers, and one whose rule is not what the document declares leaves the place to people.
    pub(crate) fn check_rulings(&mut self) {
        if self.settling.is_none() {
            return;
        }
        let outcome = self.compare_rulings();
        self.note(outcome);
    }

    fn compare_rulings(&mut self) -> Result<Vec<&'static str>, String> {
        let mut seen = Vec::new();
        for (name, mirror) in &self.ledger.logs {
            let document = mirror.materialise()?;
            let listed = conflicts::of_log(name, &mirror.changes, Planting::new(self.options.planted))?.1;
            let declared = RuleSet::declared(&document, None);
            let text = declared.map(RuleSet::text);
            let of_all = RuleSet::ALL.map(|set| set.rulings(&document, &listed, text.as_deref()));
            for (set, (rulings, _)) in RuleSet::ALL.into_iter().zip(&of_all) {
                seen.extend(judged(name, set, declared, &listed, rulings)?);
            }
            for (index, client) in self.clients.iter_mut().enumerate() {
                let (Some(opened), Some(replica)) = (client.documents.get(name), &mut client.replica) else { continue };
                let set = RuleSet::of_client(index);
                let listed = replica.conflicts_and_answers(opened.id).unwrap_or_default();
                let text = replica.declared(opened.id);
                let here = replica.read(opened.id, |document| set.rulings(document, &listed, text.as_deref()));
                let (rulings, value) = here.ok_or_else(|| format!("P3: client {index} can't read {name}"))?;
                judged(name, set, declared, &listed, &rulings).map_err(|e| format!("{e}, on client {index}"))?;
                let at = RuleSet::ALL.iter().position(|other| *other == set).unwrap_or_default();
                if (&rulings, &value) != (&of_all[at].0, &of_all[at].1) {
                    return Err(format!(
                        "P3: by the same rules client {index} shows another answer in {name} than the log"
                    ));
                }
            }
        }
        Ok(seen)
    }
}

/// Holds rulings against where two sets differ.
fn judged(
    name: &DocumentName,
    set: RuleSet,
    declared: Option<RuleSet>,
    listed: &[Listed],
    rulings: &BTreeMap<ConflictId, Ruling>,
) -> Result<Vec<&'static str>, String> {
    let mut seen = Vec::new();
    for one in listed {
        let Some(ruling) = rulings.get(&one.conflict.id) else { continue };
        let (differs, is_mismatch) = (set.differs(declared, &one.conflict.path), ruling.policy == MISMATCH);
        if differs != is_mismatch || (differs && (ruling.is_projected || ruling.answer.is_some())) {
            let path = &one.conflict.path;
            return Err(format!(
                "P3: {name} declares {declared:?}, and at {path:?} the rules {set:?} make of it {} ({:?})",
                ruling.policy, ruling.answer
            ));
        }
        seen.extend(differs.then_some(LEFT));
        seen.extend(ruling.is_projected.then_some("conflict answered on read"));
    }
    Ok(seen)
}
