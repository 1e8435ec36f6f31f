//! What the first list of a document's conflicts costs, for which the changes are read that can matter for it, beside loading the document.
//!
//! In this process, by a client's own machine: a newcomer to whom the document is sent, and then starts on the store in memory in which that one has
//! kept it.

use std::time::Instant;

use bytes::Bytes;
use sync_core::conflict::Conflict;
use sync_core::document::Document;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq, RoomNumber, SessionId, StoreId};
use sync_core::limits::PIECE_BYTES;
use sync_core::protocol::{
    Blob, ClientMessage, Mode, Opened, ServerMessage, SnapshotPiece, VERSION, Welcome, WireLimits,
};
use sync_core::replica::{Config, DocumentId, Event, Input, Output, Replica};
use sync_core::saved::Saved;
use sync_core::storage::memory::MemoryLocalStore;
use sync_core::table::ChangeTable;
use sync_core::time::{self, WallTime};

use crate::figures::{Error, median};

/// Starts of which the middle is told.
const STARTS: usize = 5;
const NOW: time::Instant = time::Instant(1);
/// Of the log that the document is said to come from.
const DIGEST: Digest = Digest([1; 8]);
const INCARNATION: Incarnation = Incarnation([1; 8]);

/// What it came to, in milliseconds, and the conflicts.
pub(super) struct Cost {
    pub(super) load_ms: f64,
    pub(super) first_ms: f64,
    /// The list after it.
    pub(super) again_ms: f64,
    /// What a newcomer takes to take the document in, once it is here.
    pub(super) taken_ms: f64,
    /// Its first list.
    pub(super) newcomer_ms: f64,
    pub(super) conflicts: Vec<Conflict>,
}

/// A client's machine and what it is on.
struct Client<'a> {
    replica: Replica,
    document: DocumentId,
    store: &'a mut MemoryLocalStore,
    is_ready: bool,
}

impl<'a> Client<'a> {
    fn start(store: &'a mut MemoryLocalStore, online: bool) -> Result<Self, Error> {
        let mut replica = Replica::new(Config { online, ..Config::default() }, [1; 32]);
        let document = replica.open(NOW, DocumentName::parse("bench/kept")?);
        Ok(Self { replica, document, store, is_ready: false })
    }

    /// Goes on until nothing more happens. Gives what it says to the server.
    fn go_on(&mut self) -> Result<Vec<ClientMessage>, Error> {
        let mut said = Vec::new();
        while let Some(output) = self.replica.poll_output() {
            let input = match output {
                Output::Connect => Input::Connected(WallTime(0)),
                Output::Store(task, work) => Input::StoreDone(task, work.run(self.store)),
                Output::Send(bytes) => {
                    said.extend(ClientMessage::decode_all(&bytes)?);
                    continue;
                }
                Output::Event(Event::Ready(_)) => {
                    self.is_ready = true;
                    continue;
                }
                Output::Event(Event::Failed(_, error)) => return Err(error.into()),
                _ => continue,
            };
            self.replica.handle_input(NOW, input);
        }
        Ok(said)
    }

    fn hear(&mut self, message: &ServerMessage) -> Result<(), Error> {
        self.replica.handle_input(NOW, Input::Frame(message.encode()));
        self.go_on().map(drop)
    }
}

/// A store in which a client has kept the document that a server has sent it, with what it took to take that in, and to list its conflicts.
fn kept(document: &Document, table: &ChangeTable) -> Result<(MemoryLocalStore, [f64; 2]), Error> {
    let mut store = MemoryLocalStore::new();
    let mut client = Client::start(&mut store, true)?;
    let said = client.go_on()?;
    let open = said.iter().find_map(|message| if let ClientMessage::Open(open) = message { Some(open) } else { None });
    let (handle, room, head) = (open.ok_or("it opens the document")?.handle, RoomNumber(1), LogSeq(table.len() as u64));
    client.hear(&ServerMessage::Welcome(Welcome {
        version: VERSION,
        session: SessionId(1),
        store_id: StoreId([1; 16]),
        limits: WireLimits::default(),
        heartbeat_ms: 20_000,
        time: WallTime(0),
    }))?;
    let (incarnation, digest) = (INCARNATION, DIGEST);
    client.hear(&ServerMessage::Opened(Opened {
        handle,
        room,
        mode: Mode::New,
        incarnation,
        head,
        digest,
        actors: None,
    }))?;
    let saved = Saved::of(document, table, incarnation, head, digest)?.encode();
    let pieces: Vec<&[u8]> = saved.chunks(PIECE_BYTES).collect();
    let start = Instant::now();
    for (index, piece) in (0..).zip(&pieces) {
        client.hear(&ServerMessage::Snapshot(SnapshotPiece {
            room,
            seq: head,
            digest,
            index,
            total: pieces.len() as u32,
            views: 0,
            bytes: Blob(Bytes::copy_from_slice(piece)),
        }))?;
    }
    let held = client.replica.holds(client.document).and_then(|(position, _)| position);
    if held != Some(head) {
        return Err(format!("it holds {held:?} of {head}").into());
    }
    let (taken, start) = (start.elapsed(), Instant::now());
    client.replica.conflicts(client.document).ok_or("it is ready")?;
    Ok((store, [taken, start.elapsed()].map(|took| took.as_secs_f64() * 1e3)))
}

/// What a client pays that starts on a store in which the document is.
pub(super) fn measure(document: &Document, table: &ChangeTable, starts: usize) -> Result<Cost, Error> {
    let (mut store, [taken_ms, newcomer_ms]) = kept(document, table)?;
    let (mut load_ms, mut first_ms, mut again_ms, mut conflicts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..starts.min(STARTS) {
        let start = Instant::now();
        let mut client = Client::start(&mut store, false)?;
        client.go_on()?;
        load_ms.push(start.elapsed().as_secs_f64() * 1e3);
        if !client.is_ready {
            return Err("a document in the store is not read".into());
        }
        for list_ms in [&mut first_ms, &mut again_ms] {
            let start = Instant::now();
            conflicts = client.replica.conflicts(client.document).ok_or("it is ready")?;
            list_ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let (load_ms, first_ms, again_ms) = (median(&load_ms), median(&first_ms), median(&again_ms));
    Ok(Cost { load_ms, first_ms, again_ms, taken_ms, newcomer_ms, conflicts })
}
