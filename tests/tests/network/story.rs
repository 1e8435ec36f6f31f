//! The story that every one of these tests tells: two editors and a server agree, something breaks, both go on editing, it heals, and nothing is lost.

use std::time::{Duration, Instant};

use rejoin_tests::editor::Editor;
use tempfile::TempDir;

use crate::HEALED_WITHIN;

/// Between two looks at what an editor shows.
const POLL: Duration = Duration::from_millis(20);

/// Two editors of one document. The trouble strikes the first.
pub(crate) struct Story {
    pub(crate) ann: Editor,
    pub(crate) bob: Editor,
    edits: usize,
    _stores: [TempDir; 2],
}

impl Story {
    /// Two editors that reach the server at `urls`, each `within` words of its own, started and in agreement.
    pub(crate) fn begin(urls: [&str; 2], within: [&[&str]; 2]) -> Self {
        let mut story = Self::prepare(urls, within);
        story.ann.start();
        story.bob.start();
        story.settle();
        story
    }

    /// The same before anybody is started.
    pub(crate) fn prepare(urls: [&str; 2], within: [&[&str]; 2]) -> Self {
        let stores = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let program = env!("CARGO_BIN_EXE_editor");
        let editor = |i: usize| Editor::new(program, within[i], urls[i], stores[i].path());
        Self { ann: editor(0), bob: editor(1), edits: 0, _stores: stores }
    }

    /// Both write a few tokens, and have them on their disks.
    #[track_caller]
    pub(crate) fn both_edit(&mut self) {
        for _ in 0..5 {
            self.edits += 1;
            self.ann.edit(&format!("ann-{}", self.edits));
            self.bob.edit(&format!("bob-{}", self.edits));
        }
        for editor in [&self.ann, &self.bob] {
            editor.wait("saving of all", |ledger| ledger.written.is_subset(&ledger.saved));
        }
    }

    /// Both write, and have it acknowledged; both show the same: everything once.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.both_edit();
        self.agree();
    }

    /// Everything written is acknowledged and shown by both, once, within [`HEALED_WITHIN`].
    #[track_caller]
    pub(crate) fn agree(&mut self) {
        let since = Instant::now();
        for editor in [&self.ann, &self.bob] {
            let done = editor.wait_for(HEALED_WITHIN, |ledger| ledger.written.is_subset(&ledger.acknowledged));
            let ledger = editor.ledger();
            let missing: Vec<_> = ledger.written.difference(&ledger.acknowledged).collect();
            assert!(done, "not acknowledged within {HEALED_WITHIN:?}: {missing:?}; it said {:#?}", ledger.said);
        }
        let written: Vec<String> = {
            let (ann, bob) = (self.ann.ledger(), self.bob.ledger());
            ann.written.union(&bob.written).cloned().collect()
        };
        loop {
            let (ann, bob) = (self.ann.show(), self.bob.show());
            let mut sorted = ann.clone();
            sorted.sort();
            if ann == bob && sorted == written {
                return;
            }
            std::thread::sleep(POLL);
            assert!(since.elapsed() < HEALED_WITHIN, "ann shows {ann:?}\nbob shows {bob:?}\nwritten were {written:?}");
        }
    }
}
