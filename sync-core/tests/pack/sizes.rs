//! How many bytes packs take, printed and held to bounds.

use std::io::Read as _;

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT};
use sync_core::change::Change;
use sync_core::limits::PackLimits;
use sync_core::pack::{decode, encode};
use sync_core::table::ChangeTable;

use crate::writing::{TIME, actor, changes, commit, table, typed};

const PROSE: &str = "Offline-first software keeps working when the network does not. Every edit is kept on the device, \
and goes out when a connection comes back; nobody's words are lost, and nobody waits for a server to answer. ";

fn prose(characters: usize) -> String {
    // Not the same sentence over and over, which deflate would take for free.
    let mut rng = sync_core::rng::Rng::from_number(1);
    let words: Vec<&str> = PROSE.split(' ').collect();
    let mut text = String::new();
    while text.len() < characters {
        text.push_str(words[rng.below(words.len() as u64) as usize]);
        text.push(' ');
    }
    text.chars().take(characters).collect()
}

#[test]
fn a_live_character_is_small() {
    let own = typed(&prose(1_000));
    let last = own.len() - 1;
    let held = table(&own[..last]);
    let pack = encode(&own[last..], held.actor_count(), &held).expect("packed");
    println!("a typed character, log numbers: {} bytes (raw {})", pack.len(), own[last].bytes().len());
    assert!(pack.len() <= 36, "{} bytes", pack.len());
    let pack = encode(&own[last..], 0, &held).expect("packed");
    println!("a typed character, pushed: {} bytes", pack.len());
    assert!(pack.len() <= 54, "{} bytes", pack.len());

    // In a text that somebody else made and wrote in.
    let mut document = AutoCommit::new().with_actor(actor(7));
    document.apply_changes(own.iter().map(|c| c.automerge().clone())).expect("applied");
    let mut document = document.fork().with_actor(actor(3));
    let (_, text) = automerge::ReadDoc::get(&document, ROOT, "text").expect("get").expect("there");
    for (at, character) in ["q", "r"].into_iter().enumerate() {
        document.splice_text(&text, 500 + at, 0, character).expect("typed");
        commit(&mut document, TIME);
    }
    let all = changes(&mut document);
    let held = table(&all[..all.len() - 1]);
    let pack = encode(&all[all.len() - 1..], held.actor_count(), &held).expect("packed");
    println!("a typed character in another's text: {} bytes", pack.len());
    assert!(pack.len() <= 44, "{} bytes", pack.len());
}

#[test]
fn typing_is_small() {
    let own = typed(&prose(1_000));
    for (many, bytes_max) in [(100, 1_000), (1_000, 8_000)] {
        let held = table(&own[..1]);
        let pack = encode(&own[1..=many], 0, &held).expect("packed");
        println!("{many} typed characters: {} bytes", pack.len());
        assert!(pack.len() <= bytes_max * 3 / 4, "{} bytes", pack.len());
    }
}

/// The first edits of automerge-paper, or edits of the same shape where the traces are not at hand.
fn edits(many: usize) -> Vec<(usize, usize, String)> {
    let folder = std::env::var("REJOIN_TRACES").unwrap_or_else(|_| "../../shared/traces".into());
    let Ok(file) = std::fs::File::open(format!("{folder}/automerge-paper.json.gz")) else {
        println!("(no trace at hand: seeded edits)");
        return seeded_edits(many);
    };
    let mut json = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut json).expect("gzip");
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    let patches =
        json["txns"].as_array().expect("txns").iter().flat_map(|txn| txn["patches"].as_array().expect("patches"));
    let number = |value: &serde_json::Value| value.as_u64().expect("number") as usize;
    patches.take(many).map(|p| (number(&p[0]), number(&p[1]), p[2].as_str().expect("text").to_owned())).collect()
}

fn seeded_edits(many: usize) -> Vec<(usize, usize, String)> {
    let mut rng = sync_core::rng::Rng::from_number(2);
    let (mut length, mut at) = (0usize, 0usize);
    let typed = prose(many);
    let edits = typed.chars().map(|character| {
        if rng.chance(12) {
            at = rng.below(length as u64 + 1) as usize;
        }
        if at > 0 && rng.chance(180) {
            (at, length) = (at - 1, length - 1);
            return (at, 1, String::new());
        }
        (at, length) = (at + 1, length + 1);
        (at - 1, 0, character.to_string())
    });
    edits.collect()
}

#[test]
fn a_real_history_is_small() {
    let mut document = AutoCommit::new().with_actor(actor(7));
    let text = document.put_object(ROOT, "text", ObjType::Text).expect("text");
    let mut rng = sync_core::rng::Rng::from_number(3);
    let mut time = TIME;
    for (at, deleted, inserted) in edits(20_000) {
        time += 80 + rng.below(200) as i64;
        document.splice_text(&text, at, deleted as isize, &inserted).expect("within");
        commit(&mut document, time);
    }
    let all: Vec<Change> = changes(&mut document);
    let raw: usize = all.iter().map(|change| change.bytes().len()).sum();
    for (slice, tenths_max) in [(1, 320), (100, 48), (1_000, 35)] {
        let mut held = ChangeTable::new();
        let mut bytes = 0;
        for now in all.chunks(slice) {
            let pack = encode(now, held.actor_count(), &held).expect("packed");
            bytes += pack.len();
            // Reading all single packs again would only repeat the round trips.
            if slice > 1 {
                let back = decode(&pack, &held, &PackLimits::default()).expect("unpacked");
                assert_eq!(back.changes, now);
            }
            for change in now {
                held.insert(change).expect("causal order");
            }
        }
        let per_change = bytes as f64 / all.len() as f64;
        println!(
            "a history in packs of {slice}: {per_change:.2} bytes a change (raw {:.2})",
            raw as f64 / all.len() as f64
        );
        assert!(bytes * 10 <= all.len() * tenths_max, "{per_change}");
    }
}
