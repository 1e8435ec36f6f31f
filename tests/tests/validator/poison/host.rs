//! A server of one document, made of the real session and room machines, with an honest client and a hostile one that writes its own frames.
//!
//! Owns the carrying of outputs to inputs, at once and in order. Judges nothing.

use std::collections::{BTreeMap, VecDeque};

use automerge::ReadDoc;
use automerge::transaction::Transactable;
use bytes::Bytes;
use sync_core::change::Change;
use sync_core::id::{BatchId, ClientId, DocumentHandle, DocumentName, LogSeq, RoomNumber, SessionId, StoreId};
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::protocol::{Ack, Blob, ClientMessage, Hello, Open, Part, Push, Reject, ServerMessage, split};
use sync_core::replica::{self, DocumentId, Replica};
use sync_core::room::{self, Room};
use sync_core::scope::{Access, Scope};
use sync_core::session::{self, Grant, Session};
use sync_core::storage::Store;
use sync_core::storage::memory::{MemoryLocalStore, MemoryStore};
use sync_core::table::ChangeTable;
use sync_core::time::{Instant, WallTime};
use sync_core::{pack, protocol};

const NOW: Instant = Instant(1);
const HONEST: SessionId = SessionId(1);
const HOSTILE: SessionId = SessionId(2);
const HANDLE: DocumentHandle = DocumentHandle(1);

enum Step {
    Session(SessionId, session::Input),
    Room(room::Input),
    Honest(replica::Input),
}

/// What the server says of a push.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) acks: Vec<Ack>,
    pub(super) rejects: Vec<Reject>,
    pub(super) closed: Option<protocol::CloseCode>,
}

/// A server, its clients, and what is on its way between them.
pub(super) struct Host {
    store: MemoryStore,
    room: Room,
    sessions: BTreeMap<SessionId, Session>,
    honest: Replica,
    honest_store: MemoryLocalStore,
    document: DocumentId,
    name: DocumentName,
    steps: VecDeque<Step>,
    /// What was sent to the hostile client and not looked at.
    told: Vec<ServerMessage>,
    closed: Option<protocol::CloseCode>,
    batches: u64,
}

impl Host {
    /// A server with an empty store.
    pub(super) fn new() -> Self {
        Self::over(MemoryStore::new(StoreId([7; 16])), ChangeLimits::default())
    }

    /// The same server, started again with other limits on single changes.
    pub(super) fn restarted(self, limits: ChangeLimits) -> Self {
        Self::over(self.store, limits)
    }

    /// A server over a store, both clients connected, the document open.
    fn over(store: MemoryStore, limits: ChangeLimits) -> Self {
        let store_id = store.store_id();
        let name = DocumentName::parse("doc").expect("a name");
        let mut config = room::Config::new(store_id);
        config.pack = PackLimits { change: limits, ..config.pack };
        let mut honest = Replica::new(replica::Config::default(), [1; 32]);
        let document = honest.open(NOW, name.clone());
        let session = |id| (id, Session::new(session::Config::new(store_id), id));
        let mut host = Self {
            store,
            room: Room::new(config, name.clone(), RoomNumber(1), [2; 32]),
            sessions: [session(HONEST), session(HOSTILE)].into(),
            honest,
            honest_store: MemoryLocalStore::new(),
            document,
            name,
            steps: VecDeque::new(),
            told: Vec::new(),
            closed: None,
            batches: 0,
        };
        let hello = Hello { versions: vec![1], client: ClientId([9; 16]), token: None, accepts: 0 };
        host.say(ClientMessage::Hello(hello));
        let open = Open {
            handle: HANDLE,
            document: "doc".into(),
            access: Access::Write,
            cursor: None,
            acked: None,
            clock: None,
            snapshot: None,
            packs: None,
        };
        host.say(ClientMessage::Open(open));
        host.settle();
        host
    }

    /// The hostile client pushes a pack.
    pub(super) fn push(&mut self, pack: Vec<u8>) -> Answer {
        self.batches += 1;
        self.told.clear();
        self.say(ClientMessage::Push(Push { handle: HANDLE, batch: BatchId(self.batches), pack: Blob(pack.into()) }));
        self.settle();
        let mut answer = Answer { closed: self.closed, ..Answer::default() };
        for message in self.told.drain(..) {
            match message {
                ServerMessage::Ack(ack) => answer.acks.push(ack),
                ServerMessage::Reject(reject) => answer.rejects.push(reject),
                ServerMessage::Changes(_) => {}
                other => panic!("{other:?} is no answer to a push"),
            }
        }
        answer
    }

