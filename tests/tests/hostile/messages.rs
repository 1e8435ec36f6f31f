//! Messages that are malformed, out of turn, or too many.

use bytes::Bytes;
use rejoin_tests::raw::{self, End, Raw};
use sync_core::clock::{ClockEntry, HashPrefix, VectorClock};
use sync_core::id::DocumentHandle;
use sync_core::protocol::{
    Blob, ClientMessage, Close, Emit, Have, Mode, Part, Ping, RejectCode, ServerMessage, WireLimits,
};

use crate::siege::{SHARED, Siege};

/// What small wrong messages may cost.
const GROWS_KIB_MAX: u64 = 8 << 10;

/// What one connection may make the server hold: a message of parts, and what it takes to decode it.
const PARTS_GROW_KIB_MAX: u64 = 24 << 10;

/// Closes after an opened document, or before a hello, with their code.
fn malformed() -> Vec<(&'static str, u16, Vec<u8>)> {
    let ping = ClientMessage::Ping(Ping { nonce: 7 }).encode();
    let part = |index, total, bytes: &[u8]| {
        ClientMessage::Part(Part { index, total, bytes: Blob(Bytes::copy_from_slice(bytes)) }).encode().to_vec()
    };
    let have = |clock: &[u8]| [&[0x82, 0x04, 0xa2, 0x00, 0x01, 0x01], clock].concat();
    let long = |head: u8| [head, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0].to_vec();
    vec![
        ("no CBOR", 4400, vec![0xff; 10]),
        ("half a message", 4400, ping[..3].to_vec()),
        ("a message and a half", 4400, [&ping[..], &ping[..2]].concat()),
        ("60,000 arrays in each other", 4400, vec![0x81; 60_000]),
        ("60,000 tags", 4400, vec![0xc1; 60_000]),
        (
            "30,000 arrays in a field that nobody knows",
            4400,
            [&[0x82, 0x07, 0xa2, 0x00, 0x07, 0x09], &[0x81; 30_000][..]].concat(),
        ),
        ("an array of 2^64 - 1", 4400, long(0x9b)),
        ("a map of 2^64 - 1", 4400, long(0xbb)),
        ("bytes of 2^64 - 1", 4400, long(0x5b)),
        ("an indefinite map", 4400, vec![0x82, 0x07, 0xbf, 0x00, 0x07, 0xff]),
        ("an array of three", 4400, vec![0x83, 0x07, 0xa1, 0x00, 0x07, 0x00]),
        ("a field that is missing", 4400, vec![0x82, 0x07, 0xa0]),
        ("a field of another type", 4400, vec![0x82, 0x07, 0xa1, 0x00, 0x61, b'x']),
        ("a text of no UTF-8", 4400, vec![0x82, 0x01, 0xa1, 0x00, 0x62, 0xff, 0xfe]),
        ("a hello of 2^64 - 1 versions", 4400, [&[0x82, 0x00, 0xa1, 0x00], &long(0x9b)[..]].concat()),
        ("an access that is none", 4400, vec![0x82, 0x02, 0xa3, 0x00, 0x05, 0x01, 0x61, b'x', 0x02, 0x02]),
        ("a clock with seq 0", 4400, have(&[0x81, 0x83, 0x41, 1, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a clock without an actor", 4400, have(&[0x81, 0x83, 0x40, 1, 0x48, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a clock with half a hash", 4400, have(&[0x81, 0x83, 0x41, 1, 1, 0x44, 0, 0, 0, 0])),
        ("a clock that claims 2^64 - 1 actors", 4400, have(&long(0x9b))),
        ("a second hello", 4400, raw::hello(&[1]).encode().to_vec()),
        ("a handle twice", 4400, raw::open(1, "another").encode().to_vec()),
        ("a document twice", 4400, raw::open(2, SHARED).encode().to_vec()),
        ("parts out of order", 4400, part(1, 2, b"x")),
        ("a part of none", 4400, part(0, 0, b"")),
        ("a part within a part", 4400, part(0, 1, &part(0, 1, &ping))),
        ("garbage in a part", 4400, part(0, 1, &[0xff; 100])),
        ("an emit beyond the bound", 4413, emit(1, WireLimits::default().emit_bytes_max as usize + 1, None)),
    ]
}

fn emit(handle: u32, bytes: usize, ttl_ms: Option<u32>) -> Vec<u8> {
    let payload = Blob(vec![7; bytes].into());
    ClientMessage::Emit(Emit { handle: DocumentHandle(handle), payload, ttl_ms }).encode().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_message_is_answered_with_the_stated_code() {
    let mut siege = Siege::begin("wrong messages", &[]).await;
    for (what, code, bytes) in malformed() {
        let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
        raw.binary(&bytes).await.expect("it is taken");
        siege.ends(raw, End::Code(code), what).await;
    }
    let firsts = [
        ("no hello first", 4400, raw::open(1, SHARED)),
        ("a ping first", 4400, ClientMessage::Ping(Ping { nonce: 1 })),
        ("a version that nobody speaks", 4409, raw::hello(&[77])),
        ("no version at all", 4409, raw::hello(&[])),
    ];
    for (what, code, message) in firsts {
        let mut raw = Raw::upgraded(siege.address()).await.expect("upgrades");
        raw.say(&message).await.expect("it is taken");
        siege.ends(raw, End::Code(code), what).await;
    }
    siege.look();
    let closed: u64 = siege.metric("rejoin_connections_closed_total{code=\"4400\"}").await;
    let wanted = malformed().iter().filter(|(_, code, _)| *code == 4400).count() as u64 + 2;
    assert_eq!(closed, wanted, "the metrics count each");
    assert_eq!(siege.metric("rejoin_connections_closed_total{code=\"4409\"}").await, 2);
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_useless_is_skipped_and_the_connection_lives() {
    let mut siege = Siege::begin("useless messages, bad names", &[]).await;
    let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
    let mut nonce = 0;
    let clock: VectorClock =
        [(automerge::ActorId::from([1; 16]), ClockEntry { seq: 1, hash: HashPrefix([1; 8]) })].into_iter().collect();
    let useless = [
        ("a kind that nobody knows", vec![0x82, 0x18, 0x63, 0xa1, 0x00, 0x81, 0x81, 0x01]),
        ("a field that nobody knows", vec![0x82, 0x06, 0xa2, 0x00, 0x09, 0x18, 0x63, 0x80]),
        ("a push to a handle that is not open", raw_push(9)),
        ("an emit to one", emit(9, 10, None)),
        ("a close of one", ClientMessage::Close(Close { handle: DocumentHandle(9) }).encode().to_vec()),
        (
            "a have to one",
            ClientMessage::Have(Have { handle: DocumentHandle(9), clock: clock.clone() }).encode().to_vec(),
        ),
        (
            "a have that nobody asked for",
            ClientMessage::Have(Have { handle: DocumentHandle(1), clock }).encode().to_vec(),
        ),
        ("a frame of nothing", Vec::new()),
    ];
    for (what, bytes) in useless {
        raw.binary(&bytes).await.expect("it is taken");
        nonce += 1;
        raw.say(&ClientMessage::Ping(Ping { nonce })).await.expect("it is taken");
        let pong = raw.until(|m| match m {
            ServerMessage::Pong(pong) => Some(pong.nonce),
            ServerMessage::Reject(reject) => panic!("{what}: {reject:?}"),
            _ => None,
        });
        assert_eq!(pong.await.expect(what), nonce, "{what}");
    }
    let long = "x".repeat(257);
    let names = ["", "/", "a//b", "a/", "/a", "a\u{7}b", "a\nb", long.as_str()];
    for (handle, name) in (10..).zip(names) {
        raw.say(&raw::open(handle, name)).await.expect("it is taken");
        let code =
            raw.until(|m| if let ServerMessage::Reject(r) = m { Some((r.handle.0, r.batch, r.code)) } else { None });
        assert_eq!(code.await.expect("answered"), (handle, None, RejectCode::BadName), "{name:?}");
    }
    assert_eq!(siege.metric("rejoin_rejects_total").await, names.len() as u64, "the metrics count each");
    siege.look();
    siege.end(GROWS_KIB_MAX).await;
}

fn raw_push(handle: u32) -> Vec<u8> {
    let ClientMessage::Push(mut push) = raw::push(1, vec![1, 0, 0, 0]) else { panic!("a push") };
    push.handle = DocumentHandle(handle);
    ClientMessage::Push(push).encode().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_may_come_a_byte_at_a_time() {
    let mut siege = Siege::begin("a byte at a time", &[]).await;
    let mut raw = Raw::upgraded(siege.address()).await.expect("upgrades");
    let mut bytes = raw::frame(raw::FIN | raw::BINARY, &raw::hello(&[1]).encode());
    bytes.extend(raw::frame(raw::BINARY, &[]));
    bytes.extend(raw::frame(raw::FIN | raw::PING, b"between"));
    bytes.extend(raw::frame(raw::FIN | raw::CONTINUATION, &raw::open(1, SHARED).encode()));
    for byte in bytes {
        raw.bytes(&[byte]).await.expect("it is taken");
    }
    let mode = raw.until(|m| if let ServerMessage::Opened(o) = m { Some(o.mode) } else { None }).await.expect("opened");
    assert_eq!(mode, Mode::New);
    raw.bytes(&raw::frame(raw::FIN | raw::CLOSE, &1000u16.to_be_bytes())).await.expect("it is taken");
    siege.ends(raw, End::Code(1000), "a close is answered with a close").await;
    siege.look();
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_bounded_and_may_hold_no_flood() {
    let mut siege = Siege::begin("parts without end, floods in parts", &[]).await;
    let limits = WireLimits::default();
    let piece = limits.frame_bytes_max as usize - 64;
    let beyond = limits.message_bytes_max as usize / piece + 1;
    let part = |index: usize, total, bytes: &[u8]| {
        let bytes = Blob(Bytes::copy_from_slice(bytes));
        ClientMessage::Part(Part { index: index as u32, total, bytes })
    };
    // Never ending, and beyond the bound.
    let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
    for index in 0..=beyond {
        if raw.say(&part(index, u32::MAX, &vec![0; piece])).await.is_err() {
            break;
        }
    }
    siege.ends(raw, End::Code(4413), "parts without end").await;
    // As many of the smallest messages as fit, each of which is answered by one.
    let ping = ClientMessage::Ping(Ping { nonce: 1 }).encode();
    let name = raw::open(7, "").encode();
    for tiny in [&ping, &name, &Bytes::from_static(&[0x82, 0x09, 0x00])] {
        let flood = tiny.repeat(limits.message_bytes_max as usize / tiny.len());
        let mut raw = Raw::opened(siege.address(), SHARED).await.expect("opens");
        let pieces: Vec<_> = flood.chunks(piece).collect();
        for (index, bytes) in pieces.iter().enumerate() {
            raw.say(&part(index, pieces.len() as u32, bytes)).await.expect("it is taken");
        }
        siege.ends(raw, End::Code(4429), "a flood in parts").await;
        siege.look();
    }
    siege.end(PARTS_GROW_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_documents_than_allowed_are_answered_with_4429() {
    let mut siege = Siege::begin("documents_max and one more", &[]).await;
    let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
    let max = WireLimits::default().documents_max;
    for handle in 0..max {
        raw.say(&raw::open(handle, &format!("many/{handle}"))).await.expect("it is taken");
    }
    for _ in 0..max {
        raw.until(|m| matches!(m, ServerMessage::Opened(_)).then_some(())).await.expect("opened");
    }
    siege.look();
    raw.say(&raw::open(max, "one/more")).await.expect("it is taken");
    siege.ends(raw, End::Code(4429), "one document too many").await;
    siege.end(GROWS_KIB_MAX).await;
}
