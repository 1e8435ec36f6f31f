//! A server as a process of its own, plain HTTP to it, and a raw protocol client. Knows nothing of sync-client.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT};
use futures_util::{SinkExt as _, StreamExt as _};
use sync_core::change::Change;
use sync_core::id::{BatchId, ClientId, DocumentHandle};
use sync_core::pack;
use sync_core::protocol::{Ack, Blob, Changes, ClientMessage, Hello, Open, Opened, Push, Reject, ServerMessage, split};
use sync_core::scope::Access;
use sync_core::table::ChangeTable;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What every server takes in one frame.
const FRAME_BYTES_MAX: usize = 64 << 10;

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync-server"));
    command.args(args).env_remove("REJOIN_DATA").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub line: String,
}

impl Process {
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().expect("a plain path");
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data", data];
        args.extend(more);
        let mut child = command(&args).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("says a line");
        let address = line.split("http://").nth(1).and_then(|r| r.split(' ').next()).and_then(|a| a.parse().ok());
        let address = address.unwrap_or_else(|| panic!("names its address: {line:?}"));
        Self { child, address, line }
    }

    pub fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("runs").success());
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("ends")
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("is killed");
        self.wait();
    }

    /// Status and body.
    pub fn http(&self, method: &str, path: &str, headers: &str) -> (u16, Vec<u8>) {
        self.request(method, path, headers, "")
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Vec<u8>) {
        self.request_at(&self.address.to_string(), method, path, headers, body)
    }

    /// As one asks who knows the server by another name.
    pub fn request_at(&self, host: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("takes a timeout");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n{body}")
            .expect("sends");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answers");
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("has headers");
        let status = text(&answer[9..12]).parse().expect("has a status");
        (status, answer[end + 4..].to_vec())
    }

    /// Posts JSON; status and answer.
    pub fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let (status, answer) = self.request("POST", path, &headers, body);
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.http("GET", path, "");
        (status, text(&body))
    }

    /// Asks until `/readyz` answers with this status.
    pub fn until_ready_is(&self, status: u16) -> String {
        let start = Instant::now();
        loop {
            let (found, body) = self.get("/readyz");
            if found == status {
                return body;
            }
            assert!(start.elapsed() < PATIENCE, "/readyz stays {found}: {body}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One end of a raw conversation.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    inbox: Vec<ServerMessage>,
}

pub fn request(address: SocketAddr) -> tungstenite::handshake::client::Request {
    let mut request = format!("ws://{address}/sync").into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", "rejoin.v1".parse().expect("a value"));
    request
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(request(address)).await.expect("connects");
        Self::from_socket(socket)
    }

    /// A client of a connection that was made in another way.
    pub fn from_socket(socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>) -> Self {
        Self { socket, inbox: Vec::new() }
    }

    /// Connects, says hello and opens a document under handle 1.
    pub async fn open(address: SocketAddr, document: &str) -> (Self, Opened) {
        let mut client = Self::connect(address).await;
        client.hello().await;
        let opened = client.open_as(DocumentHandle(1), document).await;
        (client, opened)
    }

    pub async fn send(&mut self, message: ClientMessage) {
        let message = message.encode();
        let parts = split(&message, FRAME_BYTES_MAX)
            .map(|parts| parts.into_iter().map(|part| ClientMessage::Part(part).encode()));
        let frames = parts.map_or_else(|| vec![message.clone()], Iterator::collect);
        for frame in frames {
            self.socket.send(Message::Binary(frame)).await.expect("sends");
        }
    }

    pub async fn hello(&mut self) {
        self.hello_accepting(0).await;
    }

    pub async fn hello_accepting(&mut self, accepts: u32) {
        let hello = Hello { versions: vec![1], client: ClientId([7; 16]), token: None, accepts };
        self.send(ClientMessage::Hello(hello)).await;
    }

    pub async fn open_as(&mut self, handle: DocumentHandle, document: &str) -> Opened {
        let document = document.into();
        let (cursor, acked, clock, snapshot, packs) = (None, None, None, None, None);
        let open = Open { handle, document, access: Access::Write, cursor, acked, clock, snapshot, packs };
        self.send(ClientMessage::Open(open)).await;
        self.until(|m| if let ServerMessage::Opened(o) = m { Some(o) } else { None }).await
    }

    pub async fn push(&mut self, batch: u64, changes: &[Change]) {
        let pack = pack::encode(changes, 0, &ChangeTable::new()).expect("packs");
        let push = Push { handle: DocumentHandle(1), batch: BatchId(batch), pack: Blob(pack) };
        self.send(ClientMessage::Push(push)).await;
    }

    pub async fn ack(&mut self) -> Ack {
        self.until(|m| match m {
            ServerMessage::Ack(ack) => Some(ack),
            ServerMessage::Reject(reject) => panic!("rejected: {reject:?}"),
            _ => None,
        })
        .await
    }

    pub async fn changes(&mut self) -> Changes {
        self.until(|m| if let ServerMessage::Changes(c) = m { Some(c) } else { None }).await
    }

    pub async fn reject(&mut self) -> Reject {
        self.until(|m| if let ServerMessage::Reject(r) = m { Some(r) } else { None }).await
    }

    /// The first message that `pick` takes; others are dropped.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(ServerMessage) -> Option<T>) -> T {
        loop {
            while !self.inbox.is_empty() {
                if let Some(found) = pick(self.inbox.remove(0)) {
                    return found;
                }
            }
            match self.next().await {
                Some(Message::Binary(bytes)) => self.inbox = ServerMessage::decode_all(&bytes).expect("messages"),
                other => panic!("the connection ended: {other:?}"),
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something in time");
        next.map(|m| m.expect("a message"))
    }

    /// The close frame that ends the conversation; other messages are dropped.
    pub async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.next().await {
                Some(Message::Close(Some(frame))) => return frame,
                Some(_) => {}
                None => panic!("ended without a close frame"),
            }
        }
    }
}

/// One change that makes a text of this content under the key `text`.
pub fn change(actor: u8, content: &str) -> Change {
    let mut document = AutoCommit::new().with_actor(automerge::ActorId::from([actor; 16]));
    let object = document.put_object(ROOT, "text", ObjType::Text).expect("puts");
    document.splice_text(&object, 0, 0, content).expect("splices");
    document.put(ROOT, "size", content.len() as i64).expect("puts");
    let change = document.get_last_local_change().expect("has a change").clone();
    Change::from_automerge(change).expect("fits")
}

/// One change that puts this content as a single value, cheap to make and to check however long it is.
pub fn blob(actor: u8, content: &str) -> Change {
    let mut document = AutoCommit::new().with_actor(automerge::ActorId::from([actor; 16]));
    document.put(ROOT, "blob", content).expect("puts");
    let change = document.get_last_local_change().expect("has a change").clone();
    Change::from_automerge(change).expect("fits")
}

/// Text that does not deflate.
pub fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state >> 32) as u8 % 94)
    };
    (0..bytes).map(|_| draw()).collect()
}
