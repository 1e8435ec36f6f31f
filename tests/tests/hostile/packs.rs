//! Packs that are broken, forged, or larger inside than out.

use std::io::Write as _;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ExpandedChange, ROOT};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rejoin_tests::raw::{self, End, Raw};
use serde_json::{Value, json};
use sync_core::change::Change;
use sync_core::document::{InitValue, init_change};
use sync_core::pack;
use sync_core::protocol::{RejectCode, ServerMessage};
use sync_core::table::ChangeTable;

use crate::siege::{SHARED, Siege};
use rejoin_fuzz::chunk::{Chunk, unsigned};

/// What one hostile pack may cost at its highest: its parts, what it inflates to, and the changes that are re-created.
const GROWS_KIB_MAX: u64 = 96 << 10;

/// How the server must answer a push.
#[derive(Debug)]
enum Want {
    Close(u16),
    /// With this in its reason.
    Reject(RejectCode, &'static str),
    Ack,
}

fn change(actor: u8, seq: u64, start: u64, deps: &[&Change], ops: Value) -> Change {
    let actor = ActorId::from([actor; 16]).to_hex_string();
    let deps: Vec<String> = deps.iter().map(|dep| dep.hash().to_string()).collect();
    let json =
        json!({"actor": actor, "seq": seq, "startOp": start, "time": 0, "message": null, "deps": deps, "ops": ops});
    let expanded: ExpandedChange = serde_json::from_value(json).expect("a change in JSON");
    Change::from_automerge(automerge::Change::from(expanded)).expect("its seq fits")
}

fn put(key: &str) -> Value {
    json!([{"action": "set", "obj": "_root", "key": key, "value": 1, "pred": []}])
}

/// What a server that knows these changes is sent of the others.
fn packed(known: &[&Change], changes: &[Change]) -> Bytes {
    let mut table = ChangeTable::new();
    for change in known {
        table.insert(change).expect("in order");
    }
    pack::encode(changes, 0, &table).expect("packs")
}

/// A pack by its parts: deflated or not, count, actors, digest, and what stands in its body.
fn made(deflated: bool, count: u64, actors: &[&[u8]], digest: [u8; 8], body: &[u8]) -> Bytes {
    let mut out = vec![if deflated { 0x81 } else { 0x01 }];
    unsigned(&mut out, count);
    unsigned(&mut out, 0);
    unsigned(&mut out, actors.len() as u64);
    for actor in actors {
        unsigned(&mut out, actor.len() as u64);
        out.extend(*actor);
    }
    out.extend(digest);
    out.extend(body);
    out.into()
}

/// A pack of one change that is written whole, whatever its bytes are.
fn whole(chunk: &[u8], seq: u64) -> Bytes {
    let mut body = vec![0x80 | 0x02];
    unsigned(&mut body, seq);
    unsigned(&mut body, chunk.len() as u64);
    body.extend(chunk);
    made(false, 1, &[&[5; 16]], [0; 8], &body)
}

fn deflated(megabytes: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    for _ in 0..megabytes {
        encoder.write_all(&vec![0; 1 << 20]).expect("a vector takes any bytes");
    }
    encoder.finish().expect("a vector takes any bytes")
}

/// A change of 69 bytes that says that it has this many operations.
fn run_length(seq: u64, operations: u64) -> Vec<u8> {
    let honest = change(
        5,
        seq,
        1,
        &[],
        json!([
            {"action": "set", "obj": "_root", "key": "k", "value": null, "pred": []},
            {"action": "set", "obj": "_root", "key": "k", "value": null, "pred": []},
        ]),
    );
    let run = |value: &[u8]| {
        let mut out = Vec::new();
        // Signed; a value whose highest written bit is set takes a byte more.
        unsigned(&mut out, operations);
        if out.last().is_some_and(|byte| byte & 0x40 != 0) {
            let last = out.len() - 1;
            out[last] |= 0x80;
            out.push(0);
        }
        out.extend(value);
        out
    };
    let mut chunk = Chunk::parse(honest.bytes());
    for (spec, data) in &mut chunk.columns {
        // A run-length column of two equal values is a run of 2; booleans count, starting with false.
        if *spec == 0x34 {
            data.clear();
            unsigned(data, operations);
        } else {
            *data = run(&data[1..]);
        }
    }
    chunk.build()
}

/// What is no pack at all, or a larger one than is taken.
fn broken(good: &Bytes, stranger: &Change) -> Vec<(&'static str, Want, Bytes)> {
    vec![
        ("no bytes", Want::Close(4400), Bytes::new()),
        ("garbage", Want::Close(4400), Bytes::from(vec![0xa5; 500])),
        ("a version that nobody speaks", Want::Close(4400), Bytes::from([&[0x0f], &good[1..]].concat())),
        ("half a pack", Want::Close(4400), good.slice(..good.len() - 3)),
        ("bytes behind the pack", Want::Close(4400), Bytes::from([&good[..], b"x"].concat())),
        ("no deflate", Want::Close(4400), made(true, 1, &[&[5; 16]], [0; 8], &[0xff; 50])),
        (
            "an actor that it does not introduce",
            Want::Close(4400),
            made(false, 1, &[], [0; 8], &whole(stranger.bytes(), 1)[28..]),
        ),
        ("2^31 changes", Want::Reject(RejectCode::TooLarge, "changes"), made(false, 1 << 31, &[], [0; 8], &[])),
        (
            "a gigabyte once inflated",
            Want::Reject(RejectCode::TooLarge, "inflated"),
            made(true, 20_000, &[&[5; 16]], [0; 8], &deflated(1_024)),
        ),
        (
            "50 million operations in 69 bytes",
            Want::Reject(RejectCode::Invalid, "50000000 operations, at most 200000"),
            whole(&run_length(1, 50_000_000), 1),
        ),
    ]
}

/// All that is pushed to a document that holds one change.
fn cases(held: &Change) -> Vec<(&'static str, Want, Bytes)> {
    let next = change(1, 2, 2, &[held], put("b"));
    let gap = change(1, 4, 4, &[&next], put("d"));
    let third = change(1, 3, 3, &[&next], put("c"));
    let twin = change(1, 1, 1, &[], put("other"));
    let stranger = change(2, 1, 1, &[], put("x"));
    let on_stranger = change(3, 1, 2, &[&stranger], put("y"));
    let nowhere = change(
        4,
        1,
        2,
        &[held],
        json!([{"action": "set", "obj": "77@04040404040404040404040404040404", "key": "k", "value": 1, "pred": []}]),
    );
    let good = packed(&[], &[change(6, 1, 1, &[], put("z"))]);
    let flip = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let mut wrong_sum = stranger.bytes().to_vec();
    wrong_sum[5] ^= 1;
    let init = init_change("items", InitValue::Map).expect("a key");
    let mut forger = AutoCommit::new().with_actor(init.actor().clone());
    forger.put(ROOT, "items", "mine").expect("puts");
    let forged = Change::from_automerge(forger.get_last_local_change().expect("it has one").clone()).expect("fits");
    let mut author = Chunk::parse(change(7, 1, 1, &[], put("w")).bytes());
    author.extra = [&[1, 4][..], b"ann", b"?!"].concat();
    let mut all = broken(&good, &stranger);
    all.extend([
        ("a change whose checksum is another", Want::Reject(RejectCode::Invalid, "checksum"), whole(&wrong_sum, 1)),
        (
            "a bundle",
            Want::Reject(RejectCode::Invalid, "chunk type 3"),
            whole(&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 3, 1, 0], 1),
        ),
        ("a digest of another pack", Want::Reject(RejectCode::Mismatch, "digest"), flip(4 + 16 + 7)),
        (
            "a dep that the server does not hold",
            Want::Reject(RejectCode::Mismatch, "not held"),
            packed(&[held, &stranger], &[on_stranger]),
        ),
        ("a seq behind a gap", Want::Reject(RejectCode::Mismatch, "not held"), packed(&[held, &next, &third], &[gap])),
        (
            "another change of the same actor and seq",
            Want::Reject(RejectCode::Equivocation, "another change"),
            packed(&[], &[twin]),
        ),
        (
            "an object that does not exist",
            Want::Reject(RejectCode::Invalid, "not in its causal past"),
            packed(&[held], &[nowhere]),
        ),
        ("an init that is not the one", Want::Reject(RejectCode::Invalid, "fixed change"), packed(&[], &[forged])),
        ("a footer that is no author", Want::Reject(RejectCode::Invalid, "footer"), footer(&author)),
        ("nothing", Want::Ack, packed(&[], &[])),
        ("what the server holds", Want::Ack, packed(&[], std::slice::from_ref(held))),
        ("an honest change", Want::Ack, good),
    ]);
    all
}

