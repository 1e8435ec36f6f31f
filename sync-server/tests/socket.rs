//! The protocol over a real socket, and what HTTP shows of what came in by it.

mod common;

use common::{Client, PATIENCE, Process, blob, change, noise, request, text};
use serde_json::Value;
use sync_core::protocol::{Mode, ServerMessage};
use sync_server::server::STOP_WITHIN;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, Message};

fn json(body: &str) -> Value {
    serde_json::from_str(body).expect("is JSON")
}

#[tokio::test]
async fn a_push_is_acknowledged_shown_to_others_and_there_after_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &[]);
    let (mut writer, opened) = Client::open(server.address, "todos/groceries").await;
    assert_eq!((opened.mode, opened.head.0), (Mode::New, 0));
    let (mut reader, _) = Client::open(server.address, "todos/groceries").await;
    let one = change(1, "milk");
    writer.push(1, std::slice::from_ref(&one)).await;
    let ack = writer.ack().await;
    assert_eq!((ack.batch.0, ack.first.0, ack.count, ack.durable), (1, 1, 1, true));
    let seen = reader.changes().await;
    assert_eq!(seen.first.0, 1);
    server.kill();

    let server = Process::start(dir.path(), &[]);
    let (mut late, opened) = Client::open(server.address, "todos/groceries").await;
    assert_eq!((opened.head.0, opened.digest), (1, ack.digest));
    let seen = late.changes().await;
    assert_eq!(seen.first.0, 1);
    // The same change again is held, not doubled.
    late.push(1, &[one]).await;
    assert_eq!(late.ack().await.held, Some(vec![0]));
    let (status, body) = server.get("/v1/documents/todos%2Fgroceries");
    assert_eq!((status, json(&body)["text"].as_str()), (200, Some("milk")), "{body}");
}

/// More than one turn of a worker writes to, most of them by threads that are not their task's.
#[tokio::test]
async fn what_is_written_reaches_each_of_many_once_and_in_order() {
    const SUBSCRIBERS: usize = 150;
    const CHANGES: u8 = 40;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let (mut writer, _) = Client::open(server.address, "busy").await;
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let (mut reader, _) = Client::open(server.address, "busy").await;
        readers.push(tokio::spawn(async move {
            let mut next = 1;
            while next <= u64::from(CHANGES) {
                let seen = reader.changes().await;
                assert_eq!(seen.first.0, next, "nothing is left out or comes twice");
                next += u64::from(sync_core::pack::count(&seen.pack.expect("has changes").0).expect("is a pack"));
            }
            // It is still answered: whoever wrote for it left it in order.
            reader.push(1, &[]).await;
            reader.ack().await
        }));
    }
    for number in 1..=CHANGES {
        writer.push(number.into(), &[change(number, "all at once")]).await;
    }
    for reader in readers {
        assert!(reader.await.expect("gets all").durable);
    }
}

#[tokio::test]
async fn documents_are_listed_read_and_deleted_over_http() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    for name in ["a", "b/c", "d"] {
        let (mut client, _) = Client::open(server.address, name).await;
        client.push(1, &[change(1, name)]).await;
        client.ack().await;
    }
    let (_, body) = server.get("/v1/documents?limit=2");
    let page = json(&body);
    assert_eq!(page["documents"].as_array().map(Vec::len), Some(2));
    assert_eq!((page["documents"][1]["name"].as_str(), page["next"].as_str()), (Some("b/c"), Some("b/c")));
    let (_, body) = server.get("/v1/documents?limit=2&after=b%2Fc");
    assert_eq!((json(&body)["documents"][0]["name"].as_str(), &json(&body)["next"]), (Some("d"), &Value::Null));

    let (status, bytes) = server.http("GET", "/v1/documents/b%2Fc", "Accept: application/octet-stream\r\n");
    assert_eq!(status, 200);
    automerge::Automerge::load(&bytes).expect("is a saved document");
    assert_eq!(server.get("/v1/documents/none").0, 404);
    assert_eq!(server.get("/v1/documents/a%2F%2Fb").0, 400);
    assert_eq!(server.get("/v1/documents/a?format=xml").0, 400);

    assert_eq!(server.http("DELETE", "/v1/documents/a", "Origin: https://evil.example\r\n").0, 403);
    assert_eq!(server.http("DELETE", "/v1/documents/a", "").0, 204);
    assert_eq!(server.http("DELETE", "/v1/documents/a", "").0, 404);
    assert_eq!(server.get("/v1/documents/a").0, 404);
    let (_, opened) = Client::open(server.address, "a").await;
    assert_eq!(opened.head.0, 0);
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("rejoin_changes_accepted_total 3"), "{metrics}");
    assert!(metrics.contains("rejoin_commit_seconds_bucket"), "{metrics}");
}

