//! A client and a server with an honest line between them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sync_core::id::SessionId;
use sync_core::replica::Input;
use sync_core::session;
use sync_core::storage::memory::MemoryLocalStore;

use crate::client::Client;
use crate::host::Host;

/// Virtual time within which the two must agree once all is well.
const SETTLE_WITHIN: Duration = Duration::from_secs(300);

/// Steps of one settling, beyond which the two are held to talk for ever.
const SETTLE_STEPS_MAX: usize = 20_000;

/// The two and what is between them.
pub struct Line {
    /// The server.
    pub host: Host,
    /// The client.
    pub client: Client,
    /// The client's connection, if it has one.
    pub session: Option<SessionId>,
    /// What the server sent to the client and has not arrived.
    pub to_client: VecDeque<Bytes>,
    /// What the server sent to others.
    pub to_others: VecDeque<(SessionId, Bytes)>,
}

impl Line {
    /// A server, and a client over an empty store.
    pub fn new(host: Host) -> Self {
        let client = Client::new(host.now, MemoryLocalStore::new(), true);
        Self { host, client, session: None, to_client: VecDeque::new(), to_others: VecDeque::new() }
    }

    /// Carries connections, ends of connections, and what the client says. Gives whether anything was carried.
    pub fn carry(&mut self) -> bool {
        let mut carried = false;
        if self.client.dials {
            self.hang_up();
            self.session = Some(self.host.connect());
            self.client.connect(self.host.now);
            carried = true;
        }
        if !self.client.connected {
            carried |= self.hang_up();
        }
        if let Some(id) = self.session {
            while let Some(bytes) = self.client.sent.pop_front() {
                self.host.frame(id, bytes);
                carried = true;
            }
        }
        self.sort();
        let ended = self.session.filter(|id| self.host.closed.contains_key(id));
        if ended.is_some() && self.to_client.is_empty() {
            self.cut();
            carried = true;
        }
        carried
    }

    /// Gives the client what the server has sent.
    pub fn deliver(&mut self) -> bool {
        let Some(bytes) = self.to_client.pop_front() else { return false };
        if self.client.connected {
            self.client.input(self.host.now, Input::Frame(bytes));
        }
        true
    }

    /// Ends the connection for both.
    pub fn cut(&mut self) {
        self.hang_up();
        self.client.disconnect(self.host.now);
    }

    fn hang_up(&mut self) -> bool {
        self.to_client.clear();
        let Some(id) = self.session.take() else { return false };
        self.host.input(id, session::Input::Disconnected);
        true
    }

    /// Tells what is the client's from what is others'.
    pub fn sort(&mut self) {
        while let Some((id, bytes)) = self.host.sent.pop_front() {
            if Some(id) == self.session {
                self.to_client.push_back(bytes);
            } else {
                self.to_others.push_back((id, bytes));
            }
        }
    }

    /// Lets `by` pass, firing timers in their order.
    pub fn pass(&mut self, by: Duration) {
        let end = self.host.now + by;
        for _ in 0..50 {
            let due = [self.host.due(), self.client.replica.poll_timeout()].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.host.now = self.host.now.max(at);
            self.client.timeout(self.host.now);
            self.carry();
            self.host.timeout();
            self.carry();
            while self.deliver() {}
        }
        self.host.now = self.host.now.max(end);
    }

    /// Carries everything, with all stores well, until nothing is said and `SETTLE_WITHIN` has passed or `done` holds.
    pub fn settle(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.host.now + SETTLE_WITHIN;
        for _ in 0..SETTLE_STEPS_MAX {
            let now = self.host.now;
            let busy = self.carry()
                | self.deliver()
                | self.client.store_step(now, None)
                | self.host.store_step(None)
                | self.host.written();
            if busy {
                continue;
            }
            if done(self) {
                return true;
            }
            let due = [self.host.due(), self.client.replica.poll_timeout()].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= end) else { return false };
            self.host.now = now.max(at);
            self.client.timeout(self.host.now);
            self.carry();
            self.host.timeout();
        }
        panic!("client and server talk for ever");
    }
}
