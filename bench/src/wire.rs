//! The lean client that makes load: the protocol's messages over a WebSocket whose bytes are counted on the socket.
//!
//! Keeps no document and no store. A row that needs a log keeps one itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sync_core::id::{ClientId, DocumentHandle};
use sync_core::protocol::{ClientMessage, Hello, Open, Opened, SUBPROTOCOL, ServerMessage};
use sync_core::scope::Access;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::figures::Error;

/// How long anything may take on a busy machine before a row fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The generator's own buffers; small, since it holds thousands of connections.
const BUFFER_BYTES: usize = 4 << 10;

/// Bytes that went over a connection, headers of WebSocket frames included, since the upgrade.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    up: AtomicU64,
    down: AtomicU64,
}

/// A TCP stream that counts.
#[derive(Debug)]
pub(crate) struct Counted(TcpStream, Arc<Counts>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buffer);
        self.1.down.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.0).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &polled {
            self.1.up.fetch_add(*count as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A WebSocket to a server.
pub(crate) struct Socket {
    stream: WebSocketStream<Counted>,
    counts: Arc<Counts>,
}

impl Socket {
    /// Connects to a path, asking for our subprotocol.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self, Error> {
        Self::dial(address, path, Some(SUBPROTOCOL)).await
    }

    /// Connects to a path, asking for a subprotocol if there is one to ask for.
    pub(crate) async fn dial(address: SocketAddr, path: &str, subprotocol: Option<&str>) -> Result<Self, Error> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let counts = Arc::new(Counts::default());
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse()?);
        }
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let (stream, _) = client_async_with_config(request, Counted(tcp, counts.clone()), Some(config)).await?;
        counts.up.store(0, Ordering::Relaxed);
        counts.down.store(0, Ordering::Relaxed);
        Ok(Self { stream, counts })
    }

    /// Sends one binary frame.
    pub(crate) async fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        Ok(self.stream.send(Message::Binary(frame)).await?)
    }

    /// The next binary frame, waiting at most [`PATIENCE`].
    pub(crate) async fn next(&mut self) -> Result<Bytes, Error> {
        // Pings don't count: a server that sends nothing else is as good as silent.
        let next = tokio::time::timeout(PATIENCE, self.binary()).await;
        next.map_err(|_| format!("nothing came within {} s", PATIENCE.as_secs()))?
    }

    async fn binary(&mut self) -> Result<Bytes, Error> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Close(frame))) => return Err(format!("the server closed: {frame:?}").into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the connection ended".into()),
            }
        }
    }

    /// Reads for ever what nobody waits for, until the connection ends.
    pub(crate) async fn hold(&mut self) {
        while self.binary().await.is_ok() {}
    }

    /// Bytes sent and received since the upgrade.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.counts.up.load(Ordering::Relaxed), self.counts.down.load(Ordering::Relaxed))
    }
}

/// The one handle that most rows use.
pub(crate) const HANDLE: DocumentHandle = DocumentHandle(1);

/// A connection that speaks the protocol.
pub(crate) struct Client {
    /// The socket below.
    pub(crate) socket: Socket,
    inbox: VecDeque<ServerMessage>,
    trips: u32,
    /// Something came since the last frame was sent.
    heard: bool,
}

impl Client {
    /// Connects and says nothing yet.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        Ok(Self { socket: Socket::connect(address, "/sync").await?, inbox: VecDeque::new(), trips: 0, heard: true })
    }

    /// Connects, says hello and opens a document with nothing held, all in one frame.
    pub(crate) async fn open(address: SocketAddr, document: &str) -> Result<(Self, Opened), Error> {
        let mut client = Self::connect(address).await?;
        client.send(&[hello(), open(document)]).await?;
        let opened = client.opened().await?;
        Ok((client, opened))
    }

    /// Sends messages as one frame.
    pub(crate) async fn send(&mut self, messages: &[ClientMessage]) -> Result<(), Error> {
        self.trips += u32::from(std::mem::take(&mut self.heard));
        let frame: Vec<u8> = messages.iter().flat_map(|message| message.encode().to_vec()).collect();
        self.socket.send(frame.into()).await
    }

    /// The next message. One that refuses something is an error: no row expects any.
    pub(crate) async fn next(&mut self) -> Result<ServerMessage, Error> {
        loop {
            match self.inbox.pop_front() {
                Some(ServerMessage::Reject(reject)) => return Err(format!("rejected: {reject:?}").into()),
                Some(message) => return Ok(message),
                None => {
                    let frame = self.socket.next().await?;
                    self.heard = true;
                    self.inbox.extend(ServerMessage::decode_all(&frame)?);
                }
            }
        }
    }

    /// Round trips since the upgrade: how often it sent what it could not send before it had heard something.
    pub(crate) fn trips(&self) -> u32 {
        self.trips
    }

    /// Sends all pushes, with at most so many unanswered.
    pub(crate) async fn pipeline(&mut self, frames: &mut VecDeque<Bytes>, in_flight: usize) -> Result<(), Error> {
        let mut open = 0;
        while open > 0 || !frames.is_empty() {
            while open < in_flight
                && let Some(frame) = frames.pop_front()
            {
                self.socket.send(frame).await?;
                open += 1;
            }
            open -= usize::from(matches!(self.next().await?, ServerMessage::Ack(_)));
        }
        Ok(())
    }

    /// Waits for the answer to `Open`.
    pub(crate) async fn opened(&mut self) -> Result<Opened, Error> {
        loop {
            if let ServerMessage::Opened(opened) = self.next().await? {
                return Ok(opened);
            }
        }
    }
}

/// The first message of a client that takes packs alone.
pub(crate) fn hello() -> ClientMessage {
    hello_accepting(0)
}

/// The first message.
pub(crate) fn hello_accepting(accepts: u32) -> ClientMessage {
    ClientMessage::Hello(Hello { versions: vec![1], client: ClientId([7; 16]), token: None, accepts })
}

/// Opens a document for writing under [`HANDLE`], with nothing held.
pub(crate) fn open(document: &str) -> ClientMessage {
    ClientMessage::Open(Open {
        handle: HANDLE,
        document: document.into(),
        access: Access::Write,
        cursor: None,
        acked: None,
        clock: None,
        snapshot: None,
        packs: None,
    })
}
