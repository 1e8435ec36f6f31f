//! Many at once, and readers that fall behind.

use std::collections::BTreeSet;
use std::time::Duration;

use rejoin_tests::memory::Memory;
use rejoin_tests::proxy::{Lane, Proxy, Weather};
use rejoin_tests::raw::{self, Raw};
use sync_client::{Client, Document, InitValue};
use sync_core::protocol::ServerMessage;

use crate::support::{client, in_time, keys, offline, put, server, until};
use crate::writer::{self, Writer};

/// First opens at once.
const OPENS: u8 = 200;

/// Clients that edit while the server is gone and come back at once.
const CLIENTS: usize = 30;

/// Seen in y-sweet: 26 of 200 concurrent first opens split into two documents.
#[tokio::test(flavor = "multi_thread")]
async fn failure_4_two_hundred_first_opens_at_once_make_one_document() {
    in_time(async {
        let server = server(&[]).await;
        let address = server.address();
        let open = |actor: u8| async move {
            let mut raw = Raw::greeted(address).await.expect("upgrades");
            raw.say(&raw::open(1, "one")).await.expect("it is taken");
            let opened = raw.until(|m| if let ServerMessage::Opened(o) = m { Some(o) } else { None });
            let opened = opened.await.expect("opened");
            raw.say(&raw::push(1, writer::pack(actor, 10))).await.expect("it is taken");
            let acked = raw.until(|m| if let ServerMessage::Ack(a) = m { Some(a.first.0) } else { None });
            (acked.await.expect("acknowledged"), opened.room, opened.incarnation)
        };
        let all: Vec<_> = (1..=OPENS).map(|actor| tokio::spawn(open(actor))).collect();
        let (mut seqs, mut documents) = (Vec::new(), BTreeSet::new());
        for one in all {
            let (seq, room, incarnation) = one.await.expect("ends well");
            seqs.push(seq);
            documents.insert((room, incarnation));
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=u64::from(OPENS)).collect::<Vec<_>>());
        assert_eq!(documents.len(), 1);
        let (_, list) = server.get("/v1/documents").await.expect("it answers");
        let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
        assert_eq!(
            (&list["documents"][0]["head"], &list["documents"][1]),
            (&200.into(), &serde_json::Value::Null),
            "{list}"
        );
    })
    .await;
}

/// Seen in y-sweet: after a restart 11 of 60 clients had lost an edit that was accepted before.
#[tokio::test(flavor = "multi_thread")]
async fn failure_4_a_mass_reconnect_after_a_restart_gives_everybody_everything() {
    in_time(async {
        let mut server = server(&[]).await;
        let dir = tempfile::tempdir().expect("a folder");
        let mut clients: Vec<(Client, Document)> = Vec::new();
        for n in 0..CLIENTS {
            let client = offline(server.address(), &dir.path().join(n.to_string())).await;
            let document = client.document("one").await.expect("opens");
            document.init("list", InitValue::List).expect("made");
            put(&document, &format!("first {n}"), n as i64);
            clients.push((client, document));
        }
        let all = |count: usize| move |d: &Document| d.status().pending == 0 && keys(d).len() == count;
        clients.iter().for_each(|(client, _)| client.go_online().expect("it is open"));
        for (_, document) in &clients {
            until(document, all(1 + CLIENTS)).await;
        }
        server.kill().await.expect("it ran");
        for (n, (_, document)) in clients.iter().enumerate() {
            put(document, &format!("second {n}"), n as i64);
        }
        server.restart().await.expect("it starts again");
        for (_, document) in &clients {
            until(document, all(1 + 2 * CLIENTS)).await;
        }
        let heads = |d: &Document| d.read(|d| d.get_heads()).expect("it is loaded");
        let first = heads(&clients[0].1);
        assert!(clients.iter().all(|(_, document)| heads(document) == first));
        let there = server.document("one").await.expect("it is there");
        assert_eq!(there.as_object().expect("a map").len(), 1 + 2 * CLIENTS);
    })
    .await;
}

/// Pushes of the tests below: together more than sockets on both sides (10 MB), mailbox and tail keep for one that does not read.
const PUSHES: u64 = 300;

/// Bytes of each push; below a frame.
const PUSH_BYTES: usize = 50_000;

/// What the server may grow by while a reader pauses: the tail, what is on its way to the reader, the log's index.
const GROWS_KIB_MAX: u64 = 16 << 10;

/// Seen in y-sweet: a reader that pauses loses frames for good while it stays connected.
#[tokio::test(flavor = "multi_thread")]
async fn failure_5_a_reader_that_pauses_under_load_misses_nothing_and_costs_little() {
    in_time(async {
        let server = server(&[]).await;
        let process = server.process().expect("it runs");
        let mut sleeper = Raw::opened(server.address(), "busy").await.expect("opens");
        let mut writer = Writer::start(server.address(), "busy", 1).await;
        let before = Memory::of(process).expect("it runs");
        for _ in 0..PUSHES {
            writer.push(PUSH_BYTES).await;
        }
        let after = Memory::of(process).expect("it runs");
        let grown = after.peak_kib.saturating_sub(before.resident_kib);
        assert!(grown <= GROWS_KIB_MAX, "{grown} KiB for a reader that pauses");
        let mut next = 1;
        while next <= PUSHES {
            let changes = sleeper.until(|m| if let ServerMessage::Changes(c) = m { Some(c) } else { None });
            let changes = changes.await.expect("it stays connected");
            assert_eq!(changes.first.0, next, "no hole and nothing twice");
            let pack = changes.pack.expect("not reconciling").0;
            next += u64::from(sync_core::pack::count(&pack).expect("a pack"));
        }
    })
    .await;
}

/// The same with a real client on a line that all but stands still, and then recovers.
#[tokio::test(flavor = "multi_thread")]
async fn failure_5_a_client_on_a_line_that_stands_still_under_load_converges() {
    in_time(async {
        let server = server(&[]).await;
        let proxy = Proxy::start(server.address()).await.expect("a proxy");
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(proxy.address(), dir.path()).await;
        let document = client.document("busy").await.expect("opens");
        let mut writer = Writer::start(server.address(), "busy", 1).await;
        writer.push(10).await;
        until(&document, |d| keys(d) == ["blob"]).await;
        let crawl = Lane { bytes_per_second: Some(20_000), delay: Duration::ZERO, swallow: false };
        proxy.set(Weather { down: crawl, ..Weather::default() });
        for _ in 0..PUSHES {
            writer.push(PUSH_BYTES).await;
        }
        let edit = put(&document, "mine", 1);
        document.saved(edit).await.expect("saved");
        proxy.set(Weather::default());
        document.acknowledged(edit).await.expect("answered");
        until(&document, |d| d.read(|d| d.get_changes_meta(&[]).len()).unwrap_or(0) as u64 == PUSHES + 2).await;
        assert_eq!(document.status().pending, 0);
    })
    .await;
}
