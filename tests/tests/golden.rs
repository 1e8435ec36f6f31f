//! Golden vectors: wire bytes once published stay readable and are written the same way for ever, and docs/protocol.cddl says what they are.
//!
//! A vector is never changed. A new message or field adds vectors: the test below fails and prints what to add.

mod golden {
    //! The values that the vectors stand for.
    pub(crate) mod client;
    pub(crate) mod packs;
    pub(crate) mod server;
    pub(crate) mod views;
}

use std::collections::BTreeMap;

use rejoin_tests::cbor::Value;
use rejoin_tests::cddl::{Cddl, Coverage};
use serde::{Deserialize, Serialize};
use sync_core::change::Change;
use sync_core::conflict::ConflictIndex;
use sync_core::document::Document;
use sync_core::id::{ChangeHash, Digest, DocumentName, Incarnation};
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::log::{digest_next, digest_start};
use sync_core::op_index::OpIndex;
use sync_core::pack;
use sync_core::planted::Planting;
use sync_core::protocol::{ClientMessage, Mode, RejectCode, ServerMessage};
use sync_core::scope::Access;
use sync_core::snapshot::Snapshot;
use sync_core::table::ChangeTable;
use sync_core::validator;
use sync_core::view::View;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Client,
    Server,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Vector {
    name: String,
    direction: Direction,
    hex: String,
    notation: String,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.hex).expect("hex")
    }

    fn rule(&self) -> &'static str {
        match self.direction {
            Direction::Client => "client-message",
            Direction::Server => "server-message",
        }
    }

    /// Whether the code takes these bytes.
    fn decodes(&self, bytes: &[u8]) -> bool {
        match self.direction {
            Direction::Client => ClientMessage::decode_all(bytes).is_ok(),
            Direction::Server => ServerMessage::decode_all(bytes).is_ok(),
        }
    }

    fn of(name: &str, direction: Direction, bytes: &[u8]) -> Self {
        let values = Value::sequence(bytes).expect("CBOR");
        let notation = values.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
        Self { name: name.into(), direction, hex: hex::encode(bytes), notation }
    }
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    let path = format!("{}/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn vectors() -> Vec<Vector> {
    read("messages.json")
}

fn cddl() -> Cddl {
    let path = format!("{}/../docs/protocol.cddl", env!("CARGO_MANIFEST_DIR"));
    Cddl::parse(&std::fs::read_to_string(&path).expect("docs/protocol.cddl is there")).expect("it is CDDL")
}

#[test]
fn every_message_decodes_and_encodes_to_its_vector() {
    let mut kept: BTreeMap<String, Vector> = vectors().into_iter().map(|v| (v.name.clone(), v)).collect();
    let mut missing = Vec::new();
    let mut check = |name: &str, direction, encoded: &[u8], decoded_is_expected: &dyn Fn(&[u8]) -> bool| {
        let now = Vector::of(name, direction, encoded);
        match kept.remove(name) {
            None => missing.push(serde_json::to_string(&now).expect("JSON")),
            Some(vector) => {
                assert_eq!(now, vector, "{name} is written differently");
                assert!(decoded_is_expected(&vector.bytes()), "{name} is read differently");
            }
        }
    };
    for (name, message) in golden::client::messages() {
        check(name, Direction::Client, &message.encode(), &|bytes| {
            ClientMessage::decode_all(bytes).is_ok_and(|m| m == [message.clone()])
        });
    }
    for (name, message) in golden::server::messages() {
        check(name, Direction::Server, &message.encode(), &|bytes| {
            ServerMessage::decode_all(bytes).is_ok_and(|m| m == [message.clone()])
        });
    }
    assert!(missing.is_empty(), "add to tests/golden/messages.json:\n  {}", missing.join(",\n  "));
    assert!(kept.is_empty(), "vectors without a value: {:?}", kept.keys());
}

