//! Who opens or pushes faster than the server's settings allow is refused for a while, by name and with the time to wait.

use rejoin_tests::raw::{self, Raw};
use rejoin_tests::server::Server;
use sync_client::automerge::{ROOT, transaction::Transactable as _};
use sync_client::{Client, ClientConfig};
use sync_core::id::DocumentHandle;
use sync_core::protocol::{ClientMessage, Close, Reject, RejectCode, ServerMessage};

use crate::siege::Siege;

const TRIES: u32 = 400;
const BURST: u32 = 60;
const PER_S: u32 = 20;

fn tight(what: &str) -> [String; 4] {
    [format!("--{what}-burst"), BURST.to_string(), format!("--{what}-per-s"), PER_S.to_string()]
}

/// Sees that a refusal is to be tried again, and says after how long.
fn wait_of(reject: &Reject) -> u32 {
    assert_eq!(reject.code, RejectCode::Unavailable, "{reject:?}");
    let wait = reject.retry_after_ms.expect("the time to wait");
    assert!((1..=1_000).contains(&wait), "{wait} ms");
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_faster_than_allowed_is_refused_with_the_time_to_wait() {
    let settings = tight("opens");
    let mut siege = Siege::begin("opens in a flood", &settings.each_ref().map(String::as_str)).await;
    let mut raw = Raw::greeted(siege.address()).await.expect("upgrades");
    let begun = std::time::Instant::now();
    let open = |n: u32| raw::open(n, &format!("none/{n}")).encode();
    raw.binary(&(0..TRIES).flat_map(open).collect::<Vec<_>>()).await.expect("it is taken");
    let (mut opened, mut refused) = (0, 0);
    while opened + refused < TRIES {
        let one = |m| match m {
            ServerMessage::Opened(_) => Some(true),
            ServerMessage::Reject(reject) => Some(wait_of(&reject) == 0),
            _ => None,
        };
        if raw.until(one).await.expect("an answer") { opened += 1 } else { refused += 1 }
    }
    let allowed = BURST + PER_S * (1 + begun.elapsed().as_secs() as u32);
    assert!((BURST..=allowed).contains(&opened), "{opened} opened, {refused} refused");
    // The same connection is served again once it asks at its time.
    let mut handle = TRIES;
    loop {
        raw.binary(&open(handle)).await.expect("it is taken");
        let answer = raw.until(|m| matches!(m, ServerMessage::Opened(_) | ServerMessage::Reject(_)).then_some(m)).await;
        if matches!(answer.expect("an answer"), ServerMessage::Opened(_)) {
            break;
        }
        handle += 1;
    }
    raw.binary(&ClientMessage::Close(Close { handle: DocumentHandle(handle) }).encode()).await.expect("it is taken");
    siege.honest_go_on().await;
    siege.end(16 << 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushing_faster_than_allowed_is_refused_with_the_time_to_wait_and_honest_backlogs_arrive() {
    let settings = tight("pushes");
    let mut siege = Siege::begin("pushes in a flood", &settings.each_ref().map(String::as_str)).await;
    let mut raw = Raw::opened(siege.address(), "pace").await.expect("opens");
    let (mut taken, mut refused) = (0, 0);
    let begun = std::time::Instant::now();
    for batch in 1..=u64::from(TRIES) {
        raw.say(&raw::push(batch, crate::writer::pack(batch as u8, 10))).await.expect("it is taken");
        let one = |m| match m {
            ServerMessage::Ack(_) => Some(true),
            ServerMessage::Reject(reject) => Some(wait_of(&reject) == 0),
            _ => None,
        };
        if raw.until(one).await.expect("an answer") { taken += 1 } else { refused += 1 }
    }
    let allowed = BURST + PER_S * (1 + begun.elapsed().as_secs() as u32);
    assert!((BURST..=allowed).contains(&taken), "{taken} taken, {refused} refused");
    siege.honest_go_on().await;
    siege.end(16 << 10).await;
}

/// Documents that an honest client comes back with: more than it may open, and push to, in one go.
const HONEST: u32 = 2 * BURST;

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_client_that_comes_back_with_too_much_at_once_is_through_with_all_of_it() {
    let settings = [tight("opens"), tight("pushes")].concat();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let server = Server::start_with(None, &[0], &settings).await.expect("the server starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = ClientConfig::new(format!("ws://{}/sync", server.address()), folder.path()).offline();
    let client = Client::open(config).await.expect("opens");
    let mut edits = Vec::new();
    for n in 0..HONEST {
        let document = client.document(&format!("back/{n}")).await.expect("opens offline");
        let ((), edit) = document.change(|tx| tx.put(ROOT, "n", i64::from(n))).expect("made");
        edits.push((document, edit));
    }
    client.go_online().expect("it is open");
    for (document, edit) in &edits {
        document.acknowledged(*edit).await.expect("answered");
    }
    let (_, metrics) = server.get("/metrics").await.expect("it answers");
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let refused = metrics.lines().find_map(|l| l.strip_prefix("rejoin_rejects_total ")).map(str::parse::<u32>);
    assert!(matches!(refused, Some(Ok(1..))), "nobody was told to wait");
    let mut closed = metrics.lines().filter(|l| l.starts_with("rejoin_connections_closed_total{"));
    assert!(closed.all(|l| l.ends_with(" 0")), "it lost its connection");
    client.close().await.expect("closes");
    server.stop().await.expect("it stops politely");
}
