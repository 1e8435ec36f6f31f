//! Rules as an application declares them in a document, so that devices with other rules notice.
//!
//! Owns how a set of rules is written as a text, when one takes the place of another, and where two differ. In step with
//! `packages/client/src/conflicts/declared.ts`; `tests/declared.json` holds both to it. Where the text stands is `settlement`'s.

use super::policy::holds;
use super::{Policies, Policy};
use crate::conflict::PathPart;

/// The first line of the text: its form.
const FORM: &str = "1";

/// Longest text, in bytes. A larger set of rules is not declared, and a larger text says nothing.
pub const DECLARATION_BYTES_MAX: usize = 16 << 10;

/// A rule and where it holds, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    pattern: String,
    name: String,
    version: u64,
    arguments: Vec<String>,
}

impl Line {
    fn of(policy: &Policy) -> Self {
        let (name, version, arguments) = policy.rule().signature();
        Self { pattern: policy.pattern().into(), name, version: version.into(), arguments }
    }

    fn title(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(unescape);
        let (pattern, title) = (fields.next()??, fields.next()??);
        let (name, said) = title.rsplit_once('@')?;
        // As JavaScript counts, and written in one way only.
        let version = said.parse().ok().filter(|version: &u64| *version < 1 << 53 && version.to_string() == said)?;
        Some(Self { pattern, name: name.into(), version, arguments: fields.collect::<Option<_>>()? })
    }

    fn encode(&self) -> String {
        let title = self.title();
        let fields = [&self.pattern, &title].into_iter().chain(&self.arguments).map(|field| escape(field));
        fields.collect::<Vec<_>>().join("\t")
    }

    /// Whether it answers as another does.
    fn answers_as(&self, other: &Self) -> bool {
        (&self.name, self.version, &self.arguments) == (&other.name, other.version, &other.arguments)
    }

    /// Whether it may stand in place of another: it is that one, or a later version of it.
    fn follows(&self, other: &Self) -> bool {
        let same = (&self.pattern, &self.name) == (&other.pattern, &other.name);
        same && (self.version > other.version || self.answers_as(other))
    }
}

/// A set of rules, as it is declared in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration(Vec<Line>);

impl Declaration {
    /// What declares these rules. `None` if there are none, or too many.
    pub fn of(policies: &Policies) -> Option<Self> {
        let declaration = Self(policies.all().iter().map(Line::of).collect());
        (!declaration.0.is_empty() && declaration.encode().len() <= DECLARATION_BYTES_MAX).then_some(declaration)
    }

    /// Reads a text. `None` if it is none, as one that a later version has written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        if text.len() > DECLARATION_BYTES_MAX || lines.next() != Some(FORM) {
            return None;
        }
        lines.map(Line::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Its text: the same for the same rules on every device.
    pub fn encode(&self) -> String {
        let lines = self.0.iter().map(Line::encode);
        std::iter::once(FORM.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// Whether it may take the place of another by itself: it has all rules of that one in their order, none of an older version, and differs.
    /// Of two sets that each have something else neither does, so that no two devices chase each other's.
    pub fn follows(&self, other: &Self) -> bool {
        let mut own = self.0.iter();
        let has =
            |line: &Line| own.by_ref().find(|own| own.pattern == line.pattern).is_some_and(|own| own.follows(line));
        self != other && other.0.iter().all(has)
    }

    /// Where another rule is declared for a path than `policies` have for it: the name and version of theirs and of what is declared.
    pub fn differs(&self, policies: &Policies, path: &[PathPart]) -> Option<(String, String)> {
        let declared = self.0.iter().find(|line| holds(&line.pattern, path))?;
        let people = || Line { pattern: String::new(), name: "human".into(), version: 1, arguments: Vec::new() };
        let own = policies.at(path).map_or_else(people, Line::of);
        (!own.answers_as(declared)).then(|| (own.title(), declared.title()))
    }
}

fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn unescape(field: &str) -> Option<String> {
    let (mut out, mut chars) = (String::new(), field.chars());
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                't' => '\t',
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}
