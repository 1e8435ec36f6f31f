//! Golden vectors of packs: bytes once published stay readable for ever, and are written the same way.
//!
//! A vector is never changed. A new case fails the test, which prints what to add to tests/golden/packs.json.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};
use sync_core::change::Change;
use sync_core::id::{ActorId, ChangeHash};
use sync_core::limits::PackLimits;
use sync_core::pack::{PackContext, count, decode, encode};

use crate::writing::{footed, history, table, typed, unusual};

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/packs.json")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hex")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// What a vector says that both sides know.
#[derive(Default)]
struct Known {
    actors: Vec<ActorId>,
    hashes: BTreeMap<(ActorId, u32), ChangeHash>,
}

impl Known {
    fn read(vector: &Value) -> Self {
        let actors: Vec<ActorId> = list(&vector["actors"]).iter().map(|a| ActorId::from(bytes(a))).collect();
        let hashes = list(&vector["known"]).iter().map(|known| {
            let actor = &actors[known["actor"].as_u64().expect("number") as usize];
            let hash = ChangeHash::try_from(&bytes(&known["hash"])[..]).expect("a hash");
            ((actor.clone(), known["seq"].as_u64().expect("number") as u32), hash)
        });
        Self { hashes: hashes.collect(), actors: actors.clone() }
    }
}

impl PackContext for Known {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.actors.get(number as usize)
    }
    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.actors.iter().position(|known| known == actor).map(|n| n as u32)
    }
    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.hashes.get(&(actor.clone(), seq)).copied()
    }
    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)> {
        self.hashes.iter().find(|(_, known)| *known == hash).map(|(place, _)| place.clone())
    }
}

/// The parts of a pack before its body, and its body inflated. Which compressor made it is not part of the format.
fn inflated(pack: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // The numbers in the vectors' headers all fit one byte, their actors have 16.
    let head = 4 + 17 * usize::from(pack[3]) + 8;
    let mut body = Vec::new();
    match pack[0] & 0x80 {
        0 => body.extend_from_slice(&pack[head..]),
        _ => drop(flate2::read::DeflateDecoder::new(&pack[head..]).read_to_end(&mut body).expect("deflated")),
    }
    (pack[..head].to_vec(), body)
}

fn vector(name: &str, base: u32, held: &[Change], changes: &[Change]) -> Value {
    let context = table(held);
    let pack = encode(changes, base, &context).expect("packed");
    let named = |change: &&Change| {
        let dep_of = changes.iter().any(|c| c.deps().contains(&change.hash()));
        let before = changes.iter().any(|c| c.actor() == change.actor() && c.seq() == change.seq() + 1);
        dep_of || before
    };
    let known = held.iter().filter(named).map(|change| {
        let number = context.number(change.actor()).expect("known");
        json!({ "actor": number, "seq": change.seq(), "hash": change.hash().to_string() })
    });
    json!({
        "name": name,
        "base": base,
        "actors": (0..context.actor_count()).filter_map(|n| context.actor(n)).map(|a| a.to_hex_string()).collect::<Vec<_>>(),
        "known": known.collect::<Vec<_>>(),
        "pack": hex::encode(&pack),
        "body": hex::encode(inflated(&pack).1),
        "changes": changes.iter().map(|change| hex::encode(change.bytes())).collect::<Vec<_>>(),
    })
}

fn cases() -> Vec<Value> {
    let own = typed("Rejoin!");
    let long = typed("Every edit is kept on the device, and goes out when a connection comes back; nothing is lost.");
    let many = history(11, 40);
    let merge = many.iter().rposition(|change| change.deps().len() == 2).expect("a merge");
    let (before, unusual) = unusual();
    let message = many.iter().position(|change| change.automerge().message().is_some()).expect("a message");
    vec![
        vector("a typed character, by number", 1, &own[..7], &own[7..]),
        vector("a typed character, pushed", 0, &own[..7], &own[7..]),
        vector("a new document's first changes", 0, &[], &own[..4]),
        vector("a line of typing, deflated", 1, &long[..1], &long[1..]),
        vector("a merge", table(&many[..merge]).actor_count(), &many[..merge], &many[merge..merge + 1]),
        vector("a message", 0, &many[..message], &many[message..message + 1]),
        vector("three authors with every kind of operation", 0, &[], &many),
        vector("an unusual form, whole", table(&before).actor_count(), &before, &[unusual]),
        vector("bytes behind the columns", 1, &own[..1], &[footed()]),
        vector("nothing", 0, &[], &[]),
    ]
}

