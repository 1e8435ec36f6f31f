//! The server as a writer among others: what it writes goes into a document's room as a client's push does, and so through the validator, the store
//! and the fan-out, in that order.
//!
//! Owns that one document at a time is read and written so: two answers that stood on one state would have one actor and one number. Decides
//! nothing about what is written.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sync_core::desk::{Desk, DeskError, Written};
use sync_core::id::{BatchId, ChangeHash, DocumentHandle, DocumentName, LogSeq, SessionId};
use sync_core::protocol::{Mode, Open, RejectCode, ServerMessage};
use sync_core::room::{Request, Then};
use sync_core::scope::{Access, NamePattern};
use tokio::sync::{Mutex, Semaphore};

use crate::budget::Budget;
use crate::mailbox::{Inbox, Letter, Mailbox};
use crate::materialise::{Materialiser, ReadError};
use crate::rooms::Rooms;

/// Most writes that wait for the one under way; further ones are refused as overloaded.
const WAITING_MAX: usize = 64;

/// How long a room may take to answer. What it was given may still be stored after that.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

const HANDLE: DocumentHandle = DocumentHandle(1);
const BATCH: BatchId = BatchId(1);

/// What is in the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The last change that was written.
    pub(crate) change: ChangeHash,
    /// Where it stands.
    pub(crate) seq: LogSeq,
    /// Whether nothing of others stands between what was read and what was written.
    pub(crate) alone: bool,
    /// Whether it survives a crash of the machine, or only of the process.
    pub(crate) durable: bool,
}

/// Why nothing was written, or nobody knows whether it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum OwnError {
    /// The document can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was to be written does not fit.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// Nobody may change the document.
    #[error("documents under {0} can only be read")]
    ReadOnly(String),
    /// The room would not have it.
    #[error("{1}")]
    Refused(RejectCode, String),
    /// The room did not answer. What was written may be there.
    #[error("the document's room did not answer")]
    Silent,
}

/// The way to write as the server.
pub(crate) struct Own {
    rooms: Rooms,
    pub(crate) materialiser: Materialiser,
    sessions: Arc<AtomicU64>,
    budget: Budget,
    read_only: Vec<NamePattern>,
    turn: Mutex<()>,
    waiting: Semaphore,
}

impl Own {
    /// Writes in no document yet.
    pub(crate) fn new(
        rooms: Rooms,
        materialiser: Materialiser,
        sessions: Arc<AtomicU64>,
        budget: Budget,
        read_only: Vec<NamePattern>,
    ) -> Arc<Self> {
        let (turn, waiting) = (Mutex::new(()), Semaphore::new(WAITING_MAX));
        Arc::new(Self { rooms, materialiser, sessions, budget, read_only, turn, waiting })
    }

    /// Whether nobody may change a document.
    pub(crate) fn read_only(&self, document: &DocumentName) -> Option<&NamePattern> {
        self.read_only.iter().find(|pattern| pattern.matches(document))
    }

    /// Reads a document, has `work` write in it, and stores that. Gives what `work` gives, and what was stored, if anything was written. It is done
    /// to the end, also where nobody waits for it any more.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        document: DocumentName,
        work: impl FnOnce(&mut Desk) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<(T, Option<Stored>), OwnError> {
        let own = self.clone();
        let task = tokio::spawn(async move { own.write_now(document, work).await });
        task.await.unwrap_or(Err(OwnError::Silent))
    }

    async fn write_now<T: Send + 'static>(
        &self,
        document: DocumentName,
        work: impl FnOnce(&mut Desk) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<(T, Option<Stored>), OwnError> {
        if let Some(pattern) = self.read_only(&document) {
            return Err(OwnError::ReadOnly(pattern.as_str().into()));
        }
        let _waits = self.waiting.try_acquire().map_err(|_| ReadError::Overloaded)?;
        let _turn = self.turn.lock().await;
        let at_desk = |desk: &mut Desk| {
            let given = work(desk)?;
            Ok::<_, DeskError>((given, desk.for_room()?))
        };
        let (given, written) = self.materialiser.at_desk(document.clone(), at_desk).await??;
        let stored = match written {
            Some(written) => Some(self.push(document, written).await?),
            None => None,
        };
        Ok((given, stored))
    }

    /// Joins the room, pushes and leaves.
    async fn push(&self, document: DocumentName, written: Written) -> Result<Stored, OwnError> {
        let session = SessionId(self.sessions.fetch_add(1, Ordering::Relaxed));
        let (mailbox, mut inbox) = Mailbox::new(self.budget.clone());
        let open = Open {
            handle: HANDLE,
            document: document.as_str().into(),
            access: Access::Write,
            cursor: Some(written.cursor),
            acked: None,
            clock: None,
            snapshot: None,
            packs: None,
        };
        let join = Request::Join { open: Box::new(open), access: Access::Write, accepts: 0 };
        let push = Request::Push { batch: BATCH, pack: written.pack.clone() };
        for request in [join, push] {
            self.rooms.request(session, document.clone(), request, &mailbox).await;
        }
        let answered = tokio::time::timeout(ANSWERED_WITHIN, answer(&mut inbox, &written)).await;
        self.rooms.request(session, document, Request::Leave, &mailbox).await;
        answered.unwrap_or(Err(OwnError::Silent))
    }
}

/// Waits for what the room says of the push.
async fn answer(inbox: &mut Inbox, written: &Written) -> Result<Stored, OwnError> {
    loop {
        let Letter::Room(_, letter) = poll_fn(|cx| inbox.poll_next(cx)).await else { return Err(OwnError::Silent) };
        let messages = ServerMessage::decode_all(&letter.message).map_err(|_| OwnError::Silent)?;
        for message in messages {
            match message {
                ServerMessage::Ack(ack) => {
                    let seq = LogSeq(ack.first.0 + u64::from(ack.count).saturating_sub(1));
                    let alone = ack.count == written.count && ack.first == written.cursor.seq.plus(1);
                    return Ok(Stored { change: written.change, seq, alone, durable: ack.durable });
                }
                ServerMessage::Reject(reject) => return Err(OwnError::Refused(reject.code, reject.reason)),
                // Deleted since it was read.
                ServerMessage::Opened(opened) if opened.mode == Mode::Replaced => return Err(ReadError::None.into()),
                _ => {}
            }
        }
        if letter.then != Then::Continue {
            return Err(OwnError::Silent);
        }
    }
}
