//! Why a conflict can't be answered so, in types and in words.

use std::fmt;

use super::Listed;
use crate::conflict::{Candidate, ConflictId, Value};

/// Longest value that is told in words, in characters.
const VALUE_CHARS_MAX: usize = 40;
/// Most sides that are told in words.
const SIDES_MAX: usize = 5;

/// Why a conflict can't be answered so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It is none of the document's, or not any more.
    #[error("the document has no conflict {0}")]
    Gone(ConflictId),
    /// There is no answer to it that could be taken back.
    #[error("the conflict {0} is not settled, so that there is no answer to take back")]
    NotSettled(ConflictId),
    /// It has other sides than were looked at.
    #[error("the conflict has changed since it was looked at: {0}")]
    Changed(Box<Changed>),
    /// The answer does not fit what has met.
    #[error("{0}")]
    Unfit(&'static str),
}

impl AnswerError {
    /// Why no answer to a conflict was taken back, of a document with these.
    pub(crate) fn of_reopening(id: ConflictId, listed: &[Listed]) -> Self {
        let is_listed = listed.iter().any(|one| one.conflict.id == id);
        if is_listed { Self::NotSettled(id) } else { Self::Gone(id) }
    }
}

/// How a conflict has changed since it was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The sides that were looked at; none where they are not known any more.
    pub was: Vec<Candidate>,
    /// The sides that there are.
    pub now: Vec<Candidate>,
    /// The version to answer.
    pub version: u64,
}

impl Changed {
    /// Sides that were not there when it was looked at; all of them where those are not known.
    pub fn came(&self) -> impl Iterator<Item = &Candidate> {
        missing(&self.now, &self.was)
    }

    /// Sides that were looked at and are not there any more.
    pub fn went(&self) -> impl Iterator<Item = &Candidate> {
        missing(&self.was, &self.now)
    }
}

/// Those of `sides` that are not among `others`.
fn missing<'a>(sides: &'a [Candidate], others: &'a [Candidate]) -> impl Iterator<Item = &'a Candidate> {
    sides.iter().filter(|side| others.iter().all(|other| other.change != side.change))
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.was.is_empty() {
            write!(f, "it was between {}, and ", Sides(&self.was))?;
        }
        write!(f, "it is between {} now", Sides(&self.now))
    }
}

struct Sides<'a>(&'a [Candidate]);

impl fmt::Display for Sides<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, side) in self.0.iter().take(SIDES_MAX).enumerate() {
            f.write_str(if at == 0 { "" } else { " and " })?;
            match &side.value {
                None => f.write_str("nothing")?,
                Some(Value::Map(_)) => f.write_str("a map")?,
                Some(Value::List(_)) => f.write_str("a list")?,
                Some(Value::Text(text)) => write!(f, "{:?}", short(text))?,
                Some(Value::Scalar(scalar)) => f.write_str(&short(&scalar.to_string()))?,
            }
            write!(f, " ({})", &side.change.to_string()[..8])?;
        }
        match self.0.len().saturating_sub(SIDES_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
