//! Reading along: what clients and the server say is checked against the ledger as it is sent, and counted for the final checks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sync_core::id::{DocumentHandle, DocumentName, LogSeq};
use sync_core::pack;
use sync_core::protocol::{Assembler, ClientMessage, Mode, Open, RejectCode, ServerMessage};

use crate::parts;
use crate::sim::world::World;

/// Puts parts together on both ways of each connection.
#[derive(Debug, Default)]
pub(crate) struct Snoop {
    up: BTreeMap<u64, Assembler>,
    down: BTreeMap<u64, Assembler>,
    /// Which document a connection's handle was opened for.
    opened: BTreeMap<(u64, DocumentHandle), String>,
    /// Openings that were refused for now, and not asked for again.
    put_off: BTreeSet<(u64, String)>,
}

impl Snoop {
    fn client(&mut self, connection: u64, bytes: &[u8]) -> Option<Vec<ClientMessage>> {
        parts::whole(self.up.entry(connection).or_default(), bytes)
    }

    /// Whether a document is to be opened again on a connection.
    pub(crate) fn is_put_off(&self, connection: u64, document: &DocumentName) -> bool {
        self.put_off.contains(&(connection, document.as_str().to_owned()))
    }

    fn server(&mut self, connection: u64, bytes: &[u8]) -> Option<Vec<ServerMessage>> {
        parts::whole(self.down.entry(connection).or_default(), bytes)
    }
}

impl World {
    /// A client said something.
    pub(crate) fn snoop_client(&mut self, index: usize, bytes: &[u8]) {
        let connection = self.clients[index].connection.unwrap_or_default();
        let Some(messages) = self.snoop.client(connection, bytes) else {
            return self.fail(format!("client {index} sent what does not decode"));
        };
        for message in &messages {
            if self.verbose {
                eprintln!("{:>12} client {index}: {message:?}", self.now.0);
            }
            if let ClientMessage::Open(open) = message {
                self.snoop.put_off.remove(&(connection, open.document.clone()));
                self.snoop.opened.insert((connection, open.handle), open.document.clone());
                self.claims(index, open);
                self.unaware(index, open);
            }
        }
        let heard = &mut self.clients[index].heard;
        heard.bytes += if messages.iter().all(|m| matches!(m, ClientMessage::Ping(_))) { 0 } else { bytes.len() };
        for message in messages {
            match message {
                ClientMessage::Ping(_) => continue,
                ClientMessage::Have(_) => heard.reconciled = true,
                ClientMessage::Open(open) => heard.reconciled |= open.clock.is_some(),
                _ => {}
            }
            heard.messages += 1;
        }
    }

    /// A cursor without a clock claims all before it.
    fn claims(&mut self, index: usize, open: &Open) {
        // A tab that leads also opens what other tabs have open.
        let replica = self.clients[index].replica.as_ref();
        let id = DocumentName::parse(&open.document).ok().and_then(|name| replica?.document_id(&name));
        let shown = id.map(|id| self.shown(index, id)).unwrap_or_default();
        let cursor = open.cursor.filter(|_| open.clock.is_none());
        if let Some(Err(e)) = cursor.map(|cursor| self.ledger.holds(&open.document, &cursor, &shown)) {
            self.fail(format!("{e} by client {index}"));
        }
    }

    /// Reads what the server says: nothing is acknowledged or shown that its disk lacks (P1).
    pub(crate) fn snoop_server(&mut self, connection: u64, bytes: &Bytes, document: Option<&DocumentName>) {
        let Some(messages) = self.snoop.server(connection, bytes) else {
            return self.fail("the server sent what does not decode".into());
        };
        for message in messages {
            let shown = match (&message, document) {
                (ServerMessage::Ack(ack), Some(name)) if ack.durable && ack.count > 0 => {
                    let last = ack.first.plus(u64::from(ack.count) - 1);
                    self.ledger.shown(name, last, Some(ack.digest), "an acknowledgement")
                }
                (ServerMessage::Changes(changes), Some(name)) => {
                    let count = changes.pack.as_ref().and_then(|p| pack::count(&p.0).ok()).unwrap_or(0);
                    let last =
                        changes.sparse.map_or(LogSeq(changes.first.0 + u64::from(count) - 1), |sparse| sparse.last);
                    self.ledger.shown(name, last, changes.sparse.map(|s| s.digest), "changes")
                }
                (ServerMessage::Opened(opened), Some(name)) => {
                    self.ledger.shown(name, opened.head, Some(opened.digest), "an answer to open")
                }
                _ => Ok(()),
            };
            if let Err(e) = shown {
                self.fail(e);
            }
            if matches!(&message, ServerMessage::Reject(reject) if reject.code == RejectCode::Unavailable) {
                self.count("told to wait");
            }
            if let ServerMessage::Reject(reject) = &message
                && reject.batch.is_none()
                && reject.code.is_retryable()
                && let Some(document) = self.snoop.opened.get(&(connection, reject.handle)).cloned()
            {
                self.snoop.put_off.insert((connection, document));
            }
            self.heard_server(connection, &message);
            self.answered_hostile(connection, &message);
        }
        self.heard_bytes(connection, bytes);
    }

    fn heard_bytes(&mut self, connection: u64, bytes: &[u8]) {
        let pong = matches!(ServerMessage::decode_all(bytes).as_deref(), Ok([ServerMessage::Pong(_)]));
        if let Some(connection) = self.connections.get(&connection).filter(|_| !pong) {
            self.clients[connection.client].heard.bytes += bytes.len();
        }
    }

    /// The server said something to a client.
    fn heard_server(&mut self, connection: u64, message: &ServerMessage) {
        let Some(connection) = self.connections.get(&connection) else { return };
        if self.verbose {
            eprintln!("{:>12}   to client {}: {message:?}", self.now.0, connection.client);
        }
        let heard = &mut self.clients[connection.client].heard;
        match message {
            ServerMessage::Pong(_) => return,
            ServerMessage::Changes(changes) => {
                heard.changes += changes.pack.as_ref().and_then(|p| pack::count(&p.0).ok()).unwrap_or(0) as usize;
            }
            ServerMessage::Opened(opened) => heard.reconciled |= !matches!(opened.mode, Mode::Resume | Mode::New),
            _ => {}
        }
        heard.messages += 1;
    }

    /// What is on its way to one subscriber stays within the room's bound (P7).
    pub(crate) fn check_in_flight(&mut self, connection: u64) {
        let Some(connection) = self.connections.get(&connection) else { return };
        let mut by_document: BTreeMap<&DocumentName, usize> = BTreeMap::new();
        for (document, bytes) in connection.down.frames.iter().filter_map(|t| t.from.as_ref()) {
            *by_document.entry(document).or_default() += bytes;
        }
        // Acknowledgements, one frame beyond the bound and one read from the store may come on top.
        let bound = 2 * self.options.subscriber_bytes_max + self.options.read_bytes_max + (64 << 10);
        let beyond = by_document.into_values().find(|bytes| *bytes > bound);
        if let Some(bytes) = beyond {
            self.fail(format!("P7: {bytes} bytes of one room on their way to one subscriber, bound {bound}"));
        }
    }
}
