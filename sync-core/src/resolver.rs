//! Rules that answer conflicts: pure, versioned functions of the set of sides and of what they were made from.
//!
//! Owns what a rule is asked, where rules hold, and what becomes of an answer. Writes nothing: rules answer on read, on every replica for
//! itself. The built-in ones answer as those of `@rejoin/client` do, under the same names; `tests/rules.json` holds both to it.

mod builtin;
mod check;
mod declared;
mod merge;
mod policy;
mod project;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::conflict::{Conflict, ConflictKind, PathPart, Steps, Value};
use crate::id::{ActorId, ChangeHash};
use crate::limits::VIEW_DEPTH_MAX;

pub use builtin::BuiltIn;
pub use check::{Broken, check_resolver};
pub use declared::{DECLARATION_BYTES_MAX, Declaration};
pub use policy::{Policies, Policy, PolicyError};
pub use project::{Placed, project};

/// A side of a conflict as a rule sees it: only what is the same on every replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What it says; `None`: that nothing should be there.
    pub value: Option<Value>,
    /// Who says so.
    pub actor: ActorId,
    /// The author that the change names, if it names one.
    pub author: Option<String>,
    /// The author's clock, in milliseconds since 1970.
    pub time: i64,
    /// The change that says it, by which sides are told apart: two sides with one change are one.
    pub change: ChangeHash,
}

/// What a rule is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Where.
    pub path: Vec<PathPart>,
    /// What has met.
    pub kind: ConflictKind,
    /// What was there before the sides parted.
    pub base: Option<Value>,
    /// The sides. Their order says nothing.
    pub sides: Vec<Side>,
    /// If they are numbers: which steps they have in common.
    pub steps: Steps,
}

impl Question {
    /// What a rule is asked about a conflict.
    pub fn of(conflict: &Conflict) -> Self {
        let side = |side: &crate::conflict::Candidate| Side {
            value: side.value.clone(),
            actor: side.actor.clone(),
            author: side.author.as_ref().map(|author| String::from_utf8_lossy(author).into_owned()),
            time: side.time,
            change: side.change,
        };
        Self {
            path: conflict.path.clone(),
            kind: conflict.kind,
            base: conflict.base.clone(),
            sides: conflict.candidates.iter().map(side).collect(),
            steps: conflict.steps.clone(),
        }
    }

    /// The sides as the set that they are: each once, by their times, and those of one time by their changes.
    pub fn set(&self) -> Vec<&Side> {
        let mut sides: Vec<&Side> = self.sides.iter().collect();
        sides.sort_by_key(|side| (side.time, side.change));
        sides.dedup_by_key(|side| side.change);
        sides
    }
}

/// Why a rule has no answer. The conflict is then for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// A side, or the base, is no number that JavaScript holds exactly.
    #[error("can't answer: one of the sides is no number")]
    NotANumber,
    /// The sum is beyond what JavaScript holds exactly.
    #[error("can't answer: the sum is too large to be exact")]
    TooLarge,
    /// Sides may have steps in common, and more was put there than is looked at.
    #[error("can't answer: too much was put there to tell which steps the sides have in common")]
    TooManySteps,
    /// A side is no text.
    #[error("can't answer: one of the sides is no text")]
    NotAText,
    /// A side is none of the values in the rule's order.
    #[error("can't answer: one of the sides is not in its order")]
    NotInOrder,
    /// Lists and something else, or maps and something else.
    #[error("can't answer: the sides are not all lists or all maps")]
    NotAlike,
    /// A side is no map.
    #[error("can't answer: one of the sides is no map")]
    NotAMap,
    /// Several sides say different things of this key.
    #[error("can't answer: the sides differ in {0}")]
    Differ(String),
    /// Several sides changed the same words.
    #[error("can't answer: the sides changed the same words")]
    SameWords,
    /// The author that is preferred wrote none of the sides.
    #[error("can't answer: none of the sides is by that author")]
    NotByThem,
    /// Nobody of the role that is preferred wrote any of the sides.
    #[error("can't answer: none of the sides is by anybody of the role {0}")]
    NotInRole(String),
    /// There are no sides.
    #[error("can't answer: there are no sides")]
    NoSides,
    /// Another reason, for rules of an application's own.
    #[error("can't answer: {0}")]
    Other(String),
}

/// A rule. It must be a pure function of the *set* of sides and of the base: no clock, no chance, no memory, and the same whatever the order
/// of the sides and however often one is given. [`check_resolver`] looks whether it is.
pub trait Resolver: Send + Sync {
    /// Its name: a letter, and at most 63 letters, digits, `_` and `-` behind it.
    fn name(&self) -> &str;

    /// Its version, from 1 up: another one whenever it answers something differently.
    fn version(&self) -> u32 {
        1
    }

    /// What it was told beside its name, which decides what it answers.
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is to stand there; `None`: nothing.
    ///
    /// # Errors
    /// If it has no answer, which leaves the conflict to people.
    fn resolve(&self, question: &Question) -> Result<Option<Value>, NoAnswer>;
}

/// What stands at a place until people have decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Show {
    /// What automerge picked.
    #[default]
    Winner,
    /// What was there before.
    Base,
    /// What this replica wrote.
    Mine,
}