#[test]
fn each_vector_is_read_and_written_as_ever() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path()).expect("the vectors")).expect("JSON");
    let stored = list(&stored);
    for case in cases() {
        let there = stored.iter().any(|vector| vector["name"] == case["name"]);
        assert!(there, "add to tests/golden/packs.json:\n{}", serde_json::to_string_pretty(&case).expect("JSON"));
    }
    for vector in stored {
        let (name, pack, known) = (&vector["name"], bytes(&vector["pack"]), Known::read(vector));
        let changes: Vec<Vec<u8>> = list(&vector["changes"]).iter().map(bytes).collect();
        let back = decode(&pack, &known, &PackLimits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(count(&pack).expect("counted") as usize, changes.len(), "{name}");
        assert_eq!(back.changes.iter().map(|c| c.bytes().to_vec()).collect::<Vec<_>>(), changes, "{name}");
        assert_eq!(json!(back.base), vector["base"], "{name}");
        let again = encode(&back.changes, back.base, &known).expect("packed");
        assert_eq!(again[0] & 0x80, pack[0] & 0x80, "{name}");
        let ((head, body), (again_head, again_body)) = (inflated(&pack), inflated(&again));
        assert_eq!(hex::encode(&body), vector["body"], "{name}");
        assert_eq!(
            (hex::encode(head), hex::encode(body)),
            (hex::encode(again_head), hex::encode(again_body)),
            "{name}"
        );
    }
}

#[test]
fn the_vectors_use_every_way_to_write_a_change() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path()).expect("the vectors")).expect("JSON");
    let (mut seen, mut deps, mut deflated) = (0u8, std::collections::BTreeSet::new(), false);
    for vector in list(&stored) {
        let (pack, body) = (bytes(&vector["pack"]), bytes(&vector["body"]));
        deflated |= pack[0] & 0x80 != 0;
        for flags in &body[..count(&pack).expect("counted") as usize] {
            seen |= flags;
            if flags & 0x80 == 0 {
                deps.insert(flags & 0x0c);
            }
        }
    }
    assert_eq!(seen, 0xff);
    assert_eq!(deps.into_iter().collect::<Vec<_>>(), [0x00, 0x04, 0x08, 0x0c]);
    assert!(deflated);
}

#[test]
fn the_page_takes_vectors_apart_as_they_are() {
    let page = include_str!("../../../docs/pack-format.md");
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path()).expect("the vectors")).expect("JSON");
    let (_, examples) = page.split_once("## Two packs, byte by byte").expect("the examples");
    let blocks = examples.split("```").skip(1).step_by(2);
    let hex_of = |line: &str| -> String { line.get(..18).unwrap_or(line).chars().filter(|c| *c != ' ').collect() };
    let packs: Vec<String> = blocks
        .map(|block| {
            block
                .trim()
                .lines()
                .map(|line| {
                    // A line that is longer than the column of bytes holds nothing else.
                    if line.contains(' ') { hex_of(line) } else { line.to_owned() }
                })
                .collect()
        })
        .collect();
    assert_eq!(packs.len(), 2);
    for (pack, name) in packs.iter().zip(["a typed character, by number", "a new document's first changes"]) {
        let vector = list(&stored).iter().find(|vector| vector["name"] == name).expect("there");
        assert_eq!(vector["pack"], pack.as_str(), "{name}");
    }
}
