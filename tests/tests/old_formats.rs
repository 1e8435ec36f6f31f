//! Old formats: what any version has stored or said is still found and understood, in every recording that is kept.
//!
//! A recording is never changed. A format that gets another number needs a new one: `cargo xtask golden`.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_tests::cbor::Value;
use rejoin_tests::recording::stage::{Stage, client_store, server_store};
use rejoin_tests::recording::{From, Kept, all, record, restore};
use sync_core::id::{BatchId, StoreId};
use sync_core::protocol::{ClientMessage, Mode, RejectCode, ServerMessage};
use sync_core::replica::{OutboxState, State};
use sync_core::storage::memory::MemoryStore;
use tempfile::TempDir;

const CLIENT_DATABASE: &str = "client.db";
const SERVER_DATABASE: &str = "store.sqlite";

fn place(kept: &Kept, file: &str, database: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    restore(&dir.path().join(database), &kept.sql(file));
    dir
}

/// How many changes of a client's outbox are saved and unsent, and how many rejected.
fn outbox(stage: &Stage, client: usize) -> (usize, usize) {
    let (replica, document) = stage.replica(client);
    let entries = replica.outbox(document);
    let rejected = entries.iter().filter(|e| matches!(e.state, OutboxState::Rejected { .. })).count();
    let saved = entries.iter().filter(|e| e.state == OutboxState::Saved).count();
    assert_eq!(saved + rejected, entries.len(), "{entries:?}");
    (saved, rejected)
}

#[test]
fn every_format_of_today_is_in_a_recording() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let today = record(scratch.path()).formats;
    let kept: Vec<_> = all().iter().map(|kept| kept.recording.formats).collect();
    assert!(kept.contains(&today), "{today:?} is in no recording: run `cargo xtask golden` and keep what it writes");
}

#[test]
fn the_first_formats_are_among_the_recordings() {
    let first = all().into_iter().map(|kept| kept.recording.formats).next().expect("a recording");
    let numbers = (first.wire, first.pack, first.client_row, first.client_store, first.server_store);
    assert_eq!(numbers, (1, 1, 1, 1, 1));
}

#[test]
fn a_recording_shows_all_that_can_be_said_and_kept() {
    for kept in all() {
        let (mut said, mut modes) = (BTreeSet::new(), BTreeSet::new());
        for frame in &kept.recording.frames {
            let messages: Vec<String> = match frame.from {
                From::Client => decode(ClientMessage::decode_all(&frame.bytes())),
                From::Server => decode(ServerMessage::decode_all(&frame.bytes())),
            };
            said.extend(messages.iter().map(|m| m.split('(').next().expect("a name").to_owned()));
            modes.extend(messages.iter().filter_map(|m| m.split("mode: ").nth(1)).map(|m| m[..6].to_owned()));
        }
        let needed = [
            "Hello", "Open", "Push", "Close", "Have", "Emit", "Welcome", "Granted", "Opened", "Changes", "Ack",
            "Reject",
        ];
        needed.iter().for_each(|kind| assert!(said.contains(*kind), "{kind} is not among {said:?}"));
        assert!(modes.len() >= 3, "{modes:?}");
        assert!(ranges(&kept) > 0, "the client's store has acknowledged ranges beyond its cursor");
    }
}

fn decode<T: std::fmt::Debug, E: std::fmt::Debug>(messages: Result<Vec<T>, E>) -> Vec<String> {
    messages.expect("readable").iter().map(|message| format!("{message:?}")).collect()
}

/// The acknowledged ranges in a client's store: key 3 of its document's row, behind the byte that says the row's format.
fn ranges(kept: &Kept) -> usize {
    let dir = place(kept, "client.sql", CLIENT_DATABASE);
    let connection = rusqlite::Connection::open(dir.path().join(CLIENT_DATABASE)).expect("opens");
    let row: Vec<u8> = connection.query_row("SELECT value FROM document", [], |row| row.get(0)).expect("one document");
    let values = Value::sequence(&row[1..]).expect("CBOR");
    let [Value::Map(fields)] = &values[..] else { panic!("{values:?}") };
    let found = fields.iter().find(|(key, _)| *key == Value::Int(3)).map(|(_, value)| value);
    let Some(Value::Array(ranges)) = found else { panic!("{fields:?}") };
    ranges.len()
}

#[test]
fn an_old_client_finds_its_outbox_and_goes_on_with_an_old_server() {
    for kept in all() {
        let name = kept.folder.display();
        let [client_at, server_at] =
            [place(&kept, "client.sql", CLIENT_DATABASE), place(&kept, "server.sql", SERVER_DATABASE)];
        let mut stage = Stage::new(server_store(server_at.path()), &kept.recording.document);
        let client = stage.client(client_store(client_at.path()), 5);
        assert_eq!(stage.value(client), kept.recording.value, "{name}");
        assert_eq!(outbox(&stage, client), (2, 1), "{name}");
        stage.set_online(client, true);
        let (replica, document) = stage.replica(client);
        let status = replica.status(document).expect("open");
        assert_eq!((status.state, status.pending, status.rejected), (State::Rejected, 0, 1), "{name}");
        assert_eq!(stage.value(client), kept.recording.value_synced, "{name}");
        let newcomer_at = tempfile::tempdir().expect("a temporary folder");
        let newcomer = stage.client(client_store(newcomer_at.path()), 6);
        stage.set_online(newcomer, true);
        assert_eq!(stage.value(newcomer), kept.recording.value_synced, "{name}");
    }
}