/// A rule, or that there is none and people decide.
#[derive(Clone)]
pub struct Rule(Kind);

#[derive(Clone)]
enum Kind {
    Human(Show),
    Resolver(Arc<dyn Resolver>),
}

impl Rule {
    /// A rule of the application's own.
    pub fn custom(resolver: impl Resolver + 'static) -> Self {
        Self(Kind::Resolver(Arc::new(resolver)))
    }

    /// Left to people.
    pub fn human(show: Show) -> Self {
        Self(Kind::Human(show))
    }

    /// Its name and version, such as `max@1`.
    pub fn title(&self) -> String {
        match &self.0 {
            Kind::Human(_) => HUMAN.into(),
            Kind::Resolver(resolver) => format!("{}@{}", resolver.name(), resolver.version()),
        }
    }
}

impl Rule {
    /// Its name, version and arguments: two rules that have the same answer alike.
    fn signature(&self) -> (String, u32, Vec<String>) {
        match &self.0 {
            Kind::Human(_) => ("human".into(), 1, Vec::new()),
            Kind::Resolver(resolver) => (resolver.name().into(), resolver.version(), resolver.arguments()),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({})", self.title())
    }
}

impl From<BuiltIn> for Rule {
    fn from(rule: BuiltIn) -> Self {
        Self::custom(rule)
    }
}

/// The rule that is none.
const HUMAN: &str = "human@1";

/// What stands in place of a rule where the document declares another one.
pub const MISMATCH: &str = "policy-mismatch";

/// Why the rule for a place gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It says so.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It is no function of the set of sides.
    #[error("answered differently when it was asked twice")]
    Unsteady,
    /// Its answer is nested too deep.
    #[error("answered what a document can't hold: it is nested too deep")]
    TooDeep,
    /// It panicked.
    #[error("panicked")]
    Panicked,
    /// The document declares this one, which other devices have in force.
    #[error("is not the rule that the document declares, {0}")]
    Mismatch(String),
}

/// What is to stand at a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Stands {
    /// Nothing.
    Nothing,
    /// This.
    Value(Value),
}

impl From<Option<Value>> for Stands {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// What the rules make of an open conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The rule in force and its version, such as `max@1`; `human@1` where people decide, and [`MISMATCH`] where they do since the document
    /// declares another rule.
    pub policy: String,
    /// Whether a rule answers it.
    pub is_projected: bool,
    /// What is to show: the rule's answer, or until people have decided what is not what the document shows.
    pub answer: Option<Stands>,
    /// The rule for this place that gave no answer, and why.
    pub fault: Option<(String, Fault)>,
}

impl Rule {
    /// What the rule makes of an open conflict. It is asked twice, the second time with the sides the other way round: one that has a memory
    /// or looks at the order shows it.
    pub fn ask(&self, conflict: &Conflict) -> Ruling {
        let resolver = match &self.0 {
            // What a rule answers is put in a value, which shows no format: people change that, by formatting again.
            _ if conflict.kind == ConflictKind::Mark => return Ruling::people(None, None),
            Kind::Human(show) => return Ruling::people(meanwhile(*show, conflict), None),
            Kind::Resolver(resolver) => resolver,
        };
        match answer(resolver.as_ref(), conflict) {
            Ok(answer) => Ruling { policy: self.title(), is_projected: true, answer: Some(answer.into()), fault: None },
            Err(fault) => Ruling::people(None, Some((self.title(), fault))),
        }
    }
}

impl Ruling {
    fn mismatch(own: String, declared: String) -> Self {
        let fault = Some((own, Fault::Mismatch(declared)));
        Self { policy: MISMATCH.into(), is_projected: false, answer: None, fault }
    }

    fn people(answer: Option<Stands>, fault: Option<(String, Fault)>) -> Self {
        Self { policy: HUMAN.into(), is_projected: false, answer, fault }
    }
}

fn meanwhile(show: Show, conflict: &Conflict) -> Option<Stands> {
    match show {
        Show::Winner => None,
        Show::Base => Some(conflict.base.clone().into()),
        Show::Mine => conflict.candidates.iter().find(|side| side.mine).map(|side| side.value.clone().into()),
    }
}

fn answer(resolver: &dyn Resolver, conflict: &Conflict) -> Result<Option<Value>, Fault> {
    let mut question = Question::of(conflict);
    let mut ask = || {
        let asked = catch_unwind(AssertUnwindSafe(|| resolver.resolve(&question))).map_err(|_| Fault::Panicked);
        question.sides.reverse();
        asked
    };
    let (answer, again) = (ask()?, ask()?);
    if !builtin::same_answer(&answer, &again) {
        return Err(Fault::Unsteady);
    }
    let answer = answer?;
    let fits = answer.as_ref().is_none_or(|value| is_shallow(value, VIEW_DEPTH_MAX));
    if fits { Ok(answer) } else { Err(Fault::TooDeep) }
}

/// Whether a value is nested at most `depth` deep.
fn is_shallow(value: &Value, depth: u32) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    match value {
        Value::Map(entries) => entries.values().all(|entry| is_shallow(entry, below)),
        Value::List(items) => items.iter().all(|item| is_shallow(item, below)),
        Value::Scalar(_) | Value::Text(_) => true,
    }
}