#[tokio::test]
async fn a_request_that_is_not_ours_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &["--allow-origin", "https://app.example"]);
    let status = async |change: fn(&mut tungstenite::http::HeaderMap)| {
        let mut request = request(server.address);
        change(request.headers_mut());
        match connect_async(request).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(status(|_| {}).await, 101);
    assert_eq!(status(|h| drop(h.remove("sec-websocket-protocol"))).await, 400);
    let other = |h: &mut tungstenite::http::HeaderMap| {
        h.insert("sec-websocket-protocol", "other.v1".parse().expect("a value"));
    };
    assert_eq!(status(other).await, 400);
    let evil = |h: &mut tungstenite::http::HeaderMap| {
        h.insert("origin", "https://evil.example".parse().expect("a value"));
    };
    assert_eq!(status(evil).await, 403);
    let app = |h: &mut tungstenite::http::HeaderMap| {
        h.insert("origin", "https://app.example".parse().expect("a value"));
    };
    assert_eq!(status(app).await, 101);
    assert_eq!(server.get("/sync").0, 400);
}

/// A page whose own name leads to this machine asks from its own origin, as browsers see it.
#[tokio::test]
async fn a_page_whose_name_leads_here_is_refused_whatever_it_asks_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &["--allow-host", "sync.example"]);
    let upgrade = async |host: &str| {
        let mut request = request(server.address);
        for (name, value) in [("host", host), ("origin", &format!("http://{host}"))] {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        match connect_async(request).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(e) => panic!("{e}"),
        }
    };
    for path in ["/v1/documents", "/metrics", "/none"] {
        let (status, body) = server.request_at("evil.example:8787", "GET", path, "", "");
        let body = json(&text(&body));
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("forbidden-host")), "{path}");
        assert!(body["error"]["message"].as_str().is_some_and(|said| said.contains("--allow-host")), "{body}");
    }
    let own = "Origin: http://evil.example\r\n";
    assert_eq!(server.request_at("evil.example", "DELETE", "/v1/documents/a", own, "").0, 403);
    assert_eq!(upgrade("evil.example").await, 403);
    for host in ["sync.example", "localhost:8787", "notes.localhost", "127.0.0.1", "[::1]:8787"] {
        assert_eq!(server.request_at(host, "GET", "/v1/documents", "", "").0, 200, "{host}");
        assert_eq!(upgrade(host).await, 101, "{host}");
    }
}

#[tokio::test]
async fn what_the_framework_refuses_is_said_as_json_as_well() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let said = |method: &str, path: &str, headers: &str| {
        let (status, body) = server.http(method, path, headers);
        let body = json(&text(&body));
        assert!(body["error"]["message"].as_str().is_some_and(|said| !said.is_empty()), "{method} {path}: {body}");
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |status, code: &str| (status, code.to_owned());
    assert_eq!(said("GET", "/v1/documents?limit=x", ""), refused(400, "bad-request"));
    assert_eq!(said("GET", "/v1/documents/%ff", ""), refused(400, "bad-request"));
    assert_eq!(said("POST", "/v1/documents", ""), refused(405, "method-not-allowed"));
    assert_eq!(said("GET", "/sync", ""), refused(400, "bad-request"));
    assert_eq!(said("GET", "/none", ""), refused(404, "not-found"));
}

