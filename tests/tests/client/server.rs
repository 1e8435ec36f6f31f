//! A server in the test's own process: the real session and room machines on a real WebSocket, with a store in memory.
//!
//! Owns only the wiring.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sync_core::id::{DocumentName, RoomNumber, SessionId, StoreId};
use sync_core::protocol::{CloseCode, SUBPROTOCOL};
use sync_core::room::{self, Room};
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Session};
use sync_core::storage::Store as _;
use sync_core::storage::memory::MemoryStore;
use sync_core::time::{Instant, WallTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

enum ToSocket {
    Frame(Bytes, Option<(DocumentName, usize)>),
    Close(CloseCode, String),
}

struct Peer {
    session: Session,
    socket: UnboundedSender<ToSocket>,
}

struct State {
    /// Counts pumps, for those who wait for a log to grow.
    pumped: watch::Sender<u64>,
    origin: std::time::Instant,
    store: MemoryStore,
    peers: BTreeMap<SessionId, Peer>,
    rooms: BTreeMap<DocumentName, Room>,
}

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let state = State {
            pumped: watch::channel(0).0,
            origin: std::time::Instant::now(),
            store: MemoryStore::new(StoreId([7; 16])),
            peers: BTreeMap::new(),
            rooms: BTreeMap::new(),
        };
        let address = listener.local_addr().expect("it listens");
        let server = Self { address, state: Arc::new(Mutex::new(state)) };
        let accepting = server.clone();
        tokio::spawn(async move {
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(accepting.clone().serve(SessionId(number), stream));
            }
        });
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes in the log of a document.
    pub(crate) fn log_length(&self, document: &str) -> u64 {
        let name = DocumentName::parse(document).expect("a name");
        let loaded = self.lock().store.load(&name, sync_core::id::LogSeq(0), usize::MAX).expect("memory does not fail");
        loaded.record.map_or(0, |record| record.head.0)
    }

    /// Waits until the log of a document holds more than `length` changes.
    pub(crate) async fn log_grows_beyond(&self, document: &str, length: u64) {
        let mut pumped = self.lock().pumped.subscribe();
        while self.log_length(document) <= length {
            pumped.changed().await.expect("the server runs");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the machines do not panic")
    }

    async fn serve(self, id: SessionId, stream: TcpStream) {
        #[allow(clippy::result_large_err, reason = "the type is tungstenite's")]
        let answer = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().expect("a header"));
            Ok(response)
        };
        // Else a small frame waits for the acknowledgement of the one before it.
        stream.set_nodelay(true).expect("a fresh socket");
        let Ok(socket) = accept_hdr_async(stream, answer).await else { return };
        let (sender, outgoing) = unbounded_channel();
        self.join(id, sender);
        self.converse(id, socket, outgoing).await;
        self.input(id, session::Input::Disconnected);
        self.lock().peers.remove(&id);
    }

    fn join(&self, id: SessionId, socket: UnboundedSender<ToSocket>) {
        let session = Session::new(session::Config::new(StoreId([7; 16])), id);
        self.lock().peers.insert(id, Peer { session, socket });
    }

    async fn converse(
        &self,
        id: SessionId,
        socket: tokio_tungstenite::WebSocketStream<TcpStream>,
        mut outgoing: UnboundedReceiver<ToSocket>,
    ) {
        let (mut sink, mut stream) = socket.split();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Binary(frame))) => self.input(id, session::Input::Frame(frame)),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                Some(out) = outgoing.recv() => match out {
                    ToSocket::Frame(frame, from) => {
                        if sink.send(Message::Binary(frame)).await.is_err() {
                            return;
                        }
                        if let Some((document, bytes)) = from {
                            self.input(id, session::Input::Written(document, bytes));
                        }
                    }
                    ToSocket::Close(code, reason) => {
                        let frame = CloseFrame { code: (code as u16).into(), reason: reason.into() };
                        let _ = sink.send(Message::Close(Some(frame))).await;
                        return;
                    }
                },
                _ = tick.tick() => self.lock().tick(),
            }
        }
    }

    fn input(&self, id: SessionId, input: session::Input) {
        let mut state = self.lock();
        let now = state.now();
        if let Some(peer) = state.peers.get_mut(&id) {
            peer.session.handle_input(now, input);
        }
        state.pump();
    }
}

impl State {
    fn now(&self) -> Instant {
        Instant(self.origin.elapsed().as_micros() as u64)
    }

    fn tick(&mut self) {
        let now = self.now();
        for peer in self.peers.values_mut().filter(|p| p.session.poll_timeout().is_some_and(|at| at <= now)) {
            peer.session.handle_timeout(now);
        }
        for room in self.rooms.values_mut().filter(|r| r.poll_timeout().is_some_and(|at| at <= now)) {
            room.handle_timeout(now);
        }
        self.pump();
    }

    /// Carries outputs to where they belong until there are none.
    fn pump(&mut self) {
        let now = self.now();
        let mut moved = true;
        while moved {
            moved = false;
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                while let Some(output) = self.peers.get_mut(&id).and_then(|p| p.session.poll_output()) {
                    moved = true;
                    self.session_says(now, id, output);
                }
            }
            for name in self.rooms.keys().cloned().collect::<Vec<_>>() {
                while let Some(output) = self.rooms.get_mut(&name).and_then(Room::poll_output) {
                    moved = true;
                    self.room_says(now, &name, output);
                }
            }
        }
        self.pumped.send_modify(|n| *n += 1);
    }

    fn session_says(&mut self, now: Instant, id: SessionId, output: session::Output) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match output {
            session::Output::Send { bytes, from } => {
                let _ = peer.socket.send(ToSocket::Frame(bytes, from));
            }
            session::Output::Close(code, reason) => {
                let _ = peer.socket.send(ToSocket::Close(code, reason));
            }
            session::Output::Authenticate(_) => {
                let grant = Grant { scopes: vec![Scope::everything()], expires_at: None };
                peer.session.handle_input(now, session::Input::Authenticated(Some(grant), WallTime(0)));
            }
            session::Output::Room(name, request) => {
                let number = RoomNumber(self.rooms.len() as u32 + 1);
                let room = self.rooms.entry(name.clone()).or_insert_with(|| {
                    Room::new(room::Config::new(StoreId([7; 16])), name, number, [number.0 as u8; 32])
                });
                room.handle_input(now, room::Input::Session(id, request));
            }
        }
    }

    fn room_says(&mut self, now: Instant, name: &DocumentName, output: room::Output) {
        match output {
            room::Output::Deliver(id, message) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.session.handle_input(now, session::Input::Room(name.clone(), message));
                }
            }
            room::Output::Store(task, what) => {
                let done = what.run(&mut self.store);
                let room = self.rooms.get_mut(name).expect("rooms stay");
                room.handle_input(now, room::Input::StoreDone(task, done));
            }
        }
    }
}
