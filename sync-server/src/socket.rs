//! One WebSocket connection: a task that owns its session, reads while there is room to answer, and writes all that is ready at once.
//!
//! Reading pauses while much is queued for writing, so a client that does not read can't make the server buffer without bound; a
//! client that takes nothing for `write_within_s` is dropped.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use sync_core::id::{DocumentName, SessionId};
use sync_core::protocol::CloseCode;
use sync_core::room::Request;
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Input, Output, Session};
use sync_core::time::Instant;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::mailbox::{Inbox, Letter, Mailbox};
use crate::meter;
use crate::rooms::Rooms;
use crate::server::stopped;

/// With this many bytes queued for writing, nothing more is read from the client or taken from rooms.
const QUEUED_BYTES_HIGH: usize = 256 << 10;

/// What a queued message counts beside its bytes: a client that pings and does not read queues many small ones.
const QUEUED_MESSAGE_BYTES: usize = 128;

/// How long a close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Longest reason that fits a close frame.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Letters taken from the mailbox at a time.
const LETTERS_MAX: usize = 256;

/// What connections need of their server.
pub(crate) struct Surroundings {
    pub(crate) rooms: Rooms,
    pub(crate) session: session::Config,
    pub(crate) clock: Clock,
    pub(crate) budget: Budget,
    pub(crate) write_within: Duration,
    pub(crate) reconnect_within: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Serves a connection until it ends. What it holds is in one place of its own: a future would keep it as often as it is handed on.
pub(crate) fn serve(socket: WebSocket, id: SessionId, surroundings: Arc<Surroundings>) -> impl Future<Output = ()> {
    meter::connections(1.0);
    let (mailbox, inbox) = Mailbox::new(surroundings.budget.clone());
    let now = surroundings.clock.now();
    let mut session = Session::new(surroundings.session.clone(), id);
    // The time for its hello begins now, not with the first thing heard.
    session.handle_timeout(now);
    let connection = Box::new(Connection {
        session,
        io: Io { socket, queue: VecDeque::new(), queued: 0, handed: Vec::new(), dirty: false, progress: false },
        id,
        mailbox,
        inbox,
        asked: VecDeque::new(),
        progress_at: now,
        closing: None,
        said_goodbye: false,
        assembling: 0,
        surroundings,
    });
    async {
        connection.run().await;
        meter::connections(-1.0);
    }
}

enum Event {
    Letter(Letter),
    Due,
    Stop,
    Read(Message),
    ReadFailed(axum::Error),
    Gone,
    Flushed,
}

/// A message to write, and whose room's bytes it carries.
struct Queued {
    bytes: Bytes,
    from: Option<(DocumentName, usize)>,
}

struct Io {
    socket: WebSocket,
    queue: VecDeque<Queued>,
    queued: usize,
    /// Given to the socket and not yet flushed.
    handed: Vec<(DocumentName, usize)>,
    dirty: bool,
    progress: bool,
}

impl Io {
    fn push(&mut self, message: Queued) {
        // Patience with the client begins with what is there to be taken, not with what was last taken.
        self.progress |= !self.is_writing();
        self.queued += message.bytes.len() + QUEUED_MESSAGE_BYTES;
        self.queue.push_back(message);
    }

    /// Writes what it can and reads if allowed, whichever gets on first. Dropping the future in between loses nothing.
    fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Event> {
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Event::Flushed),
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
        if !reading {
            return Poll::Pending;
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => Poll::Ready(Event::Read(message)),
            Poll::Ready(Some(Err(e))) => Poll::Ready(Event::ReadFailed(e)),
            Poll::Ready(None) => Poll::Ready(Event::Gone),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready once everything queued has been flushed; pending if there was nothing to do.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.queue.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let Some(Queued { bytes, from }) = self.queue.pop_front() else { break };
            self.queued -= bytes.len() + QUEUED_MESSAGE_BYTES;
            meter::sent(bytes.len());
            if let Some((document, count)) = from {
                self.hand(document, count);
            }
            self.dirty = true;
            self.progress = true;
            if let Err(e) = Pin::new(&mut self.socket).start_send(Message::Binary(bytes)) {
                return Poll::Ready(Err(e));
            }
        }
        if !self.dirty {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.dirty = false;
            self.progress = true;
        }
        flushed
    }

