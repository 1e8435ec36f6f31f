//! Too much of what is allowed: pings, presence, documents, pushes that nobody answers yet, and readers that do not read.

use std::time::Duration;

use rejoin_tests::proxy::{Proxy, Weather};
use rejoin_tests::raw::{self, BINARY, End, FIN, Raw};
use sync_core::id::DocumentHandle;
use sync_core::protocol::{Blob, ClientMessage, Close, Emit, Part, Ping, RejectCode, ServerMessage, WireLimits};

use crate::siege::{SHARED, Siege};
use crate::writer::Writer;

/// A flooder is found to be held back once its socket takes nothing for this long.
const STILL: Duration = Duration::from_millis(300);

/// What one flooder may make the server hold: what is queued for writing, and one frame's messages.
const GROWS_KIB_MAX: u64 = 16 << 10;

/// Bytes that all connections together may make the server hold in the tests that reach that bound.
const BUFFERS_BYTES_MAX: &str = "33554432";

/// What the server may take for so many connections at that bound: each may have its fair share and what is queued for its socket,
/// 256 KiB each, and some messages are on their way.
const fn buffers_grow_kib_max(connections: u64) -> u64 {
    (32 << 10) + connections * 512 + (64 << 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pings_and_does_not_read_is_held_back() {
    let mut siege = Siege::begin("ping floods", &[]).await;
    let ping = ClientMessage::Ping(Ping { nonce: 1 }).encode();
    let frame = raw::frame(FIN | BINARY, &ping.repeat((64 << 10) / ping.len()));
    let own = raw::frame(FIN | raw::PING, &[7; 125]).repeat(500);
    let mut flooders = Vec::new();
    for bytes in [frame, own] {
        let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
        // Far more than socket buffers on both sides take.
        for _ in 0..2_000 {
            if raw.bytes_until_stuck(&bytes, STILL).await.expect("it is not closed") < bytes.len() {
                break;
            }
        }
        siege.look();
        flooders.push(raw);
    }
    siege.honest_go_on().await;
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_never_read_while_the_document_is_busy_hold_little() {
    let mut siege = Siege::begin("20 readers that do not read", &[]).await;
    let mut sleepers = Vec::new();
    for _ in 0..20 {
        sleepers.push(Raw::opened(siege.address(), SHARED).await.expect("opens"));
    }
    let mut writer = Writer::start(siege.address(), SHARED, 8).await;
    for _ in 0..300 {
        writer.push(50_000).await;
        siege.look();
    }
    siege.honest_go_on().await;
    // 15 MB of history are what the log's index and the tail grow by; each sleeper adds what is on its way to it.
    siege.end(2 * GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_do_not_read_together_hold_no_more_than_the_bound_for_all() {
    let mut siege = Siege::begin("100 readers of 60 documents", &["--buffers-bytes-max", BUFFERS_BYTES_MAX]).await;
    let documents = 60;
    let mut writer = Writer::start(siege.address(), "large/0", 9).await;
    for n in 0..documents {
        if n > 0 {
            writer = Writer::start(siege.address(), &format!("large/{n}"), 9).await;
        }
        for _ in 0..8 {
            writer.push(50_000).await;
        }
    }
    drop(writer);
    let mut sleepers = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
        for n in 0..documents {
            raw.say(&raw::open(n + 1, &format!("large/{n}"))).await.expect("it is taken");
        }
        siege.look();
        sleepers.push(raw);
    }
    while siege.metric("rejoin_connections_overflowed_total").await == 0 {
        siege.look();
    }
    siege.honest_go_on().await;
    siege.end(buffers_grow_kib_max(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_unfinished_messages_together_hold_no_more_than_the_bound_for_all() {
    let mut siege = Siege::begin("40 messages that never end", &["--buffers-bytes-max", BUFFERS_BYTES_MAX]).await;
    let piece = WireLimits::default().frame_bytes_max as usize - 64;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
        let mut taken = true;
        for index in 0..100 {
            let part = Part { index, total: 1_000, bytes: Blob(vec![0; piece].into()) };
            taken &= raw.say(&ClientMessage::Part(part)).await.is_ok();
            if !taken {
                break;
            }
        }
        siege.look();
        if raw.is_open().await {
            open.push(raw);
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 30, "{refused} of 40 refused, though a few fill the bound");
    assert_eq!(siege.metric("rejoin_connections_closed_total{code=\"1013\"}").await, refused);
    siege.honest_go_on().await;
    siege.end(buffers_grow_kib_max(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_vanishes_without_a_word_is_let_go_with_all_it_had() {
    let mut siege = Siege::begin("half-open sockets", &["--heartbeat-s", "1"]).await;
    let proxy = Proxy::start(siege.address()).await.expect("a proxy");
    let before = siege.metric("rejoin_connections").await;
    let mut vanished = Vec::new();
    for _ in 0..50 {
        vanished.push(Raw::opened(proxy.address(), SHARED).await.expect("opens"));
    }
    siege.look();
    assert_eq!(siege.metric("rejoin_connections").await, before + 50);
    proxy.set(Weather::dead());
    while siege.metric("rejoin_connections").await > before {
        siege.honest_go_on().await;
    }
    assert_eq!(siege.metric("rejoin_connections_closed_total{code=\"4408\"}").await, 50);
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_and_messages_in_floods_pile_up_for_nobody() {
    let mut siege = Siege::begin("emit floods", &[]).await;
    let _sleeper = Raw::opened(siege.address(), SHARED).await.expect("opens");
    let emit = |n: u32, ttl_ms| {
        let payload = Blob(vec![n as u8; WireLimits::default().emit_bytes_max as usize].into());
        ClientMessage::Emit(Emit { handle: DocumentHandle(1), payload, ttl_ms })
    };
    let mut flooders = Vec::new();
    for _ in 0..10 {
        flooders.push(Raw::opened(siege.address(), SHARED).await.expect("opens"));
    }
    for n in 0..200 {
        for raw in &mut flooders {
            let bytes = raw::frame(FIN | BINARY, &emit(n, (n % 2 == 0).then_some(u32::MAX)).encode());
            raw.bytes_until_stuck(&bytes, STILL).await.expect("it is not closed");
        }
        siege.look();
    }
    siege.honest_go_on().await;
    siege.end(2 * GROWS_KIB_MAX).await;
}

/// What 30 pushers of the largest message may make the server hold: half of it as parts, twice while it is taken apart, and what rooms stage.
const PUSHERS_GROW_KIB_MAX: u64 = 320 << 10;

/// Opens and closes of the test below, unless `REJOIN_OPENS` says how many.
const OPENS: u32 = 60_000;

/// What the server's settings let one connection open in one go.
const OPENS_AT_ONCE: u32 = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_closing_without_end_leaves_a_bounded_number_of_rooms() {
    let mut siege = Siege::begin("documents opened and closed, without end", &[]).await;
    let opens = std::env::var("REJOIN_OPENS").map_or(OPENS, |n| n.parse().expect("a number"));
    let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
    let per_frame = 500;
    for start in (0..opens).step_by(per_frame) {
        if start % OPENS_AT_ONCE == 0 {
            raw = Raw::greeted(siege.address()).await.expect("upgrades");
        }
        let mut messages = Vec::new();
        for n in start..start + per_frame as u32 {
            messages.extend(raw::open(n, &format!("none/{n}")).encode());
        }
        raw.binary(&messages).await.expect("it is taken");
        for _ in 0..per_frame {
            raw.until(|m| matches!(m, ServerMessage::Opened(_)).then_some(())).await.expect("opened");
        }
        let close = |n| ClientMessage::Close(Close { handle: DocumentHandle(n) }).encode();
        raw.binary(&(start..start + per_frame as u32).flat_map(close).collect::<Vec<_>>()).await.expect("it is taken");
        siege.look();
    }
    let rooms = siege.metric("rejoin_rooms").await;
    assert!(rooms <= 2 * 1_024 + per_frame as u64 + 1, "{rooms} rooms are in memory, nobody has one open");
    siege.end(2 * GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_unanswered_pushes_than_allowed_are_answered_with_4429() {
    let mut siege = Siege::begin("pending_batches_max and one more", &[]).await;
    let mut raw = Raw::opened(siege.address(), "pending").await.expect("opens");
    let store = rusqlite::Connection::open(siege.server().data().join("store.sqlite")).expect("opens");
    // As long as somebody else writes, the server can't commit, and so answers no push.
    store.execute_batch("BEGIN IMMEDIATE").expect("begins");
    let max = u64::from(WireLimits::default().pending_batches_max);
    for batch in 1..=max + 1 {
        let pack = crate::writer::pack(batch as u8, 10);
        raw.say(&raw::push(batch, pack)).await.expect("it is taken");
    }
    siege.ends(raw, End::Code(4429), "one push too many").await;
    siege.look();
    store.execute_batch("COMMIT").expect("ends");
    siege.honest_go_on().await;
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pushes_of_many_at_once_wait_outside() {
    let mut siege = Siege::begin("30 pushers of 8 MB", &[]).await;
    let pack = crate::writer::pack(1, 4 << 20);
    let pushers: Vec<_> = (0..30u8)
        .map(|n| {
            let (address, pack) = (siege.address(), pack.clone());
            tokio::spawn(async move {
                let mut raw = Raw::opened(address, &format!("big/{n}")).await.expect("opens");
                for batch in 1..=4 {
                    // The same change again and again: refused as too large, or held.
                    raw.whole(&raw::push(batch, pack.clone()).encode()).await.expect("it is taken");
                }
                for _ in 0..4 {
                    raw.until(|m| match m {
                        ServerMessage::Ack(_) => Some(()),
                        ServerMessage::Reject(r) if r.code == RejectCode::Invalid => Some(()),
                        ServerMessage::Reject(r) => panic!("{r:?}"),
                        _ => None,
                    })
                    .await
                    .expect("answered");
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.expect("every push is answered");
        siege.look();
    }
    siege.honest_go_on().await;
    siege.end(PUSHERS_GROW_KIB_MAX).await;
}