#[test]
fn every_vector_is_as_the_cddl_says_and_shows_all_of_it() {
    let (cddl, mut seen) = (cddl(), Coverage::default());
    for vector in vectors() {
        for value in Value::sequence(&vector.bytes()).expect("CBOR") {
            cddl.check(vector.rule(), &value, &mut seen).unwrap_or_else(|e| panic!("{}: {e}", vector.name));
        }
    }
    for (rule, key, optional) in cddl.keys() {
        assert!(seen.present.contains(&(rule.clone(), key)), "no vector has key {key} of {rule}");
        assert!(!optional || seen.absent.contains(&(rule.clone(), key)), "no vector is without key {key} of {rule}");
    }
    for number in cddl.numbers() {
        assert!(seen.numbers.contains(&number), "no vector has {number:?}");
    }
}

#[test]
fn cddl_and_code_agree_on_which_keys_are_needed_and_ignore_unknown_ones() {
    let cddl = cddl();
    for vector in vectors() {
        let values = Value::sequence(&vector.bytes()).expect("CBOR");
        let [Value::Array(message)] = &values[..] else { panic!("{} is no message", vector.name) };
        let [kind, Value::Map(body)] = &message[..] else { panic!("{} is no message", vector.name) };
        let check = |body: Vec<(Value, Value)>, what: String| {
            let value = Value::Array(vec![kind.clone(), Value::Map(body)]);
            let said = cddl.check(vector.rule(), &value, &mut Coverage::default());
            let done = vector.decodes(&value.to_bytes());
            assert_eq!(said.is_ok(), done, "{} {what}: {said:?}", vector.name);
        };
        for (at, (key, _)) in body.iter().enumerate() {
            let mut less = body.clone();
            less.remove(at);
            check(less, format!("without key {key}"));
            let mut other = body.clone();
            other[at].1 = Value::Bool(true);
            check(other, format!("with key {key} true"));
        }
        let mut more = body.clone();
        more.push((Value::Int(99), Value::Text("from a newer version".into())));
        check(more, "with a key 99".into());
    }
}

#[test]
fn the_cddl_has_every_kind_and_code_that_the_code_reads() {
    let numbers = cddl().numbers();
    let said = |rule: &str| -> Vec<u8> { (0..200).filter(|n| numbers.contains(&(rule.into(), (*n).into()))).collect() };
    let read = |takes: &dyn Fn(&[u8]) -> bool| -> Vec<u8> {
        (0..200).filter(|n| takes(&Value::Int((*n).into()).to_bytes())).collect()
    };
    // A code that the reader does not know is read as another.
    let known =
        |b: &[u8]| minicbor::decode::<RejectCode>(b).is_ok_and(|c| minicbor::to_vec(c).is_ok_and(|own| own == b));
    assert_eq!(said("reject-code"), read(&known));
    assert_eq!(said("mode"), read(&|b| minicbor::decode::<Mode>(b).is_ok()));
    assert_eq!(said("access"), read(&|b| minicbor::decode::<Access>(b).is_ok()));
    // A message of an unknown kind is skipped; one of a known kind misses its fields.
    let message = |kind: u8| Value::Array(vec![Value::Int(kind.into()), Value::Map(Vec::new())]).to_bytes();
    let kinds = |names: &[&str], refuses: &dyn Fn(&[u8]) -> bool| {
        let mut said: Vec<u8> = names.iter().flat_map(|name| said(name)).collect();
        said.sort_unstable();
        assert_eq!(said, (0..200).filter(|kind| refuses(&message(*kind))).collect::<Vec<_>>());
    };
    let client = ["hello", "auth", "open", "push", "have", "emit", "close", "ping", "client-part"];
    kinds(&client, &|b| ClientMessage::decode_all(b).is_err());
    let server =
        ["welcome", "granted", "expiring", "opened", "ack", "reject", "changes", "emitted", "pong", "throttle"];
    let server = [&server[..], &["go-away", "server-part", "snapshot"]].concat();
    kinds(&server, &|b| ServerMessage::decode_all(b).is_err());
}