#[test]
fn an_old_client_goes_on_with_a_server_that_has_nothing() {
    for kept in all() {
        let client_at = place(&kept, "client.sql", CLIENT_DATABASE);
        let mut stage = Stage::new(Box::new(MemoryStore::new(StoreId([3; 16]))), &kept.recording.document);
        let client = stage.client(client_store(client_at.path()), 5);
        stage.set_online(client, true);
        let newcomer_at = tempfile::tempdir().expect("a temporary folder");
        let newcomer = stage.client(client_store(newcomer_at.path()), 6);
        stage.set_online(newcomer, true);
        assert_eq!(stage.value(newcomer), kept.recording.value, "{}", kept.folder.display());
        assert_eq!(outbox(&stage, client), (0, 1));
    }
}

/// What a server answered to the pushes of each connection.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    /// Changes that were new, by connection and batch.
    new: BTreeMap<(u64, BatchId), u32>,
    /// Changes that were held already.
    held: BTreeMap<(u64, BatchId), usize>,
    rejected: Vec<RejectCode>,
    pushed: BTreeSet<(u64, BatchId)>,
    opened: Vec<Mode>,
}

impl Answers {
    fn hear(&mut self, connection: u64, frame: &[u8]) {
        for message in ServerMessage::decode_all(frame).expect("today's server speaks clearly") {
            match message {
                ServerMessage::Ack(ack) => {
                    self.new.insert((connection, ack.batch), ack.count);
                    self.held.insert((connection, ack.batch), ack.held.map_or(0, |held| held.len()));
                }
                ServerMessage::Reject(reject) => self.rejected.push(reject.code),
                ServerMessage::Opened(opened) => self.opened.push(opened.mode),
                _ => {}
            }
        }
    }

    fn push(&mut self, connection: u64, frame: &[u8]) {
        for message in ClientMessage::decode_all(frame).expect("old frames are read") {
            if let ClientMessage::Push(push) = message {
                self.pushed.insert((connection, push.batch));
            }
        }
    }
}

/// Says all that clients once said to a server of today.
fn replay(kept: &Kept, mut stage: Stage) -> Answers {
    let mut answers = Answers::default();
    for frame in kept.recording.frames.iter().filter(|frame| frame.from == From::Client) {
        answers.push(frame.connection, &frame.bytes());
        for said in stage.say(frame.connection, frame.bytes()) {
            answers.hear(frame.connection, &said);
        }
    }
    answers
}

#[test]
fn old_clients_are_understood_and_acknowledged() {
    for kept in all() {
        let name = kept.folder.display();
        let empty = Stage::new(Box::new(MemoryStore::new(StoreId([3; 16]))), &kept.recording.document);
        let fresh = replay(&kept, empty);
        let mut then = Answers::default();
        for frame in kept.recording.frames.iter().filter(|frame| frame.from == From::Server) {
            then.hear(frame.connection, &frame.bytes());
        }
        let count: u32 = then.new.values().sum();
        assert!(count > 20, "{count} changes were acknowledged");
        assert_eq!((&fresh.new, &fresh.rejected), (&then.new, &vec![RejectCode::TooLarge]), "{name}");
        assert_eq!(fresh.new.keys().copied().collect::<BTreeSet<_>>(), fresh.pushed, "{name}");

        let server_at = place(&kept, "server.sql", SERVER_DATABASE);
        let full = replay(&kept, Stage::new(server_store(server_at.path()), &kept.recording.document));
        let held: usize = full.held.values().sum();
        assert_eq!((held, full.new.values().sum::<u32>()), (count as usize, 0), "{name}: {full:?}");
        assert!(full.opened.contains(&Mode::Resume), "{name}: cursors into the store still count: {:?}", full.opened);
    }
}

#[test]
fn old_servers_are_understood() {
    for kept in all() {
        let name = kept.folder.display();
        let client_at = place(&kept, "client-before.sql", CLIENT_DATABASE);
        let nobody = Box::new(MemoryStore::new(StoreId([3; 16])));
        let mut stage = Stage::new(nobody, &kept.recording.document);
        let client = stage.client(client_store(client_at.path()), 5);
        assert_eq!(outbox(&stage, client), (3, 0), "{name}");
        let connection = kept.recording.reconnection;
        // Up to where the writer was shown what `value_between` says, and then all of it.
        let frames = kept.recording.frames.iter().filter(|f| f.connection == connection && f.from == From::Server);
        let frames: Vec<_> = frames.map(rejoin_tests::recording::Frame::bytes).collect();
        stage.hear(client, frames);
        let (replica, document) = stage.replica(client);
        let outbox = replica.outbox(document);
        assert!(
            matches!(&outbox[..], [one] if matches!(one.state, OutboxState::Rejected { .. })),
            "{name}: {outbox:?}"
        );
        let shown = stage.value(client);
        let expected = kept.recording.value_between.as_object().expect("a map");
        for (key, value) in expected {
            assert_eq!(shown.get(key), Some(value), "{name}: {key}");
        }
    }
}
