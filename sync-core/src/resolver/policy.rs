//! Rules declared by place.
//!
//! Owns how a pattern is read and where it holds, in step with `packages/client/src/conflicts/policy.ts`. What a rule answers is not decided here.

use super::{Declaration, Rule, Ruling};
use crate::conflict::{Conflict, PathPart};

/// Most parts of a pattern, and UTF-16 units of it.
const PARTS_MAX: usize = 100;
const PATTERN_LENGTH_MAX: usize = 1_000;
/// Longest name of a rule.
const NAME_LENGTH_MAX: usize = 64;

/// Why a policy can't be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The pattern has nothing between two `/`, at its beginning or its end.
    #[error("the policy for {0:?} can't match: a part of its path is empty")]
    EmptyPart(String),
    /// No path is that long.
    #[error("the policy for {0:?} can't match: it is longer than a path can be")]
    TooLong(String),
    /// It is for what no value shows.
    #[error("the policy for {0:?} can't match: what begins with $ is the engine's own")]
    Reserved(String),
    /// A star beside something else.
    #[error("the policy for {pattern:?} can't match: {part} stands for nothing: a star is a part by itself")]
    Star {
        /// The pattern.
        pattern: String,
        /// The part with the star.
        part: String,
    },
    /// A name that no rule can have, or version 0.
    #[error("{0:?} is no name and version of a rule")]
    Name(String),
}

/// A rule and where it holds.
#[derive(Clone, Debug)]
pub struct Policy {
    pattern: String,
    rule: Rule,
}

impl Policy {
    /// Says which rule holds where. A pattern is a path: `stock/*/quantity` has any one key or position for the star, `**/title` any
    /// number of them.
    ///
    /// # Errors
    /// If it can't match anywhere, or the rule's name is none.
    pub fn new(pattern: impl Into<String>, rule: impl Into<Rule>) -> Result<Self, PolicyError> {
        let (pattern, rule) = (pattern.into(), rule.into());
        if pattern.split('/').any(str::is_empty) {
            return Err(PolicyError::EmptyPart(pattern));
        }
        if pattern.encode_utf16().count() > PATTERN_LENGTH_MAX || pattern.split('/').count() > PARTS_MAX {
            return Err(PolicyError::TooLong(pattern));
        }
        if pattern.starts_with('$') {
            return Err(PolicyError::Reserved(pattern));
        }
        let odd = pattern.split('/').find(|part| part.contains('*') && !matches!(*part, "*" | "**"));
        if let Some(part) = odd.map(Into::into) {
            return Err(PolicyError::Star { pattern, part });
        }
        if is_title(&rule.title()) { Ok(Self { pattern, rule }) } else { Err(PolicyError::Name(rule.title())) }
    }

    /// Where it holds.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Which rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Whether it holds at a path.
    pub fn holds_at(&self, path: &[PathPart]) -> bool {
        holds(&self.pattern, path)
    }
}

/// Whether a pattern holds at a path.
pub(super) fn holds(pattern: &str, path: &[PathPart]) -> bool {
    let parts: Vec<&str> = pattern.split('/').collect();
    // How far the pattern is used up, in all ways at once: a pattern with many `**` must not take for ever.
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    close(&parts, &mut reached);
    for step in path {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match *part {
                "**" => next[at] = true,
                part => next[at + 1] |= part == "*" || is_step(part, step),
            }
        }
        close(&parts, &mut next);
        reached = next;
    }
    reached[parts.len()]
}

fn is_step(part: &str, step: &PathPart) -> bool {
    match step {
        PathPart::Key(key) => part == key,
        PathPart::Index(index) => part == index.to_string(),
    }
}

/// With what is reached by taking `**` for nothing.
fn close(parts: &[&str], reached: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if reached[at] && *part == "**" {
            reached[at + 1] = true;
        }
    }
}

/// Whether this is a rule's name and version.
fn is_title(title: &str) -> bool {
    let Some((name, version)) = title.rsplit_once('@') else { return false };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= NAME_LENGTH_MAX
        && name.chars().all(fits)
        && version != "0"
}

/// The rules in force. Of several that hold at a place the first counts; where none does, conflicts are for people.
#[derive(Clone, Debug, Default)]
pub struct Policies(Vec<Policy>);

impl Policies {
    /// These, in the order in which they are looked at.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        Self(policies.into_iter().collect())
    }

    /// All of them.
    pub fn all(&self) -> &[Policy] {
        &self.0
    }

    /// The one that counts at a path.
    pub fn at(&self, path: &[PathPart]) -> Option<&Policy> {
        self.0.iter().find(|policy| policy.holds_at(path))
    }

    /// What they make of an open conflict.
    pub fn rule(&self, conflict: &Conflict) -> Ruling {
        let rule = self.at(&conflict.path).map_or_else(Rule::people, |policy| policy.rule.clone());
        rule.ask(conflict)
    }

    /// What the rules make of an open conflict in a document that declares rules: where those are other ones than these, people decide.
    pub fn rule_beside(&self, declared: Option<&Declaration>, conflict: &Conflict) -> Ruling {
        let differs = declared.and_then(|declared| declared.differs(self, &conflict.path));
        differs.map_or_else(|| self.rule(conflict), |(own, declared)| Ruling::mismatch(own, declared))
    }
}