fn footer(chunk: &Chunk) -> Bytes {
    let change = Change::parse(&chunk.build(), &sync_core::limits::ChangeLimits::default()).expect("it parses");
    packed(&[], &[change])
}

/// What the server answered.
#[derive(Debug)]
enum Said {
    Close(u16),
    Reject(RejectCode, String),
    Ack,
}

impl Want {
    fn is(&self, said: &Said) -> bool {
        match (self, said) {
            (Self::Close(want), Said::Close(code)) => want == code,
            (Self::Reject(want, part), Said::Reject(code, reason)) => want == code && reason.contains(part),
            (Self::Ack, Said::Ack) => true,
            _ => false,
        }
    }
}

/// Sends a push, in parts if need be, and gives the answer.
async fn answer(raw: &mut Raw, batch: u64, pack: Bytes) -> Said {
    let push = raw::push(batch, pack).encode();
    let sent = raw.whole(&push).await;
    assert!(sent.is_ok(), "it is taken: {sent:?}");
    let said = raw.until(|m| match m {
        ServerMessage::Ack(ack) if ack.batch.0 == batch => Some(Said::Ack),
        ServerMessage::Reject(reject) => Some(Said::Reject(reject.code, reject.reason)),
        _ => None,
    });
    match said.await {
        Ok(said) => said,
        Err(_) => match raw.ended() {
            Some(End::Code(code)) => Said::Close(*code),
            other => panic!("no answer but {other:?}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_pack_is_refused_as_it_deserves_and_never_acknowledged() {
    let mut siege = Siege::begin("hostile packs", &[]).await;
    let held = change(1, 1, 1, &[], put("a"));
    let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
    let said = answer(&mut raw, 1, packed(&[], std::slice::from_ref(&held))).await;
    assert!(Want::Ack.is(&said), "{said:?}");
    for (what, want, pack) in cases(&held) {
        let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
        let said = answer(&mut raw, 1, pack).await;
        assert!(want.is(&said), "{what}: {said:?}");
        siege.look();
    }
    siege.honest_go_on().await;
    let document = siege.server().document(SHARED).await.expect("it can be read");
    for key in ["other", "x", "y", "d", "k", "items", "w"] {
        assert!(document.get(key).is_none(), "{key} is in {document}");
    }
    assert!(document.get("a").is_some() && document.get("z").is_some(), "{document}");
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_that_are_each_just_small_enough_cost_no_more_than_one() {
    let mut siege = Siege::begin("200 million operations in a pack", &[]).await;
    let chunks: Vec<_> = (1..=1_000).map(|seq| run_length(seq, 200_000)).collect();
    let mut body = vec![0x80; chunks.len()];
    body[0] |= 0x02;
    body.push(1);
    for chunk in &chunks {
        unsigned(&mut body, chunk.len() as u64);
        body.extend(chunk);
    }
    let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
    for batch in 1..=5 {
        let pack = made(false, chunks.len() as u64, &[&[5; 16]], [0; 8], &body);
        let said = answer(&mut raw, batch, pack).await;
        assert!(Want::Reject(RejectCode::TooLarge, "operations").is(&said), "{said:?}");
        siege.look();
    }
    siege.end(GROWS_KIB_MAX).await;
}