    /// The honest client sets a key, and the server acknowledges it.
    pub(super) fn honest_edit(&mut self, key: &str) {
        let edit = |tx: &mut automerge::transaction::Transaction<'_>| tx.put(automerge::ROOT, key, 1);
        self.honest.change(NOW, WallTime(0), self.document, edit).expect("an honest edit");
        self.settle();
        let status = self.honest.status(self.document).expect("open");
        assert_eq!((status.state, status.pending, status.rejected), (replica::State::Synced, 0, 0), "{key}");
    }

    /// The hashes of what the honest client holds.
    pub(super) fn honest_holds(&self, hash: &automerge::ChangeHash) -> bool {
        self.honest.read(self.document, |doc| doc.get_change_by_hash(hash).is_some()).expect("ready")
    }

    /// What the store holds, read and replayed as a newcomer does.
    pub(super) fn stored(&mut self) -> Vec<Change> {
        let loaded = self.store.load(&self.name, LogSeq(0), usize::MAX).expect("readable");
        let (mut table, mut all) = (ChangeTable::new(), Vec::new());
        for stored in loaded.packs {
            let unpacked = pack::decode(&stored.bytes, &table, &PackLimits::stored()).expect("a pack");
            for change in &unpacked.changes {
                table.insert(change).expect("in order");
            }
            all.extend(unpacked.changes);
        }
        let mut document = automerge::Automerge::new();
        document.apply_changes(all.iter().map(|c| c.automerge().clone())).expect("what is stored applies");
        automerge::Automerge::load(&document.save()).expect("what is stored loads");
        assert_eq!(document.get_changes(&[]).len(), all.len());
        all
    }

    fn say(&mut self, message: ClientMessage) {
        let bytes = message.encode();
        let frame = protocol::WireLimits::default().frame_bytes_max as usize;
        let frames: Vec<Bytes> = match split(&bytes, frame) {
            None => vec![bytes],
            Some(parts) => parts.into_iter().map(|part: Part| ClientMessage::Part(part).encode()).collect(),
        };
        self.steps.extend(frames.into_iter().map(|frame| Step::Session(HOSTILE, session::Input::Frame(frame))));
    }

    fn settle(&mut self) {
        loop {
            self.drain();
            match self.steps.pop_front() {
                None => return,
                Some(Step::Room(input)) => self.room.handle_input(NOW, input),
                Some(Step::Honest(input)) => self.honest.handle_input(NOW, input),
                Some(Step::Session(id, input)) => {
                    self.sessions.get_mut(&id).expect("two sessions").handle_input(NOW, input);
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            self.room_said(output);
        }
        for id in [HONEST, HOSTILE] {
            while let Some(output) = self.sessions.get_mut(&id).expect("two sessions").poll_output() {
                self.session_said(id, output);
            }
        }
        while let Some(output) = self.honest.poll_output() {
            self.honest_said(output);
        }
    }

    fn room_said(&mut self, output: room::Output) {
        self.steps.push_back(match output {
            room::Output::Deliver(id, message) => Step::Session(id, session::Input::Room(self.name.clone(), message)),
            room::Output::Store(task, what) => Step::Room(room::Input::StoreDone(task, what.run(&mut self.store))),
        });
    }

    fn session_said(&mut self, id: SessionId, output: session::Output) {
        match output {
            session::Output::Authenticate(_) => {
                let grant = Grant { scopes: vec![Scope::everything()], expires_at: None };
                self.steps.push_back(Step::Session(id, session::Input::Authenticated(Some(grant), WallTime(0))));
            }
            session::Output::Room(_, request) => self.steps.push_back(Step::Room(room::Input::Session(id, request))),
            session::Output::Send { bytes, from } => {
                if let Some((name, count)) = from {
                    self.steps.push_back(Step::Session(id, session::Input::Written(name, count)));
                }
                if id == HOSTILE {
                    self.told.extend(ServerMessage::decode_all(&bytes).expect("the server's own bytes"));
                } else {
                    self.steps.push_back(Step::Honest(replica::Input::Frame(bytes)));
                }
            }
            session::Output::Close(code, reason) => {
                assert_eq!(id, HOSTILE, "the honest client is thrown out: {code:?} {reason}");
                self.closed = Some(code);
            }
        }
    }

    fn honest_said(&mut self, output: replica::Output) {
        match output {
            replica::Output::Connect => self.steps.push_back(Step::Honest(replica::Input::Connected(WallTime(0)))),
            replica::Output::Send(bytes) => {
                self.steps.push_back(Step::Session(HONEST, session::Input::Frame(bytes)));
            }
            replica::Output::Disconnect => panic!("the honest client hangs up"),
            replica::Output::Store(task, what) => {
                let done = what.run(&mut self.honest_store);
                self.steps.push_back(Step::Honest(replica::Input::StoreDone(task, done)));
            }
            replica::Output::Tell(..) | replica::Output::TakeOver | replica::Output::Event(_) => {}
        }
    }
}
