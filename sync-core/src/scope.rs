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
    fn the_highest_access_wins() {
        let name = DocumentName::parse("a").expect("a name");
        let scopes = [Scope { prefix: "a".into(), access: Access::Read }, Scope::everything()];
        assert_eq!(access(&scopes, &name), Some(Access::Write));
    }
}
