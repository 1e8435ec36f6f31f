//! One connection to the server, from the attempt to its end.
//!
//! Owns a WebSocket for its lifetime. Whether and when to try again is the replica's business.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sync_core::protocol::SUBPROTOCOL;
use sync_core::replica::Input;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::Driver;

/// Largest WebSocket message taken from a server; the connection ends at a larger one.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// tungstenite fills its whole read buffer with zeros before each read, so a large one costs memory and time.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// Frames are gathered up to here before a write.
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// What may gather while the peer does not read; one frame beyond waits outside.
const WRITE_BUFFER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// How long to wait for a polite close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where and how long to try.
#[derive(Clone)]
pub(crate) struct Target {
    /// The server's address.
    pub(crate) uri: Uri,
    /// An attempt that takes longer is given up.
    pub(crate) connect_within: Duration,
    /// For an address that begins with `wss`.
    pub(crate) tls: Option<Connector>,
}

/// The driver's end of a connection. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Tells this connection from earlier ones, whose late words are not heard.
    pub(crate) generation: u64,
    /// Whether the handshake has succeeded.
    pub(crate) connected: bool,
    frames: mpsc::UnboundedSender<Bytes>,
    _cancel: oneshot::Sender<()>,
}

impl Connection {
    /// Queues a frame. Frames queued on a connection that has just broken go with it.
    ///
    /// The queue has no bound of its own: pushes are bounded by the replica's `in_flight_bytes_max` per document, emits by
    /// [`super::SEND_QUEUE_BYTES_MAX`], and a peer that reads nothing is dropped after two heartbeats.
    pub(crate) fn send(&self, frame: Bytes) {
        // An error means that the connection's task has ended, which it reports by itself.
        let _ = self.frames.send(frame);
    }
}

/// Starts an attempt.
pub(crate) fn connect(driver: Arc<Driver>, target: Target, generation: u64) -> Connection {
    let (frames, outgoing) = mpsc::unbounded_channel();
    let (cancel, cancelled) = oneshot::channel();
    let runtime = driver.runtime.clone();
    runtime.spawn(run(driver, target, generation, outgoing, cancelled));
    Connection { generation, connected: false, frames, _cancel: cancel }
}

async fn run(
    driver: Arc<Driver>,
    target: Target,
    generation: u64,
    outgoing: mpsc::UnboundedReceiver<Bytes>,
    mut cancelled: oneshot::Receiver<()>,
) {
    let attempt = tokio::select! {
        result = timeout(target.connect_within, handshake(target.uri, target.tls)) => result,
        _ = &mut cancelled => return,
    };
    let reason = match attempt {
        Err(_) => format!("no answer within {:?}", target.connect_within),
        Ok(Err(e)) => e.to_string(),
        Ok(Ok(socket)) => {
            if !driver.feed(generation, Input::Connected(Driver::wall())) {
                return;
            }
            converse(&driver, generation, socket, outgoing, cancelled).await
        }
    };
    tracing::debug!(%reason, "connection ended");
    driver.disconnected(generation, reason);
}

async fn handshake(uri: Uri, tls: Option<Connector>) -> Result<Socket, tungstenite::Error> {
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    // `true` sets TCP_NODELAY: without it the first frame after the handshake waits 40 ms.
    let (socket, _) = connect_async_tls_with_config(request, Some(config), true, tls).await?;
    Ok(socket)
}

/// Carries frames both ways until either side is done; says why it ended. The two directions don't wait for each other: a server
/// that is busy writing to us must not keep us from reading it.
async fn converse(
    driver: &Arc<Driver>,
    generation: u64,
    socket: Socket,
    mut outgoing: mpsc::UnboundedReceiver<Bytes>,
    cancelled: oneshot::Receiver<()>,
) -> String {
    let (mut sink, mut stream) = socket.split();
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            let mut written = frame.len();
            sink.feed(Message::Binary(frame)).await?;
            // What has queued up meanwhile goes out with the same flush.
            while let Ok(frame) = outgoing.try_recv() {
                written += frame.len();
                sink.feed(Message::Binary(frame)).await?;
            }
            sink.flush().await?;
            driver.written(written);
        }
        Ok::<_, tungstenite::Error>(())
    };
    let read = async {
        while let Some(message) = stream.next().await {
            match message? {
                Message::Binary(frame) => {
                    if !driver.feed(generation, Input::Frame(frame)) {
                        break;
                    }
                }
                Message::Text(_) => return Ok("the server sent text, which is not our protocol".into()),
                Message::Close(frame) => return Ok(close_reason(frame)),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok::<_, tungstenite::Error>("the connection ended".to_owned())
    };
    let reason = tokio::select! {
        result = read => result.unwrap_or_else(|e| e.to_string()),
        result = write => result.map_or_else(|e| e.to_string(), |()| "closed by this side".to_owned()),
        _ = cancelled => "closed by this side".to_owned(),
    };
    // Polite if the peer still listens; if not, dropping the socket ends it.
    let _ = timeout(CLOSE_WITHIN, sink.close()).await;
    reason
}

fn close_reason(frame: Option<CloseFrame>) -> String {
    match frame {
        Some(frame) if !frame.reason.is_empty() => {
            format!("the server closed: {} ({})", frame.reason, u16::from(frame.code))
        }
        Some(frame) => format!("the server closed ({})", u16::from(frame.code)),
        None => "the server closed".into(),
    }
}