#[derive(Deserialize)]
struct DigestChain {
    incarnation: String,
    start: String,
    changes: Vec<ChainedChange>,
}

#[derive(Deserialize)]
struct ChainedChange {
    hash: String,
    digest: String,
}

#[test]
fn the_digest_chain_is_as_it_was() {
    let bytes = |s: &str| hex::decode(s).expect("hex");
    let chains: Vec<DigestChain> = read("digests.json");
    assert!(chains.iter().any(|c| c.changes.len() >= 3));
    for chain in chains {
        let mut digest = digest_start(Incarnation::from_slice(&bytes(&chain.incarnation)).expect("eight bytes"));
        assert_eq!(digest.to_string(), chain.start);
        for change in &chain.changes {
            let hash = ChangeHash(bytes(&change.hash).try_into().expect("32 bytes"));
            digest = digest_next(digest, &hash);
            assert_eq!(digest, Digest::from_slice(&bytes(&change.digest)).expect("eight bytes"));
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PackVector {
    name: String,
    held: usize,
    brings: [usize; 2],
    pack: String,
}

fn fixture() -> Vec<Change> {
    let path = format!("{}/interop/changes.json", env!("CARGO_MANIFEST_DIR"));
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).expect("there")).expect("JSON");
    let changes = file["changes"].as_array().expect("a list").iter();
    changes
        .map(|c| hex::decode(c.as_str().expect("hex")).expect("hex"))
        .map(|bytes| Change::parse(&bytes, &ChangeLimits::default()).expect("a change"))
        .collect()
}

#[test]
fn packs_unpack_to_the_very_changes_and_stay_as_small() {
    let changes = fixture();
    let kept: Vec<PackVector> = read("../interop/packs.json");
    let mut missing = Vec::new();
    for case in golden::packs::cases() {
        let mut table = ChangeTable::new();
        for change in &changes[..case.held] {
            table.insert(change).expect("causal");
        }
        let brings = &changes[case.brings.clone()];
        let base = if case.with_base { table.actor_count() } else { 0 };
        let now = pack::encode(brings, base, &table).expect("it can be packed");
        let Some(vector) = kept.iter().find(|v| v.name == case.name) else {
            let (name, brings) = (case.name.into(), [case.brings.start, case.brings.end]);
            let vector = PackVector { name, held: case.held, brings, pack: hex::encode(&now) };
            missing.push(serde_json::to_string(&vector).expect("JSON"));
            continue;
        };
        assert_eq!((vector.held, vector.brings), (case.held, [case.brings.start, case.brings.end]));
        let bytes = hex::decode(&vector.pack).expect("hex");
        let unpacked = pack::decode(&bytes, &table, &PackLimits::default()).expect("an old pack");
        assert_eq!(unpacked.changes, brings, "{}", case.name);
        // Another version of the deflate library may find another way to the same bytes.
        let deflated = bytes[0] & 0x80 != 0;
        assert!(now == bytes || deflated && now.len() <= bytes.len() + bytes.len() / 20, "{}", case.name);
    }
    assert!(missing.is_empty(), "add to tests/interop/packs.json:\n  {}", missing.join(",\n  "));
    assert_eq!(kept.len(), golden::packs::cases().len());
}

#[derive(Debug, Serialize, Deserialize)]
struct ViewVector {
    name: String,
    view: String,
}

#[test]
fn views_of_every_version_are_read_and_those_without_marks_are_of_the_first() {
    let kept: Vec<ViewVector> = read("views.json");
    let mut missing = Vec::new();
    for (name, version, value) in golden::views::views() {
        let now = value.encode().expect("small");
        assert_eq!(now[0], version, "{name}");
        let Some(vector) = kept.iter().find(|v| v.name == name) else {
            let vector = ViewVector { name: name.into(), view: hex::encode(&now) };
            missing.push(serde_json::to_string(&vector).expect("JSON"));
            continue;
        };
        let bytes = hex::decode(&vector.view).expect("hex");
        assert_eq!(View::decode(&bytes), Ok(value), "{name}");
        // Version and digest of the body; the deflate library may find another way to the same one.
        assert_eq!(now[..9], bytes[..9], "{name} is written differently");
    }
    assert!(missing.is_empty(), "add to tests/golden/views.json:\n  {}", missing.join(",\n  "));
    assert_eq!(kept.len(), golden::views::views().len());
}

/// The same log's base and op index, as versions have kept them, the newest last.
#[test]
fn snapshots_of_all_times_are_read() {
    let kept: Vec<String> = read("snapshots.json");
    let decode = |text: &String| Snapshot::decode(&hex::decode(text).expect("hex")).expect("an old snapshot");
    let newest = hex::decode(kept.last().expect("one")).expect("hex");
    for snapshot in kept.iter().map(decode) {
        let now = snapshot.encode();
        assert_eq!(now[..9], newest[..9], "it is written differently, add to snapshots.json: {}", hex::encode(&now));
    }
}

/// A history, and op indexes of its beginning as versions have kept them, the newest last.
#[derive(Debug, Deserialize)]
struct IndexVectors {
    changes: Vec<String>,
    held: usize,
    indexes: Vec<IndexVector>,
}

#[derive(Debug, Deserialize)]
struct IndexVector {
    name: String,
    index: String,
    /// What it is written as now; the version and the digest of the body are enough.
    again: String,
}

/// In the first ones no delete says where, and the newest differ in how references are written. What is found by them, and by the changes
/// that follow, is the same.
#[test]
fn op_indexes_of_all_times_are_read_and_tell_the_same_conflicts() {
    let kept: IndexVectors = read("op_indexes.json");
    let bytes = |text: &str| hex::decode(text).expect("hex");
    let parse = |change: &String| Change::parse(&bytes(change), &ChangeLimits::default()).expect("a change");
    let changes: Vec<Change> = kept.changes.iter().map(parse).collect();
    let admit = |changes: &[Change], table: &mut ChangeTable, ops: &mut OpIndex, index: &mut ConflictIndex| {
        for change in changes {
            validator::admit(change, table, ops, &ChangeLimits::default()).expect("an honest change");
            table.insert(change).expect("causal");
            index.admit(change, table, ops);
        }
    };
    let (mut table, mut ops, mut index) = (ChangeTable::new(), OpIndex::new(), ConflictIndex::new());
    admit(&changes[..kept.held], &mut table, &mut ops, &mut index);
    let [newest, now] = [bytes(&kept.indexes.last().expect("one").index), ops.to_bytes().to_vec()];
    // Version and digest of the body; the deflate library may find another way to the same one.
    assert_eq!(now[..9], newest[..9], "it is written differently, add to op_indexes.json: {}", hex::encode(&now));
    let at_first = table.clone();
    admit(&changes[kept.held..], &mut table, &mut ops, &mut index);
    let document = Document::from_changes(changes.clone()).expect("they apply");
    let name = DocumentName::parse("a/document").expect("a name");
    let conflicts = index.list(&name, document.automerge(), &table, &ops);
    assert_eq!(conflicts.len(), 5, "{conflicts:#?}");
    for IndexVector { name: form, index: vector, again } in &kept.indexes {
        let mut read = OpIndex::from_bytes(&bytes(vector), at_first.actor_count()).expect("an old index");
        assert_eq!(hex::encode(&read.to_bytes()[..9]), *again, "{form}");
        admit(&changes[kept.held..], &mut at_first.clone(), &mut read, &mut ConflictIndex::new());
        for quick in [
            ConflictIndex::of(&document, &table, &read, Planting::default()).expect("readable"),
            ConflictIndex::of_changes(&changes, &table, &read, Planting::default()),
        ] {
            assert_eq!(format!("{quick:?}"), format!("{index:?}"), "{form}");
            assert_eq!(quick.list(&name, document.automerge(), &table, &read), conflicts, "{form}");
        }
    }
}
