//! Scopes: who may do what with which documents.
//!
//! Owns the shape of a grant and the check against a name. Where grants come from is the driver's business.

use crate::id::DocumentName;

/// What a session may do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Access {
    /// Receive changes and presence.
    #[n(0)]
    Read,
    /// Also push changes.
    #[n(1)]
    Write,
}

/// One grant: an access to all documents whose name is `prefix`, or lies below it.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Scope {
    /// Leading segments of a name without a trailing `/`; empty for all documents.
    #[n(0)]
    pub prefix: String,
    /// What is allowed there.
    #[n(1)]
    pub access: Access,
}

impl Scope {
    /// The scope of a server without authentication.
    pub fn everything() -> Self {
        Self { prefix: String::new(), access: Access::Write }
    }

    fn covers(&self, document: &DocumentName) -> bool {
        match document.as_str().strip_prefix(self.prefix.as_str()) {
            Some(rest) => self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// A pattern of document names: `*` is one segment, and `**` at the end any number of them, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern of document names: its segments are words, `*`, or at the end `**`")]
pub struct PatternError(String);

impl NamePattern {
    /// Parses one, such as `archive/**`.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let segments: Vec<&str> = pattern.split('/').collect();
        let last = segments.len() - 1;
        let fits = |(at, segment): (usize, &&str)| match *segment {
            "" => false,
            "*" => true,
            "**" => at == last,
            word => !word.contains('*'),
        };
        match segments.iter().enumerate().all(fits) {
            true => Ok(Self(pattern.into())),
            false => Err(PatternError(pattern.into())),
        }
    }

    /// Whether it holds for a name.
    pub fn matches(&self, document: &DocumentName) -> bool {
        let mut names = document.as_str().split('/');
        for segment in self.0.split('/') {
            if segment == "**" {
                return true;
            }
            if names.next().is_none_or(|name| segment != "*" && segment != name) {
                return false;
            }
        }
        names.next().is_none()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The highest access that `scopes` give to a document, if any.
pub fn access(scopes: &[Scope], document: &DocumentName) -> Option<Access> {
    scopes.iter().filter(|s| s.covers(document)).map(|s| s.access).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        let check = |prefix: &str, name: &str, want: bool| {
            let scope = Scope { prefix: prefix.into(), access: Access::Read };
            let name = DocumentName::parse(name).expect("a name");
            assert_eq!(access(&[scope], &name).is_some(), want, "{prefix} {name}");
        };
        check("", "a/b", true);
        check("a", "a", true);
        check("a", "a/b", true);
        check("a", "ab", false);
        check("a/b", "a", false);
    }

    #[test]
    fn a_pattern_matches_by_segments_and_must_be_able_to() {
        let check = |pattern: &str, name: &str, want: bool| {
            let name = DocumentName::parse(name).expect("a name");
            assert_eq!(NamePattern::parse(pattern).expect("a pattern").matches(&name), want, "{pattern} {name}");
        };
        check("archive/**", "archive/2023", true);
        check("archive/**", "archive/2023/may", true);
        check("archive/**", "archive", true);
        check("archive/**", "archives/2023", false);
        check("**", "a/b", true);
        check("a/*/c", "a/b/c", true);
        check("a/*", "a/b/c", false);
        check("a/*", "a", false);
        check("a", "a", true);
        for bad in ["", "/a", "a//b", "a/", "a*", "**/a"] {
            assert!(NamePattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_highest_access_wins() {
        let name = DocumentName::parse("a").expect("a name");
        let scopes = [Scope { prefix: "a".into(), access: Access::Read }, Scope::everything()];
        assert_eq!(access(&scopes, &name), Some(Access::Write));
    }
}
