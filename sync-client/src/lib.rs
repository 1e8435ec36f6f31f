//! The native client of Rejoin: documents that are edited on this device, with or without a network, and kept in sync with a server.
//!
//! Documents are [`automerge`] documents, edited with its transactions. Every edit is in memory at once, on this device's disk a
//! moment later, and on the server's disk as soon as there is a connection; each of these can be awaited. Nothing that was saved is
//! lost by a crash, and nothing that the server will not take disappears: it stays in the outbox until the program settles it.
//!
//! ```no_run
//! use automerge::{ROOT, ReadDoc, transaction::Transactable};
//! use sync_client::{Client, ClientConfig};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::open(ClientConfig::new("ws://127.0.0.1:8787/sync", "my-store")).await?;
//!     let list = client.document("todos/groceries").await?; // read from this device; needs no network
//!     let mut events = list.subscribe();
//!     let ((), edit) = list.change(|tx| tx.put(ROOT, "milk", "2 litres"))?; // made at once
//!     list.saved(edit).await?; // on this device's disk
//!     println!("{:?}, {} pending", list.read(|d| d.keys(ROOT).collect::<Vec<_>>())?, list.status().pending);
//!     list.acknowledged(edit).await?; // on the server's disk
//!     println!("{:?}", events.next().await); // what happened here or came from others
//!     Ok(client.close().await?)
//! }
//! ```
//!
//! The crate owns sockets, clocks, threads and files; everything that is decided, is decided in [`sync_core::replica`].

mod client;
mod config;
mod conflicts;
mod document;
mod driver;
mod error;
mod event;
mod rules;
mod status;
pub mod store;

pub use automerge;
pub use client::Client;
pub use config::ClientConfig;
pub use conflicts::{ConflictFilter, Inspected};
pub use document::Document;
pub use error::{AnswerFailure, ChangeError, CloseError, Closed, DocumentError, NotReady, OpenError};
pub use event::{ClientEvent, ClientSubscription, DocumentEvent, Subscription};
pub use rules::Ruled;
pub use status::Status;
pub use store::SqliteStore;
pub use sync_core::conflict;
pub use sync_core::document::InitValue;
pub use sync_core::id::{ActorId, AuthorError, ChangeHash, NameError, SessionId};
pub use sync_core::protocol::RejectCode;
pub use sync_core::replica::{ChangeId, EditError, Listed, OutboxEntry, OutboxState, State};
pub use sync_core::resolver;
pub use sync_core::settlement::{Answer, AnswerError, ListedState, Seen, Settler};
pub use sync_core::storage::StoreError;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
