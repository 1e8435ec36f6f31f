//! One WebSocket connection: a task that owns its session, reads while there is room to answer, and writes all that is ready at once.
//!
//! What rooms have for it is written by whoever brings it, as far as the socket takes it at once: to wake a task for each subscriber costs more than the
//! writing. So the connection stands behind a lock, which nobody holds while waiting; where it is taken, and for all that has to wait, the task is woken.
//!
//! Reading pauses while much is queued for writing, so a client that does not read can't make the server buffer without bound; a
//! client that takes nothing for `write_within_s` is dropped.

mod io;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use sync_core::id::{DocumentName, SessionId};
use sync_core::protocol::CloseCode;
use sync_core::room::Request;
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Input, Output, Session};
use sync_core::time::Instant;
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::mailbox::{Inbox, Letter, Mailbox, Reader};
use crate::meter;
use crate::rooms::Rooms;
use crate::server::stopped;
use io::{Io, Queued, close, refusal};

/// With this many bytes queued for writing, nothing more is read from the client or taken from rooms.
const QUEUED_BYTES_HIGH: usize = 256 << 10;

/// How long a close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

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
    let connection = Arc::new(Shared(Mutex::new(Some(Connection {
        session,
        io: Io::new(socket),
        mailbox: mailbox.clone(),
        inbox,
        asked: Vec::new(),
        waker: None,
        letters_first: false,
        progress_at: now,
        stage: Stage::Live,
        assembling: 0,
        surroundings: surroundings.clone(),
    }))));
    let reader: Arc<dyn Reader> = connection.clone();
    mailbox.read_by(Arc::downgrade(&reader));
    async move {
        run(connection, id, mailbox, surroundings).await;
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

/// What the task is to do without the lock.
struct Next {
    /// For rooms, of which it has to wait for those that are busy.
    asked: Vec<(DocumentName, Request)>,
    /// After that it has ended.
    ends: bool,
}

#[derive(Debug, PartialEq)]
enum Stage {
    Live,
    /// Nothing more is sent: the client is gone, or takes nothing.
    Gone,
    /// The client has sent a close frame.
    SaidGoodbye,
    Closing(CloseCode, String),
}

/// A connection until it has ended. Its task and whoever has something for it take turns.
struct Shared(Mutex<Option<Connection>>);

struct Connection {
    session: Session,
    io: Io,
    mailbox: Mailbox,
    inbox: Inbox,
    /// What the session has for rooms, which may have to wait for their workers.
    asked: Vec<(DocumentName, Request)>,
    /// Its task's. None while that waits for rooms, or has never been polled.
    waker: Option<Waker>,
    /// Letters and the socket take turns at being looked at first, so that neither can keep the other waiting.
    letters_first: bool,
    /// When the client last took something.
    progress_at: Instant,
    stage: Stage,
    /// Bytes of unfinished messages that are counted in the budget.
    assembling: usize,
    surroundings: Arc<Surroundings>,
}

async fn run(connection: Arc<Shared>, id: SessionId, mailbox: Mailbox, surroundings: Arc<Surroundings>) {
    let mut stop = surroundings.stop.clone();
    let mut stopping = pin!(stopped(&mut stop));
    let due = connection.held(|connection| connection.due());
    let mut timer = pin!(tokio::time::sleep_until(surroundings.clock.timer(due)));
    loop {
        let next = poll_fn(|cx| connection.held(|connection| connection.poll(cx, timer.as_mut(), stopping.as_mut())));
        let Next { asked, ends } = next.await;
        for (document, request) in asked {
            surroundings.rooms.request(id, document, request, &mailbox).await;
        }
        if ends {
            return connection.end().await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.0.lock().expect("a panic ends the only task that waits for it")
    }

    fn held<T>(&self, turn: impl FnOnce(&mut Connection) -> T) -> T {
        turn(self.lock().as_mut().expect("it is taken out at its end"))
    }

    /// Ends it. Rare, and large: no part of what every connection holds.
    fn end(&self) -> Pin<Box<impl Future<Output = ()> + use<>>> {
        let connection = self.lock().take().expect("it ends once");
        Box::pin(connection.end())
    }
}

impl Reader for Shared {
    fn take_now(&self) -> bool {
        let Ok(mut held) = self.0.try_lock() else { return false };
        let Some(connection) = held.as_mut() else { return false };
        catch_unwind(AssertUnwindSafe(|| connection.take_now())).unwrap_or_else(|_| {
            connection.refuse(CloseCode::Overloaded, "the connection was lost to a defect; open it again");
            connection.wake();
            true
        })
    }
}

impl Connection {
    /// The task's turns, until it has to wait. Ready when something is to be done without the lock.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        mut stopping: Pin<&mut impl Future>,
    ) -> Poll<Next> {
        loop {
            let ends = self.stage != Stage::Live;
            if ends {
                self.leave();
            }
            if ends || !self.asked.is_empty() {
                // It alone is to take turns until rooms have what was asked.
                self.waker = None;
                return Poll::Ready(Next { asked: std::mem::take(&mut self.asked), ends });
            }
            let due = self.surroundings.clock.timer(self.due());
            // Most turns put it off: a timer that fires too early costs less than one that is set at each turn.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let mut event = self.poll_event(cx);
            if event.is_pending() && timer.as_mut().poll(cx).is_ready() {
                event = Poll::Ready(Event::Due);
            }
            if event.is_pending() && stopping.as_mut().poll(cx).is_ready() {
                event = Poll::Ready(Event::Stop);
            }
            let Poll::Ready(event) = event else {
                self.waker.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
                return Poll::Pending;
            };
            self.event(event);
            self.note_progress();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let roomy = self.is_roomy();
        self.letters_first = !self.letters_first;
        if roomy
            && self.letters_first
            && let Poll::Ready(letter) = self.inbox.poll_next(cx)
        {
            return Poll::Ready(Event::Letter(letter));
        }
        if let Poll::Ready(event) = self.io.poll(cx, roomy) {
            return Poll::Ready(event);
        }
        if roomy && !self.letters_first {
            return self.inbox.poll_next(cx).map(Event::Letter);
        }
        Poll::Pending
    }

    /// Takes what rooms have brought and writes it, for whoever brought it, and wakes the task if that leaves something to wait for. False, if this is
    /// no time for it.
    fn take_now(&mut self) -> bool {
        let Some(waker) = self.waker.clone().filter(|_| self.stage == Stage::Live) else { return false };
        // The task waits for the socket then, and takes what is in the mailbox, where it is counted, when that has taken what it has.
        if self.io.is_writing() {
            return true;
        }
        if let Some(letter) = self.inbox.next_ready() {
            self.letters(letter);
        }
        match self.io.poll_write(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok(())) => self.event(Event::Flushed),
            Poll::Ready(Err(_)) => self.event(Event::Gone),
            Poll::Pending => {}
        }
        self.note_progress();
        if self.stage != Stage::Live || !self.asked.is_empty() || self.io.is_writing() {
            self.wake();
        }
        true
    }

    fn wake(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }

    fn is_roomy(&self) -> bool {
        self.io.queued < QUEUED_BYTES_HIGH
    }

    fn note_progress(&mut self) {
        if std::mem::take(&mut self.io.progress) || !self.io.is_writing() {
            self.progress_at = self.surroundings.clock.now();
        }
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

    fn event(&mut self, event: Event) {
        match event {
            Event::Letter(letter) => self.letters(letter),
            Event::Due if self.is_stuck() => self.stage = Stage::Gone,
            Event::Due => {
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
            Event::Read(Message::Close(_)) => self.stage = Stage::SaidGoodbye,
            Event::Gone => self.stage = Stage::Gone,
            Event::ReadFailed(error) => match refusal(error) {
                Some((code, reason)) => self.refuse(code, reason),
                None => self.stage = Stage::Gone,
            },
            Event::Flushed => {
                while let Some((document, bytes)) = self.io.handed.pop() {
                    self.feed(Input::Written(document, bytes));
                }
            }
        }
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
        self.stage = Stage::Closing(code, reason.to_owned());
    }

    /// Takes a letter and those behind it, as far as there is room for what they bring.
    fn letters(&mut self, first: Letter) {
        self.letter(first);
        for _ in 1..LETTERS_MAX {
            if self.stage != Stage::Live || !self.is_roomy() {
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
                Output::Room(document, request) => self.asked.push((document, request)),
                Output::Close(code, reason) => self.stage = Stage::Closing(code, reason),
            }
        }
    }

    /// Leaves all rooms.
    fn leave(&mut self) {
        self.session.handle_input(self.surroundings.clock.now(), Input::Disconnected);
        while let Some(output) = self.session.poll_output() {
            if let Output::Room(document, request) = output {
                self.asked.push((document, request));
            }
        }
    }

    /// Writes what is queued and the close frame, as far as the client takes it in time.
    async fn end(mut self) {
        drop(self.inbox);
        self.surroundings.budget.give_back(self.assembling);
        match self.stage {
            Stage::Closing(code, reason) => {
                meter::closed(code);
                let _ = tokio::time::timeout(CLOSE_WITHIN, close(self.io, code, reason)).await;
            }
            // The answer to a close frame goes out with the next read.
            Stage::SaidGoodbye => drop(tokio::time::timeout(CLOSE_WITHIN, self.io.socket.recv()).await),
            Stage::Live | Stage::Gone => {}
        }
    }
}
