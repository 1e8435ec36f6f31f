//! What a client does with an edit of its own application that no server would take: it is refused before anything is stored.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjType, ROOT, ReadDoc, ScalarValue};
use sync_core::id::DocumentName;
use sync_core::replica::{self, DocumentId, EditError, Output, Replica};
use sync_core::storage::LocalTask;
use sync_core::storage::memory::MemoryLocalStore;
use sync_core::time::{Instant, WallTime};

type Edit = fn(&mut Transaction<'_>) -> Result<(), AutomergeError>;

/// A client without a connection, over a store in memory.
struct Own {
    replica: Replica,
    store: MemoryLocalStore,
    document: DocumentId,
    /// Transactions on the local store.
    commits: usize,
}

impl Own {
    fn new() -> Self {
        let mut replica = Replica::new(replica::Config { online: false, ..replica::Config::default() }, [1; 32]);
        let document = replica.open(Instant(1), DocumentName::parse("doc").expect("a name"));
        let mut own = Self { replica, store: MemoryLocalStore::new(), document, commits: 0 };
        own.drain();
        own
    }

    fn change(&mut self, time: i64, edit: Edit) -> Result<(), EditError> {
        let done = self.replica.change(Instant(1), WallTime(time), self.document, edit).map(drop);
        self.drain();
        done
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            let Output::Store(task, what) = output else { continue };
            self.commits += usize::from(matches!(what, LocalTask::Commit(_)));
            let done = what.run(&mut self.store);
            self.replica.handle_input(Instant(1), replica::Input::StoreDone(task, done));
        }
    }
}

fn marked(tx: &mut Transaction<'_>, name: &str) -> Result<(), AutomergeError> {
    let text = tx.put_object(ROOT, "text", ObjType::Text)?;
    tx.splice_text(&text, 0, 0, "abc")?;
    tx.mark(&text, Mark::new(name.into(), true, 0, 2), ExpandMark::None)
}

fn nested(tx: &mut Transaction<'_>, depth: usize) -> Result<(), AutomergeError> {
    (0..depth).try_fold(ROOT, |object, _| tx.put_object(&object, "deep", ObjType::Map)).map(drop)
}

#[test]
fn an_edit_beyond_a_limit_is_refused_before_it_is_stored() {
    let edits: [(&str, i64, Edit); 11] = [
        ("a key too long", 0, |tx| tx.put(ROOT, "k".repeat(1_025), 1)),
        ("a string too long", 0, |tx| tx.put(ROOT, "k", "v".repeat((2 << 20) + 1))),
        ("bytes too long", 0, |tx| tx.put(ROOT, "k", ScalarValue::Bytes(vec![1; (2 << 20) + 1]))),
        ("a change too long", 0, |tx| (0..3).try_for_each(|n| tx.put(ROOT, format!("k{n}"), "v".repeat(2 << 20)))),
        ("a mark's name too long", 0, |tx| marked(tx, &"m".repeat(1_025))),
        ("objects too deep", 0, |tx| nested(tx, 101)),
        ("a table", 0, |tx| tx.put_object(ROOT, "t", ObjType::Table).map(drop)),
        ("a counter too high", 0, |tx| tx.put(ROOT, "c", ScalarValue::counter((1 << 53) + 1))),
        ("an increment too high", 0, |tx| tx.increment(ROOT, "n", i64::MAX)),
        ("too many operations", 0, |tx| {
            let text = tx.put_object(ROOT, "text", ObjType::Text)?;
            tx.splice_text(&text, 0, 0, &"a".repeat(200_001))
        }),
        ("a clock beyond all time", i64::MAX, |tx| tx.put(ROOT, "k", 1)),
    ];
    for (what, time, edit) in edits {
        let mut own = Own::new();
        own.change(0, |tx| tx.put(ROOT, "n", ScalarValue::counter(1))).expect("an honest edit");
        let stored = (own.commits, own.store.clone());
        let heads = own.replica.read(own.document, automerge::Automerge::get_heads);
        let refused = own.change(time, edit);
        assert!(matches!(refused, Err(EditError::Refused(_))), "{what}: {refused:?}");
        assert_eq!((own.commits, format!("{:?}", own.store)), (stored.0, format!("{:?}", stored.1)), "{what}");
        assert_eq!(own.replica.read(own.document, automerge::Automerge::get_heads), heads, "{what}");
        own.change(0, |tx| tx.put(ROOT, "after", 1)).unwrap_or_else(|e| panic!("after {what}: {e}"));
        assert_eq!(own.replica.outbox(own.document).len(), 2, "{what}");
        let read = own.replica.read(own.document, |doc| doc.keys(ROOT).collect::<Vec<_>>());
        assert_eq!(read, Some(vec!["after".to_owned(), "n".to_owned()]), "{what}");
    }
}
