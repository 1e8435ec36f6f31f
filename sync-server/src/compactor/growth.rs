//! Which documents have grown so much that they are to be compacted, and when: at rest, or before they grow without end.
//!
//! Each compaction takes the last pack and the last changes up again, and writes the snapshot anew, whatever has come since. So a document that
//! is being written is left alone for longer, and what it costs is shared by more commits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sync_core::id::DocumentName;

/// A document without a commit for this time rests.
pub(super) const REST: Duration = Duration::from_secs(1);

/// A document that does not rest is due after this many times the commits that one at rest has.
const BUSY_FACTOR: usize = 16;

/// Most documents whose commits are counted, among those that have few and among those that have many. Beyond, counting the few begins anew, and no more
/// become many; what is missed is found at the next start.
const COUNTED_MAX: usize = 65_536;

/// Commits since a document was last handed on.
#[derive(Debug)]
pub(super) struct Growth {
    packs_min: usize,
    few: BTreeMap<DocumentName, usize>,
    many: BTreeMap<DocumentName, Many>,
}

#[derive(Debug)]
struct Many {
    commits: usize,
    last: Instant,
}

impl Growth {
    /// Nothing has grown. A document is due from so many commits on.
    pub(super) fn new(packs_min: usize) -> Self {
        Self { packs_min, few: BTreeMap::new(), many: BTreeMap::new() }
    }

    /// Counts a commit. Gives the document if it has so many that it is due though it does not rest.
    pub(super) fn commit(&mut self, document: DocumentName, now: Instant) -> Option<DocumentName> {
        if let Some(many) = self.many.get_mut(&document) {
            many.commits += 1;
            many.last = now;
            return (many.commits >= self.packs_min.saturating_mul(BUSY_FACTOR)).then_some(document);
        }
        if self.few.len() >= COUNTED_MAX {
            self.few.clear();
        }
        let commits = self.few.get(&document).map_or(1, |commits| commits + 1);
        if commits >= self.packs_min && self.many.len() < COUNTED_MAX {
            self.few.remove(&document);
            self.many.insert(document, Many { commits, last: now });
        } else {
            self.few.insert(document, commits);
        }
        None
    }

    /// Whether anything is due once it rests.
    pub(super) fn has_many(&self) -> bool {
        !self.many.is_empty()
    }

    /// What is due, since it rests.
    pub(super) fn at_rest(&self, now: Instant) -> Vec<DocumentName> {
        let rests = |many: &Many| now.saturating_duration_since(many.last) >= REST;
        self.many.iter().filter(|(_, many)| rests(many)).map(|(name, _)| name.clone()).collect()
    }

    /// It is being compacted: its commits are counted anew.
    pub(super) fn handed_on(&mut self, document: &DocumentName) {
        self.many.remove(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> DocumentName {
        DocumentName::parse("doc").expect("a name")
    }

    #[test]
    fn a_document_with_many_commits_is_due_once_it_rests() {
        let (mut growth, start) = (Growth::new(4), Instant::now());
        for _ in 0..3 {
            assert_eq!(growth.commit(name(), start), None);
        }
        assert!(growth.at_rest(start + 10 * REST).is_empty(), "three are few");
        assert_eq!(growth.commit(name(), start), None);
        assert!(growth.at_rest(start).is_empty(), "it does not rest");
        assert_eq!(growth.commit(name(), start + REST), None);
        assert!(growth.at_rest(start + REST).is_empty(), "it does not rest any more");
        assert_eq!(growth.at_rest(start + 2 * REST), [name()]);
        growth.handed_on(&name());
        assert!(!growth.has_many() && growth.at_rest(start + 10 * REST).is_empty(), "counted anew");
    }

    #[test]
    fn a_document_that_never_rests_is_due_once_it_has_very_many() {
        let (mut growth, start) = (Growth::new(4), Instant::now());
        for _ in 1..4 * BUSY_FACTOR {
            assert_eq!(growth.commit(name(), start), None);
        }
        assert_eq!(growth.commit(name(), start), Some(name()));
        assert_eq!(growth.commit(name(), start), Some(name()), "until it is handed on");
    }
}