    /// Notes bytes of a document's room. Most flushes are of one document.
    fn hand(&mut self, document: DocumentName, count: usize) {
        match self.handed.last_mut() {
            Some((last, bytes)) if *last == document => *bytes += count,
            _ => self.handed.push((document, count)),
        }
    }

    fn is_writing(&self) -> bool {
        self.dirty || !self.queue.is_empty()
    }
}

struct Connection {
    session: Session,
    io: Io,
    id: SessionId,
    mailbox: Mailbox,
    inbox: Inbox,
    /// What the session has for rooms, which may have to wait for their workers. Empty between turns.
    asked: VecDeque<(DocumentName, Request)>,
    /// When the client last took something.
    progress_at: Instant,
    closing: Option<(CloseCode, String)>,
    /// The client has sent a close frame.
    said_goodbye: bool,
    /// Bytes of unfinished messages that are counted in the budget.
    assembling: usize,
    surroundings: Arc<Surroundings>,
}

impl Connection {
    async fn run(mut self: Box<Self>) {
        let mut stop = self.surroundings.stop.clone();
        let mut stopping = pin!(stopped(&mut stop));
        let mut timer = pin!(tokio::time::sleep_until(self.surroundings.clock.timer(self.due())));
        // Letters and the socket take turns at being looked at first, so that neither can keep the other waiting.
        let mut letters_first = false;
        while self.closing.is_none() {
            let roomy = self.io.queued < QUEUED_BYTES_HIGH;
            let due = self.surroundings.clock.timer(self.due());
            // Most turns put it off: a timer that fires too early costs less than one that is set at each turn.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            letters_first = !letters_first;
            let (io, inbox) = (&mut self.io, &mut self.inbox);
            let mut poll_letter = |cx: &mut Context<'_>| if roomy { inbox.poll_next(cx) } else { Poll::Pending };
            let event = poll_fn(|cx| {
                if letters_first && let Poll::Ready(letter) = poll_letter(cx) {
                    return Poll::Ready(Event::Letter(letter));
                }
                if let Poll::Ready(event) = io.poll(cx, roomy) {
                    return Poll::Ready(event);
                }
                if !letters_first && let Poll::Ready(letter) = poll_letter(cx) {
                    return Poll::Ready(Event::Letter(letter));
                }
                if timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Due);
                }
                stopping.as_mut().poll(cx).map(|()| Event::Stop)
            });
            let event = event.await;
            let goes_on = self.event(event);
            self.ask().await;
            if !goes_on {
                break;
            }
            if std::mem::take(&mut self.io.progress) || !self.io.is_writing() {
                self.progress_at = self.surroundings.clock.now();
            }
        }
        // Rare, and large: no part of what every connection holds.
        Box::pin(self.end()).await;
    }

    /// The session's next timeout, or the end of patience with a client that takes nothing.
    fn due(&self) -> Instant {
        let write = self.patience_ends();
        self.session.poll_timeout().map_or(write, |at| if self.io.is_writing() { at.min(write) } else { at })
    }

    fn patience_ends(&self) -> Instant {
        self.progress_at + self.surroundings.write_within
    }

    fn is_stuck(&self) -> bool {
        self.io.is_writing() && self.patience_ends() <= self.surroundings.clock.now()
    }

    /// Whether the connection goes on.
    fn event(&mut self, event: Event) -> bool {
        match event {
            Event::Letter(letter) => self.letters(letter),
            Event::Due => {
                if self.is_stuck() {
                    return false;
                }
                self.session.handle_timeout(self.surroundings.clock.now());
                self.drain();
            }
            Event::Stop => {
                let reconnect_within = self.surroundings.reconnect_within;
                self.feed(Input::Shutdown { reason: "the server is stopping".into(), reconnect_within });
            }
            Event::Read(Message::Binary(bytes)) => {
                meter::received(bytes.len());
                self.feed(Input::Frame(bytes));
                self.count_assembling();
            }
            Event::Read(Message::Text(_)) => self.refuse(CloseCode::Malformed, "frames are binary"),
            Event::Read(Message::Ping(_) | Message::Pong(_)) => {}
            Event::Read(Message::Close(_)) => {
                self.said_goodbye = true;
                return false;
            }
            Event::Gone => return false,
            Event::ReadFailed(error) => match refusal(error) {
                Some((code, reason)) => self.refuse(code, reason),
                None => return false,
            },
            Event::Flushed => {
                while let Some((document, bytes)) = self.io.handed.pop() {
                    self.feed(Input::Written(document, bytes));
                }
            }
        }
        true
    }

    /// Parts of a message that may never end are held until they do.
    fn count_assembling(&mut self) {
        let (before, now) = (self.assembling, self.session.assembling_bytes());
        self.assembling = now;
        if now <= before {
            self.surroundings.budget.give_back(before - now);
        } else if !self.surroundings.budget.take(now - before, now) {
            self.refuse(CloseCode::Overloaded, "too much waits for connections like this one");
        }
    }

    fn refuse(&mut self, code: CloseCode, reason: &str) {
        self.closing = Some((code, reason.to_owned()));
    }

    /// Takes a letter and those behind it, as far as there is room for what they bring.
    fn letters(&mut self, first: Letter) {
        self.letter(first);
        for _ in 1..LETTERS_MAX {
            if self.closing.is_some() || self.io.queued >= QUEUED_BYTES_HIGH {
                return;
            }
            let Some(letter) = self.inbox.next_ready() else { return };
            self.letter(letter);
        }
    }

    fn letter(&mut self, letter: Letter) {
        match letter {
            Letter::Room(document, message) => self.feed(Input::Room(document, message)),
            Letter::Overflow => {}
            Letter::RoomLost => self.refuse(CloseCode::Overloaded, "a document was lost to a defect; open it again"),
        }
        if self.mailbox.is_overflowed() {
            self.refuse(CloseCode::Overloaded, "too much was waiting for this connection");
        }
    }

    fn feed(&mut self, input: Input) {
        self.session.handle_input(self.surroundings.clock.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send { bytes, from } => {
                    // What rooms refuse is counted there.
                    if from.is_none() {
                        meter::answered(&bytes);
                    }
                    self.io.push(Queued { bytes, from });
                }
                // Without authentication everybody may do everything.
                Output::Authenticate(_) => {
                    let grant = Grant { scopes: vec![Scope::everything()], expires_at: None };
                    let input = Input::Authenticated(Some(grant), Clock::wall());
                    self.session.handle_input(self.surroundings.clock.now(), input);
                }
                Output::Room(document, request) => self.asked.push_back((document, request)),
                Output::Close(code, reason) => self.closing = Some((code, reason)),
            }
        }
    }

    /// Hands on what the session has for rooms, waiting for those that are busy.
    async fn ask(&mut self) {
        while let Some((document, request)) = self.asked.pop_front() {
            self.surroundings.rooms.request(self.id, document, request, &self.mailbox).await;
        }
    }

    /// Leaves all rooms, then writes what is queued and the close frame, as far as the client takes it in time.
    async fn end(mut self: Box<Self>) {
        self.session.handle_input(self.surroundings.clock.now(), Input::Disconnected);
        while let Some(output) = self.session.poll_output() {
            if let Output::Room(document, request) = output {
                self.asked.push_back((document, request));
            }
        }
        self.ask().await;
        let mut this = *self;
        drop(this.inbox);
        this.surroundings.budget.give_back(this.assembling);
        match this.closing.take() {
            Some((code, reason)) => {
                meter::closed(code);
                let _ = tokio::time::timeout(CLOSE_WITHIN, close(this.io, code, reason)).await;
            }
            // The answer to a close frame goes out with the next read.
            None if this.said_goodbye => drop(tokio::time::timeout(CLOSE_WITHIN, this.io.socket.recv()).await),
            None => {}
        }
    }
}

async fn close(mut io: Io, code: CloseCode, reason: String) {
    if io.is_writing() && poll_fn(|cx| io.poll_write(cx)).await.is_err() {
        return;
    }
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let frame = CloseFrame { code: code as u16, reason: reason[..end].into() };
    if io.socket.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    // The client's own close frame ends it; what it sends before is not wanted any more.
    while let Some(Ok(_)) = io.socket.recv().await {}
}

/// How a failed read is answered, if the client is still there.
fn refusal(error: axum::Error) -> Option<(CloseCode, &'static str)> {
    match error.into_inner().downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(_) => Some((CloseCode::TooLarge, "the frame is larger than negotiated")),
        tungstenite::Error::Utf8(_) => Some((CloseCode::Malformed, "frames are binary")),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some((CloseCode::Malformed, "no well-formed frame")),
        _ => None,
    }
}
