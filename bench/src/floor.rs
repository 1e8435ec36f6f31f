//! The bare servers that ours is compared with: the same runtime, framing and buffers, and none of the work in between.
//!
//! `broadcast` passes each frame on to all other connections. `commit` puts the bytes of each frame in SQLite, all that has gathered in one
//! durable transaction, and answers each with a frame. Each is a process of its own, so that it is measured as ours is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sync_core::protocol::SUBPROTOCOL;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::figures::Error;

/// The server's own buffers.
const READ_BUFFER_BYTES: usize = 1 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Most frames of one commit, as in the server's store.
const COMMIT_MAX: usize = 1_024;

/// Bytes of an acknowledgement on the wire, about.
const ANSWER: &[u8] = &[0x42; 34];

type Outbox = UnboundedSender<Bytes>;

/// Which bare server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Passes frames on.
    Broadcast,
    /// Commits frames and answers.
    Commit,
}

/// Runs a bare server until it is killed.
pub(crate) async fn run(kind: Kind, data: PathBuf) -> Result<(), Error> {
    let outboxes: Arc<Mutex<Vec<(u64, Outbox)>>> = Arc::default();
    let commits = (kind == Kind::Commit).then(|| committer(&data)).transpose()?;
    let ids = Arc::new(AtomicU64::new(0));
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let (outboxes, commits) = (outboxes.clone(), commits.clone());
        let id = ids.fetch_add(1, Ordering::Relaxed);
        async move { accept(upgrade, id, outboxes, commits) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // A connection without it is slower, not wrong.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().route("/sync", get(upgrade))).await?)
}

fn accept(
    upgrade: WebSocketUpgrade,
    id: u64,
    outboxes: Arc<Mutex<Vec<(u64, Outbox)>>>,
    commits: Option<UnboundedSender<(Bytes, Outbox)>>,
) -> Response {
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    let upgrade = upgrade.read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(WRITE_BUFFER_BYTES);
    upgrade.on_upgrade(move |socket| async move {
        let (outbox, inbox) = unbounded_channel();
        outboxes.lock().expect("nobody panics while holding it").push((id, outbox.clone()));
        let received = |bytes: Bytes| match &commits {
            Some(commits) => drop(commits.send((bytes, outbox.clone()))),
            None => {
                let all = outboxes.lock().expect("nobody panics while holding it");
                all.iter().filter(|(other, _)| *other != id).for_each(|(_, outbox)| drop(outbox.send(bytes.clone())));
            }
        };
        serve(socket, inbox, received).await;
        outboxes.lock().expect("nobody panics while holding it").retain(|(other, _)| *other != id);
    })
}

async fn serve(mut socket: WebSocket, mut inbox: UnboundedReceiver<Bytes>, received: impl Fn(Bytes)) {
    loop {
        tokio::select! {
            Some(mut bytes) = inbox.recv() => loop {
                if socket.feed(Message::Binary(bytes)).await.is_err() {
                    return;
                }
                match inbox.try_recv() {
                    Ok(next) => bytes = next,
                    Err(_) => break drop(socket.flush().await),
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => received(bytes),
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

/// A thread that commits what has gathered, with the server's settings of SQLite.
fn committer(data: &Path) -> Result<UnboundedSender<(Bytes, Outbox)>, Error> {
    let mut connection = rusqlite::Connection::open(data.join("floor.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute("CREATE TABLE frame (bytes BLOB NOT NULL) STRICT", [])?;
    let (commits, mut queue) = unbounded_channel::<(Bytes, Outbox)>();
    std::thread::spawn(move || -> Result<(), rusqlite::Error> {
        while let Some(first) = queue.blocking_recv() {
            let mut gathered = vec![first];
            while gathered.len() < COMMIT_MAX
                && let Ok(next) = queue.try_recv()
            {
                gathered.push(next);
            }
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached("INSERT INTO frame (bytes) VALUES (?1)")?;
                for (bytes, _) in &gathered {
                    insert.execute([&bytes[..]])?;
                }
            }
            transaction.commit()?;
            // A connection that has ended wants no answer.
            gathered.into_iter().for_each(|(_, outbox)| drop(outbox.send(Bytes::from_static(ANSWER))));
        }
        Ok(())
    });
    Ok(commits)
}
