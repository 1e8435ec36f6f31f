//! A document as a program holds it: read, change, wait, watch, and settle what the server would not have.

use std::sync::Arc;
use std::time::Duration;

use automerge::transaction::Transaction;
use automerge::{Automerge, AutomergeError};
use bytes::Bytes;
use sync_core::conflict::Conflict;
use sync_core::document::InitValue;
use sync_core::id::{ChangeHash, DocumentName};
use sync_core::replica::{ChangeId, DocumentId, OutboxEntry};
use tokio::sync::watch;

use crate::client::Hold;
use crate::driver::{Driver, Entry, Progress};
use crate::error::{ChangeError, Closed, DocumentError, NotReady};
use crate::event::Subscription;
use crate::rules;
use crate::status::Status;

/// An open document. Clones are handles of the same document, which is closed once the last is dropped.
///
/// Closures given to a document run while the client is locked: keep them short, and don't call the client from within them.
#[derive(Clone)]
pub struct Document {
    inner: Arc<Inner>,
}

struct Inner {
    id: DocumentId,
    name: DocumentName,
    progress: watch::Receiver<Progress>,
    /// Declared before `hold`, so that the driver still runs when it learns that this was the last handle.
    _handle: Handle,
    hold: Arc<Hold>,
}

/// Counts the handles of a document.
struct Handle {
    id: DocumentId,
    count: Option<Arc<()>>,
    driver: Arc<Driver>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.count = None;
        self.driver.abandon(self.id);
    }
}

impl Document {
    /// Opens `name` and waits until it is loaded.
    pub(crate) async fn open(hold: Arc<Hold>, name: DocumentName) -> Result<Self, DocumentError> {
        let driver = Arc::clone(&hold.driver);
        let (id, count, mut progress) = driver.with(|core, now| {
            let id = core.replica.open(now, name.clone());
            let entry = core.documents.entry(id).or_insert_with(Entry::new);
            let count = entry.handle();
            (id, count, entry.progress.subscribe())
        })?;
        let handle = Handle { id, count: Some(count), driver };
        let loaded = progress.wait_for(|p| p.loaded.is_some()).await.map_err(|_| Closed)?.loaded.clone();
        loaded.expect("it was waited for")?;
        Ok(Self { inner: Arc::new(Inner { id, name, progress, _handle: handle, hold }) })
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.inner.hold.driver
    }

    pub(crate) fn id(&self) -> DocumentId {
        self.inner.id
    }

    /// The document's name.
    pub fn name(&self) -> &str {
        self.inner.name.as_str()
    }

    /// Edits the document in one transaction, at once and with or without a network. Gives what the closure gives, and an id to wait for.
    ///
    /// # Errors
    /// If the closure fails, or the outbox is full, nothing is changed.
    pub fn change<R>(
        &self,
        f: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> Result<(R, ChangeId), ChangeError> {
        let id = self.inner.id;
        let changed = self.driver().with_closure(|core, now, caught| {
            let before = core.replica.last_edit(id);
            let done = core.replica.change(now, Driver::wall(), id, |tx| caught.run(|| f(tx)));
            if core.replica.last_edit(id) != before {
                rules::declare_due(core, now, id);
            }
            done
        })?;
        Ok(changed?)
    }

    /// Reads the document as it is now, own edits included, as automerge holds it: with the root key `$settled`, which is the engine's own and
    /// no part of [`Document::value`].
    ///
    /// # Errors
    /// [`NotReady`] in the rare moment in which a copy in memory that proved to be damaged is loaded again from the local store.
    pub fn read<R>(&self, f: impl FnOnce(&Automerge) -> R) -> Result<R, NotReady> {
        self.driver().peek(|core| core.replica.read(self.inner.id, f)).ok_or(NotReady)
    }

    /// Makes `value` the value of `key` in the root, if there is none. All clients that do this with the same key and value make the
    /// very same change, so that their containers are one however long they were apart.
    pub fn init(&self, key: &str, value: InitValue) -> Result<(), ChangeError> {
        Ok(self.driver().with(|core, now| core.replica.init(now, self.inner.id, key, value))??)
    }

    /// Waits until an edit is on this device's disk, from where it survives any crash.
    pub async fn saved(&self, change: ChangeId) -> Result<(), Closed> {
        self.wait(|p| p.saved >= change).await
    }

    /// Waits until the server has answered an edit: it is durable there, or it was rejected, which [`Document::status`] counts and
    /// [`Document::outbox`] shows. Waits as long as there is no network.
    pub async fn acknowledged(&self, change: ChangeId) -> Result<(), Closed> {
        self.wait(|p| p.acknowledged >= change).await
    }

    async fn wait(&self, reached: impl FnMut(&Progress) -> bool) -> Result<(), Closed> {
        self.inner.progress.clone().wait_for(reached).await.map(|_| ()).map_err(|_| Closed)
    }

    /// What happens to the document from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.driver().peek(|core| core.subscribe_to(self.inner.id)))
    }

    /// Where the document stands.
    pub fn status(&self) -> Status {
        let now = self.driver().now();
        let status = self.driver().peek(|core| core.replica.status(self.inner.id));
        Status::new(status.expect("a document has a status while a handle of it is held"), now)
    }

    /// The changes that the server is not known to have, oldest first, and where each stands.
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        self.driver().peek(|core| core.replica.outbox(self.inner.id))
    }

    /// Writes a rejected change again on top of what is there now, and sends it once more. False if the outbox holds no such rejected change.
    pub fn retry(&self, change: ChangeHash) -> Result<bool, ChangeError> {
        Ok(self.driver().with(|core, now| core.replica.retry(now, self.inner.id, change))??)
    }

    /// Lets a rejected change go for good, or takes back one that was not sent yet; what was edited on top of it is kept. False if the
    /// outbox holds no such change.
    pub fn discard(&self, change: ChangeHash) -> Result<bool, ChangeError> {
        Ok(self.driver().with(|core, now| core.replica.discard(now, self.inner.id, change))??)
    }

    /// What merges hid of somebody's work, the same list with the same ids on every replica, followed by what the server refused of this
    /// client's. [`DocumentEvent::Changed`](crate::DocumentEvent::Changed) says when to look again. The first call looks through the
    /// document's history.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn conflicts(&self) -> Result<Vec<Conflict>, NotReady> {
        self.driver().with(|core, _| core.replica.conflicts(self.inner.id)).ok().flatten().ok_or(NotReady)
    }

    /// The changes of the outbox as automerge chunks one after the other, for the user to keep elsewhere.
    pub fn export(&self) -> Vec<u8> {
        self.driver().peek(|core| core.replica.export(self.inner.id))
    }

    /// Shows `payload` to everybody who has the document open now. With a lifetime `ttl` it is this session's presence, which replaces
    /// its last one; without, a message. Neither is stored or repeated: false says that it was dropped at once since there is
    /// no room on the way out.
    pub fn emit(&self, payload: Bytes, ttl: Option<Duration>) -> Result<bool, Closed> {
        if self.driver().is_congested() {
            return Ok(false);
        }
        self.driver().with(|core, _| core.replica.emit(self.inner.id, payload, ttl))?;
        Ok(true)
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("name", &self.inner.name).field("status", &self.status()).finish()
    }
}