#[tokio::test]
async fn what_is_no_frame_closes_the_connection_with_the_stated_code() {
    use futures_util::SinkExt as _;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let check = async |message: Message, code: u16| {
        let mut client = Client::connect(server.address).await;
        client.hello().await;
        client.socket.send(message).await.expect("sends");
        let frame = client.closed().await;
        assert_eq!(u16::from(frame.code), code, "{}", frame.reason);
    };
    check(Message::text("hello"), 4400).await;
    check(Message::binary(vec![0xff; 10]), 4400).await;
    check(Message::binary(vec![0; 70_000]), 4413).await;
}

/// Far beyond the bound the server does not read to the end: the writer finds the connection reset while it still sends, or the close.
#[tokio::test]
async fn a_frame_far_beyond_the_bound_ends_the_connection_unread() {
    use futures_util::SinkExt as _;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let mut client = Client::connect(server.address).await;
    client.hello().await;
    if client.socket.send(Message::binary(vec![0; 8_000_000])).await.is_ok() {
        assert_eq!(u16::from(client.closed().await.code), 4413);
    }
    let (mut beside, _) = Client::open(server.address, "a").await;
    beside.socket.close(None).await.expect("an honest client is not disturbed");
}

#[tokio::test]
async fn a_stopping_server_says_when_to_come_back() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &["--reconnect-within-s", "7"]);
    let (mut client, _) = Client::open(server.address, "a").await;
    let ended = tokio::task::spawn_blocking(move || server.terminate());
    let away = client.until(|m| if let ServerMessage::GoAway(g) = m { Some(g) } else { None }).await;
    assert_eq!(away.reconnect_within_ms, 7_000);
    assert_eq!(u16::from(client.closed().await.code), 1012);
    let status = ended.await.expect("ends");
    assert_eq!(status.code(), Some(0));
}

/// As a device that goes through a tunnel: its system takes little, and then it is not read from.
async fn open_with_small_buffers(address: std::net::SocketAddr, document: &str) -> Client {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("takes a size");
    let stream = socket.connect(address).await.expect("connects");
    let stream = tokio_tungstenite::MaybeTlsStream::Plain(stream);
    let (socket, _) = tokio_tungstenite::client_async(request(address), stream).await.expect("upgrades");
    let mut client = Client::from_socket(socket);
    client.hello().await;
    client.open_as(sync_core::id::DocumentHandle(1), document).await;
    client
}

/// Changes of 900 kB: more in all than what the two systems keep between them.
const LARGE_CHANGES: u8 = 20;

#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_takes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &["--write-within-s", "600", "--heartbeat-s", "600"]);
    let reader = open_with_small_buffers(server.address, "a").await;
    let (mut writer, _) = Client::open(server.address, "a").await;
    for actor in 1..=LARGE_CHANGES {
        writer.push(actor.into(), &[blob(actor, &noise(900_000))]).await;
        writer.ack().await;
    }
    let start = std::time::Instant::now();
    let status = tokio::task::spawn_blocking(move || server.terminate()).await.expect("ends");
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < STOP_WITHIN);
    drop(reader);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &["--write-within-s", "1", "--heartbeat-s", "60"]);
    let reader = open_with_small_buffers(server.address, "a").await;
    let (mut writer, _) = Client::open(server.address, "a").await;
    for actor in 1..=LARGE_CHANGES {
        writer.push(actor.into(), &[blob(actor, &noise(900_000))]).await;
        writer.ack().await;
    }
    drop(writer);
    let start = std::time::Instant::now();
    while !server.get("/metrics").1.contains("rejoin_connections 0") {
        assert!(start.elapsed() < PATIENCE, "it is still connected");
        tokio::task::yield_now().await;
    }
    drop(reader);
}
