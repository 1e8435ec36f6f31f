//! Connections: two ordered directions with delay, jitter and bandwidth, which can be cut, stand still, or end for one side only.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sync_core::id::{DocumentName, SessionId};
use sync_core::time::Instant;

use crate::sim::world::{Event, World};

/// One frame on its way, or the end of the connection.
#[derive(Debug)]
pub(crate) struct Travelling {
    /// The frame; `None` closes.
    pub(crate) frame: Option<Bytes>,
    /// The room's bytes in it, reported once it has arrived.
    pub(crate) from: Option<(DocumentName, usize)>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) frames: VecDeque<Travelling>,
    last: Instant,
    pub(crate) stalled_until: Instant,
    pub(crate) slow_until: Instant,
}

/// A connection between a client and the server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: usize,
    pub(crate) session: Option<SessionId>,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    pub(crate) client_open: bool,
    pub(crate) server_open: bool,
    pub(crate) broken: bool,
}

impl Connection {
    fn pipe(&mut self, up: bool) -> &mut Pipe {
        if up { &mut self.up } else { &mut self.down }
    }
}

impl World {
    /// A client wants a connection.
    pub(crate) fn dial(&mut self, client: usize) {
        self.next_connection += 1;
        let id = self.next_connection;
        let connection = Connection {
            client,
            session: None,
            up: Pipe::default(),
            down: Pipe::default(),
            client_open: true,
            server_open: false,
            broken: false,
        };
        self.connections.insert(id, connection);
        self.clients[client].connection = Some(id);
        // Now and then nobody answers for long, and the replica must give up by itself.
        let hangs = self.chaos && self.rng.chance(20);
        let delay = if hangs { Duration::from_secs(40) } else { self.delay() };
        self.after(delay, Event::Dialled(id));
    }

    /// An attempt to connect comes to its end.
    pub(crate) fn dialled(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let client = connection.client;
        if !connection.client_open || self.clients[client].connection != Some(id) {
            self.connections.remove(&id);
            return;
        }
        if !self.server.up {
            self.connections.remove(&id);
            self.clients[client].connection = None;
            return self.client_input(client, sync_core::replica::Input::Disconnected);
        }
        let session = self.accept(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = Some(session);
            connection.server_open = true;
        }
        let wall = self.greets(client);
        self.client_input(client, sync_core::replica::Input::Connected(wall));
    }

    /// Puts a frame, or the end, on its way.
    pub(crate) fn transmit(&mut self, id: u64, up: bool, travelling: Travelling) {
        let delay = self.delay();
        let (now, slow) = (self.now, self.options.slow_bytes_per_second);
        let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.broken) else { return };
        let pipe = connection.pipe(up);
        let size = travelling.frame.as_ref().map_or(0, Bytes::len) as u64;
        let rate = if now < pipe.slow_until { slow } else { 10_000_000 };
        let at = pipe.last.max(now + delay) + Duration::from_micros(size * 1_000_000 / rate);
        pipe.last = at;
        pipe.frames.push_back(travelling);
        self.at(at, Event::Deliver(id, up));
    }

    /// A frame arrives.
    pub(crate) fn deliver(&mut self, id: u64, up: bool) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.broken) else { return };
        let (client, session) = (connection.client, connection.session);
        let pipe = connection.pipe(up);
        if now < pipe.stalled_until {
            let until = pipe.stalled_until;
            return self.at(until, Event::Deliver(id, up));
        }
        let Some(Travelling { frame, from }) = pipe.frames.pop_front() else { return };
        let open = if up { connection.server_open } else { connection.client_open };
        match frame {
            None => self.notice(id, !up),
            Some(_) if !open => {}
            Some(frame) if up => {
                if let Some(session) = session {
                    self.session_input(session, sync_core::session::Input::Frame(frame));
                }
            }
            Some(frame) => {
                if self.clients[client].connection == Some(id) {
                    self.client_input(client, sync_core::replica::Input::Frame(frame));
                }
                if let (Some(session), Some((document, bytes))) = (session, from) {
                    self.session_input(session, sync_core::session::Input::Written(document, bytes));
                }
            }
        }
    }

    /// One side notices that a connection is gone.
    pub(crate) fn notice(&mut self, id: u64, client_side: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (client, session) = (connection.client, connection.session);
        if client_side && connection.client_open {
            connection.client_open = false;
            if self.clients[client].connection == Some(id) {
                self.clients[client].connection = None;
                self.client_input(client, sync_core::replica::Input::Disconnected);
            }
        } else if !client_side && connection.server_open {
            connection.server_open = false;
            if let Some(session) = session {
                self.end_session(session);
            }
        }
        self.sweep(id);
    }

    /// Forgets a connection that nobody believes in any more.
    pub(crate) fn sweep(&mut self, id: u64) {
        let over = |c: &Connection| !c.client_open && !c.server_open && (c.broken || c.session.is_some());
        if self.connections.get(&id).is_some_and(over) {
            self.connections.remove(&id);
        }
    }

    /// Cuts a connection: what is on its way is lost. Each side notices soon, or only by its own timeout.
    pub(crate) fn cut(&mut self, id: u64, client_notices: bool, server_notices: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.broken = true;
        connection.up.frames.clear();
        connection.down.frames.clear();
        for (notices, client_side) in [(client_notices, true), (server_notices, false)] {
            if notices {
                let delay = self.delay();
                self.after(delay, Event::Notice(id, client_side));
            }
        }
    }

    fn delay(&mut self) -> Duration {
        let mean = self.options.delay_us;
        Duration::from_micros(mean / 2 + self.rng.below(mean + 1))
    }
}
