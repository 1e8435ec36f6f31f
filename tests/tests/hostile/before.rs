//! Before anything is said: no HTTP, no upgrade, no `Hello`.

use std::time::Duration;

use rejoin_tests::raw::{self, End, Raw};

use crate::siege::Siege;

/// What some hundred connections that say nothing of use may cost.
const GROWS_KIB_MAX: u64 = 8 << 10;

/// How long the server waits for a `Hello`.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_http_and_of_frames_ends_the_connection() {
    let mut siege = Siege::begin("garbage before and after the upgrade", &[]).await;
    let address = siege.address();
    let noise: Vec<u8> = (0..8192u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for round in 0..40 {
        let mut raw = Raw::connect(address).await.expect("connects");
        let garbage: &[u8] = match round % 4 {
            0 => &noise,
            1 => b"GET /sync HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
            2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            _ => b"GET /sync HTTP/9.9\r\n\r\n",
        };
        raw.bytes(garbage).await.expect("it is taken");
        assert_eq!(raw.http_status().await.ok(), Some(400), "{round}");
        let mut raw = Raw::upgraded(address).await.expect("upgrades");
        raw.bytes(&noise).await.expect("it is taken");
        assert!(matches!(raw.end().await, End::Code(4400 | 4413) | End::Dropped));
    }
    siege.look();
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_hello_is_closed_with_4408() {
    let mut siege = Siege::begin("no Hello", &[]).await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut raw = Raw::upgraded(siege.address()).await.expect("upgrades");
        if n % 2 == 0 {
            // WebSocket's own pings are no hello.
            raw.bytes(&raw::frame(raw::FIN | raw::PING, b"x")).await.expect("it is taken");
        }
        silent.push(raw);
    }
    siege.look();
    siege.honest_go_on().await;
    for raw in silent {
        siege.ends(raw, End::Code(4408), "silence").await;
    }
    let took = siege.since_begin();
    assert!((HELLO_WITHIN..2 * HELLO_WITHIN).contains(&took), "closed after {took:?}");
    siege.end(GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_asks_nothing_or_slowly_is_let_go_and_keeps_nobody_out() {
    let mut siege = Siege::begin("slow requests", &[]).await;
    let mut slow = Vec::new();
    for n in 0..600 {
        let mut raw = Raw::connect(siege.address()).await.expect("connects");
        match n % 3 {
            0 => {}
            1 => raw.bytes(b"GET /sync HTTP/1.1\r\nHost: ").await.expect("it is taken"),
            _ => raw.bytes(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken"),
        }
        slow.push(raw);
    }
    siege.look();
    siege.honest_go_on().await;
    for mut raw in slow {
        let said = raw.to_end().await;
        let status = said.get(9..12).unwrap_or_default();
        assert!([&b""[..], b"408", b"200"].contains(&status), "{}", String::from_utf8_lossy(&said));
    }
    siege.end(2 * GROWS_KIB_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_without_a_request_are_closed_at_once() {
    let mut siege = Siege::begin("2,000 connections without a request", &[]).await;
    let mut idle = Vec::new();
    for _ in 0..2_000 {
        idle.push(Raw::connect(siege.address()).await.expect("connects"));
    }
    siege.look();
    siege.honest_go_on().await;
    assert_eq!(idle.pop().expect("there are many").end().await, End::Dropped);
    drop(idle);
    // The next one finds a place once those who left are noticed.
    loop {
        let mut raw = Raw::connect(siege.address()).await.expect("connects");
        if raw.bytes(raw::UPGRADE.as_bytes()).await.is_ok() && raw.http_status().await.ok() == Some(101) {
            break;
        }
    }
    siege.end(2 * GROWS_KIB_MAX).await;
}
