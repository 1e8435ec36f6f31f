//! Which documents have grown so much that they are to be compacted, or looked at for a snapshot, and when: at rest, or before they grow
//! without end.
//!
//! Each compaction takes the last pack and the last changes up again, and writes the snapshot anew, whatever has come since. So a document that
//! is being written is left alone for longer, and what it costs is shared by more commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sync_core::id::{DocumentName, LogSeq};
use sync_core::limits::SNAPSHOT_CHANGES_MIN;

/// A document without a commit for this time rests.
pub(super) const REST: Duration = Duration::from_secs(1);

/// A document that does not rest is due after this many times the commits that one at rest has.
const BUSY_FACTOR: usize = 16;

/// Most documents whose commits are counted, among those that have few and among those that have many. Beyond, counting the few begins anew, and no more
/// become many; what is missed is found at the next start.
const COUNTED_MAX: usize = 65_536;

/// A document that is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grown {
    pub(super) document: DocumentName,
    /// It is not being written just now.
    pub(super) rests: bool,
}

/// Commits since a document was last handed on.
#[derive(Debug)]
pub(super) struct Growth {
    packs_min: usize,
    few: BTreeMap<DocumentName, usize>,
    many: BTreeMap<DocumentName, Many>,
    long: BTreeMap<DocumentName, Long>,
}

/// A document that is long enough for a snapshot.
#[derive(Debug)]
struct Long {
    head: LogSeq,
    /// Where its log ended when it was last handed on at rest.
    asked: LogSeq,
    last: Instant,
}

impl Long {
    fn has_grown(&self) -> bool {
        self.head.0 >= self.asked.0 + SNAPSHOT_CHANGES_MIN
    }
}

#[derive(Debug)]
struct Many {
    commits: usize,
    last: Instant,
}

impl Growth {
    /// Nothing has grown. A document is due from so many commits on.
    pub(super) fn new(packs_min: usize) -> Self {
        Self { packs_min, few: BTreeMap::new(), many: BTreeMap::new(), long: BTreeMap::new() }
    }

    /// Counts a commit. Gives the document if it has so many that it is due though it does not rest.
    pub(super) fn commit(&mut self, document: DocumentName, head: LogSeq, now: Instant) -> Option<Grown> {
        self.lengthen(&document, head, now);
        if let Some(many) = self.many.get_mut(&document) {
            many.commits += 1;
            many.last = now;
            return (many.commits >= self.packs_min.saturating_mul(BUSY_FACTOR))
                .then_some(Grown { document, rests: false });
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

    fn lengthen(&mut self, document: &DocumentName, head: LogSeq, now: Instant) {
        if let Some(long) = self.long.get_mut(document) {
            (long.head, long.last) = (head, now);
            // Deleted, and begun again.
            long.asked = long.asked.min(head);
        } else if head.0 >= SNAPSHOT_CHANGES_MIN {
            if self.long.len() >= COUNTED_MAX {
                self.long.clear();
            }
            self.long.insert(document.clone(), Long { head, asked: LogSeq(0), last: now });
        }
    }

    /// Whether anything is due once it rests.
    pub(super) fn has_many(&self) -> bool {
        !self.many.is_empty() || self.long.values().any(Long::has_grown)
    }

    /// What is due, since it rests.
    pub(super) fn at_rest(&self, now: Instant) -> Vec<Grown> {
        let rests = |last| now.saturating_duration_since(last) >= REST;
        let many = self.many.iter().filter(|(_, many)| rests(many.last)).map(|(name, _)| name);
        let long = self.long.iter().filter(|(_, long)| long.has_grown() && rests(long.last)).map(|(name, _)| name);
        let all: BTreeSet<_> = many.chain(long).cloned().collect();
        all.into_iter().map(|document| Grown { document, rests: true }).collect()
    }

    /// It is being compacted: its commits are counted anew.
    pub(super) fn handed_on(&mut self, grown: &Grown) {
        self.many.remove(&grown.document);
        if let Some(long) = self.long.get_mut(&grown.document).filter(|_| grown.rests) {
            long.asked = long.head;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> DocumentName {
        DocumentName::parse("doc").expect("a name")
    }

    fn due(rests: bool) -> Grown {
        Grown { document: name(), rests }
    }

    #[test]
    fn a_document_with_many_commits_is_due_once_it_rests() {
        let (mut growth, start) = (Growth::new(4), Instant::now());
        for _ in 0..3 {
            assert_eq!(growth.commit(name(), LogSeq(1), start), None);
        }
        assert!(growth.at_rest(start + 10 * REST).is_empty(), "three are few");
        assert_eq!(growth.commit(name(), LogSeq(1), start), None);
        assert!(growth.at_rest(start).is_empty(), "it does not rest");
        assert_eq!(growth.commit(name(), LogSeq(5), start + REST), None);
        assert!(growth.at_rest(start + REST).is_empty(), "it does not rest any more");
        assert_eq!(growth.at_rest(start + 2 * REST), [due(true)]);
        growth.handed_on(&due(true));
        assert!(!growth.has_many() && growth.at_rest(start + 10 * REST).is_empty(), "counted anew");
    }

    #[test]
    fn a_long_document_is_looked_at_whenever_it_has_grown() {
        let (mut growth, start, long) = (Growth::new(1_000), Instant::now(), SNAPSHOT_CHANGES_MIN);
        assert_eq!(growth.commit(name(), LogSeq(long - 1), start), None);
        assert!(!growth.has_many(), "it is short");
        for head in [long, 2 * long] {
            assert_eq!(growth.commit(name(), LogSeq(head), start), None);
            assert!(growth.has_many() && growth.at_rest(start).is_empty(), "it does not rest");
            assert_eq!(growth.at_rest(start + REST), [due(true)]);
            growth.handed_on(&due(true));
            assert_eq!(growth.commit(name(), LogSeq(head + 1), start), None);
            assert!(!growth.has_many(), "it has grown by one");
        }
    }

    #[test]
    fn a_document_that_never_rests_is_due_once_it_has_very_many() {
        let (mut growth, start) = (Growth::new(4), Instant::now());
        for _ in 1..4 * BUSY_FACTOR {
            assert_eq!(growth.commit(name(), LogSeq(1), start), None);
        }
        assert_eq!(growth.commit(name(), LogSeq(1), start), Some(due(false)));
        assert_eq!(growth.commit(name(), LogSeq(1), start), Some(due(false)), "until it is handed on");
        growth.handed_on(&due(false));
        assert_eq!(growth.commit(name(), LogSeq(1), start), None, "counted anew");
    }

    #[test]
    fn a_long_document_is_looked_at_once_it_rests_whatever_was_done_while_it_was_written() {
        let (mut growth, start) = (Growth::new(4), Instant::now());
        assert_eq!(growth.commit(name(), LogSeq(SNAPSHOT_CHANGES_MIN), start), None);
        growth.handed_on(&due(false));
        assert_eq!(growth.at_rest(start + REST), [due(true)]);
        growth.handed_on(&due(true));
        assert!(!growth.has_many());
    }
}
