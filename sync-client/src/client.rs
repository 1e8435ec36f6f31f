//! The client as a program holds it: opening, documents, online and offline, closing.

use std::sync::Arc;

use sync_core::id::DocumentName;
use sync_core::replica::Replica;
use sync_core::storage::{LocalStore, StoreError};

use crate::config::ClientConfig;
use crate::document::Document;
use crate::driver::{self, Core, Driver, Target};
use crate::error::{CloseError, Closed, DocumentError, OpenError};
use crate::event::ClientSubscription;
use crate::status::Status;
use crate::store::SqliteStore;

/// A sync client: documents on this device's disk, and a connection to a server whenever there is one.
///
/// Clones are the same client. When the last clone and the last [`Document`] are dropped, what was edited is handed to the
/// store and the connection ends; [`Client::close`] also waits until it is saved.
#[derive(Clone)]
pub struct Client {
    pub(crate) hold: Arc<Hold>,
}

/// Keeps the driver going; the last one to go ends it.
pub(crate) struct Hold {
    pub(crate) driver: Arc<Driver>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let driver = Arc::clone(&self.driver);
        if driver.is_held_here() {
            // Dropped by a closure that runs under the lock.
            std::thread::spawn(move || driver.shut_down());
        } else {
            driver.shut_down();
        }
    }
}

impl Client {
    /// Opens the local store and starts the client on the current tokio runtime, which needs its time and IO enabled. Does not wait for
    /// the network: documents can be opened and edited without one.
    pub async fn open(config: ClientConfig) -> Result<Self, OpenError> {
        config.uri()?;
        let dir = config.store_dir.clone();
        let store = tokio::task::spawn_blocking(move || SqliteStore::open(&dir)).await;
        let store = store.map_err(|e| OpenError::System(e.to_string()))??;
        Self::with_store(config, Box::new(store)).await
    }

    /// Starts the client on a store of the program's own; `store_dir` is not used.
    pub async fn with_store(config: ClientConfig, store: Box<dyn LocalStore>) -> Result<Self, OpenError> {
        let uri = config.uri()?;
        let tls = match uri.scheme_str() {
            Some("wss") => Some(Self::tls(config.root_certificates).await?),
            _ => None,
        };
        let target = Target { uri, connect_within: config.replica.connect_within, tls };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| OpenError::System(e.to_string()))?;
        let replica = Replica::new(config.replica, seed);
        let driver = Driver::start(replica, store, target).map_err(|e| OpenError::System(e.to_string()))?;
        let client = Self { hold: Arc::new(Hold { driver }) };
        client
            .until(|core| match &core.unusable {
                Some(error) => Some(Err(error.clone())),
                None => core.replica.client_id().map(|_| Ok(())),
            })
            .await?;
        Ok(client)
    }

    async fn tls(also: Vec<Vec<u8>>) -> Result<tokio_tungstenite::Connector, OpenError> {
        let read = tokio::task::spawn_blocking(move || driver::tls_connector(&also)).await;
        read.map_err(|e| OpenError::System(e.to_string()))?.map_err(OpenError::Tls)
    }

    /// Opens a document by its name and waits until it is read from the local store; a name never used gives an empty document.
    /// Opening it again gives another handle of the same document. It is kept in sync while a handle of it is held.
    pub async fn document(&self, name: &str) -> Result<Document, DocumentError> {
        let name = DocumentName::parse(name)?;
        Document::open(Arc::clone(&self.hold), name).await
    }

    /// Where all open documents stand together: the worst of their states, the sums of their counts.
    pub fn status(&self) -> Status {
        let now = self.hold.driver.now();
        self.hold.driver.peek(|core| Status::new(core.replica.overall(), now))
    }

    /// What happens to the client as a whole, from now on.
    pub fn subscribe(&self) -> ClientSubscription {
        ClientSubscription(self.hold.driver.peek(|core| core.subscribe()))
    }

    /// Ends the connection, and makes none until [`Client::go_online`]. Editing goes on.
    pub fn go_offline(&self) -> Result<(), Closed> {
        self.hold.driver.with(|core, now| core.replica.set_online(now, false))
    }

    /// Connects now, and again whenever the connection is lost.
    pub fn go_online(&self) -> Result<(), Closed> {
        self.hold.driver.with(|core, now| core.replica.set_online(now, true))
    }

    /// Waits until everything is saved on this device, ends the connection and frees the local store. What the server has not
    /// acknowledged stays in the outbox for the next time.
    ///
    /// # Errors
    /// [`CloseError::Unsaved`] if the local store fails; the client then stays open and goes on trying, so that the program can free
    /// space and close again, or [`Document::export`] what is not saved. Closing a closed client does nothing.
    pub async fn close(&self) -> Result<(), CloseError> {
        let driver = &self.hold.driver;
        let answered = driver.peek(|core| core.saves().answered);
        self.until(|core| match &core.saves().error {
            _ if core.saves().is_done() => Some(Ok(())),
            // A failure from before does not count: there may be room by now.
            Some(error) if core.saves().answered > answered => {
                Some(Err(CloseError::Unsaved { unsaved: core.replica.overall().unsaved, error: error.clone() }))
            }
            _ => None,
        })
        .await?;
        if let Some(thread) = driver.shut_down() {
            // It ends once its queue is written; a panic there has been reported as a storage failure.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        Ok(())
    }

    /// Waits until `reached` gives something, looking whenever the replica may have moved.
    async fn until<R>(&self, mut reached: impl FnMut(&Core) -> Option<R>) -> R {
        let mut activity = self.hold.driver.activity();
        loop {
            activity.borrow_and_update();
            if let Some(result) = self.hold.driver.peek(&mut reached) {
                return result;
            }
            // The sender lives in the driver, which `self` holds.
            let _ = activity.changed().await;
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("status", &self.status()).finish()
    }
}

/// A store error is the same to a program whether it comes at the opening of the client or of a document.
impl From<StoreError> for DocumentError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
