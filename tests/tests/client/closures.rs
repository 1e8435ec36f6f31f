//! What an application's closures may do to the client: panic, fail, and be stopped from calling back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::Transactable as _;
use automerge::{AutomergeError, ROOT, ReadDoc as _};
use sync_client::{Client, ClientConfig, Document};
use tempfile::TempDir;

async fn offline() -> (TempDir, Client, Document) {
    let dir = tempfile::tempdir().expect("a folder");
    let config = ClientConfig::new("ws://127.0.0.1:9/sync", dir.path()).offline();
    let client = Client::open(config).await.expect("opens");
    let document = client.document("closures").await.expect("opens");
    (dir, client, document)
}

fn keys(document: &Document) -> Vec<String> {
    document.read(|d| d.keys(ROOT).collect()).expect("it is loaded")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_panicked_edit_changes_nothing_and_the_next_works() {
    crate::in_time(async {
        let (_dir, client, document) = offline().await;
        let failed = document.change(|tx| {
            tx.put(ROOT, "half", 1)?;
            Err::<(), _>(AutomergeError::Fail)
        });
        assert!(failed.is_err());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            document.change::<()>(|tx| {
                tx.put(ROOT, "half", 1)?;
                panic!("the application's own bug")
            })
        }));
        let said = panicked.expect_err("the panic goes on");
        assert_eq!(said.downcast_ref::<&str>(), Some(&"the application's own bug"));
        let read = catch_unwind(AssertUnwindSafe(|| document.read(|_| panic!("another"))));
        assert!(read.is_err());
        assert_eq!(keys(&document), Vec::<String>::new());
        let ((), edit) = document.change(|tx| tx.put(ROOT, "whole", 1)).expect("made");
        document.saved(edit).await.expect("saved");
        assert_eq!(keys(&document), ["whole"]);
        client.close().await.expect("closes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_the_client_from_within_a_closure_panics_instead_of_hanging() {
    crate::in_time(async {
        let (_dir, client, document) = offline().await;
        let nested = catch_unwind(AssertUnwindSafe(|| document.read(|_| document.status())));
        assert!(nested.is_err());
        let nested = catch_unwind(AssertUnwindSafe(|| document.change(|_| Ok(client.status()))));
        assert!(nested.is_err());
        assert_eq!(document.status().pending, 0);
    })
    .await;
}
