//! A client made of bytes: TCP, and WebSocket frames written by hand, so that each of them can be wrong.
//!
//! Owns the framing and nothing else: it masks, counts and refuses nothing by itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sync_core::id::{BatchId, ClientId, DocumentHandle};
use sync_core::protocol::{Assembler, Blob, ClientMessage, Hello, Open, Ping, Push, ServerMessage, WireLimits, split};
use sync_core::scope::Access;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::parts;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opcodes of RFC 6455.
pub const CONTINUATION: u8 = 0;
/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;
/// A close frame.
pub const CLOSE: u8 = 8;
/// A ping frame.
pub const PING: u8 = 9;
/// A pong frame.
pub const PONG: u8 = 10;

/// The bit that ends a message, in a frame's first byte.
pub const FIN: u8 = 0x80;

/// The request that turns a connection into a WebSocket.
pub const UPGRADE: &str = "GET /sync HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: rejoin.v1\r\n\r\n";

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code.
    Code(u16),
    /// With an HTTP answer of this status.

    /// Without a word.
    Dropped,
}

/// A frame as a client sends it: masked, of the right length. `first` is the first byte: `FIN`, reserved bits and the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64, true);
    out.extend(payload);
    out
}

/// The head of a frame that claims `length` bytes; with a mask of zeros, which leaves the payload as it is.
pub fn header(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut out = vec![first];
    match length {
        0..=125 => out.push(mask | length as u8),
        126..=0xffff => {
            out.push(mask | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend(length.to_be_bytes());
        }
    }
    if masked {
        out.extend([0; 4]);
    }
    out
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
    messages: Vec<ServerMessage>,
    assembler: Assembler,
    ended: Option<End>,
}

impl Raw {
    /// A bare TCP connection.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new(), messages: Vec::new(), assembler: Assembler::new(), ended: None })
    }

    /// A WebSocket on which nothing was said yet.
    pub async fn upgraded(address: SocketAddr) -> io::Result<Self> {
        let mut raw = Self::connect(address).await?;
        raw.bytes(UPGRADE.as_bytes()).await?;
        let status = raw.http_status().await?;
        if status == 101 { Ok(raw) } else { Err(io::Error::other(format!("the upgrade is answered with {status}"))) }
    }

    /// A connection that has said hello.
    pub async fn greeted(address: SocketAddr) -> io::Result<Self> {
        let mut raw = Self::upgraded(address).await?;
        raw.say(&hello(&[1])).await?;
        Ok(raw)
    }

    /// A connection that has a document open for writing, under handle 1.
    pub async fn opened(address: SocketAddr, document: &str) -> io::Result<Self> {
        let mut raw = Self::greeted(address).await?;
        raw.say(&open(1, document)).await?;
        raw.until(|m| matches!(m, ServerMessage::Opened(_)).then_some(())).await?;
        Ok(raw)
    }

    /// Sends bytes as they are.
    pub async fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time(self.stream.write_all(bytes)).await
    }

    /// Sends as much as the other side takes until it stands still for a moment, or all; gives the number of bytes.
    pub async fn bytes_until_stuck(&mut self, bytes: &[u8], still: Duration) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match tokio::time::timeout(still, self.stream.write(&bytes[sent..])).await {
                Ok(written) => sent += written?,
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Sends a binary frame.
    pub async fn binary(&mut self, payload: &[u8]) -> io::Result<()> {
        self.bytes(&frame(FIN | BINARY, payload)).await
    }

    /// Sends a message in a frame of its own.
    pub async fn say(&mut self, message: &ClientMessage) -> io::Result<()> {
        self.binary(&message.encode()).await
    }

    /// Sends an encoded message, in parts if it is larger than a frame.
    pub async fn whole(&mut self, message: &bytes::Bytes) -> io::Result<()> {
        let Some(parts) = split(message, WireLimits::default().frame_bytes_max as usize) else {
            return self.binary(message).await;
        };
        for part in parts {
            self.say(&ClientMessage::Part(part)).await?;
        }
        Ok(())
    }

    /// How the connection has ended, if that was found while something else was waited for.
    pub fn ended(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// Ends the sending side.
    pub async fn shut(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The first message that `pick` takes, put together if it came in parts; those before are dropped.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(ServerMessage) -> Option<T>) -> io::Result<T> {
        loop {
            while !self.messages.is_empty() {
                if let Some(found) = pick(self.messages.remove(0)) {
                    return Ok(found);
                }
            }
            let (opcode, payload) = self.next_frame().await?;
            match opcode {
                BINARY => {
                    let whole = parts::whole(&mut self.assembler, &payload);
                    self.messages = whole.ok_or_else(|| io::Error::other("the server sent what does not decode"))?;
                }
                CLOSE => {
                    self.ended = Some(code(&payload).map_or(End::Dropped, End::Code));
                    return Err(io::Error::other(format!("closed with {:?}", self.ended)));
                }
                _ => {}
            }
        }
    }

    /// Reads until the connection ends and says how.
    pub async fn end(&mut self) -> End {
        loop {
            match self.next_frame().await {
                Ok((CLOSE, payload)) => return code(&payload).map_or(End::Dropped, End::Code),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::TimedOut => panic!("the connection does not end"),
                Err(_) => return End::Dropped,
            }
        }
    }

    /// Whether the server still answers.
    pub async fn is_open(&mut self) -> bool {
        let ping = ClientMessage::Ping(Ping { nonce: u32::MAX });
        let pong = |m| matches!(m, ServerMessage::Pong(p) if p.nonce == u32::MAX).then_some(());
        self.say(&ping).await.is_ok() && self.until(pong).await.is_ok()
    }

    /// All bytes until the connection ends.
    pub async fn to_end(&mut self) -> Vec<u8> {
        while let Ok(read) = in_time(self.stream.read_buf(&mut self.read)).await {
            if read == 0 {
                break;
            }
        }
        std::mem::take(&mut self.read)
    }

    /// The next frame of the server: opcode and payload.
    pub async fn next_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(array(&self.take(2).await?)?)),
            127 => u64::from_be_bytes(array(&self.take(8).await?)?),
            short => u64::from(short),
        };
        Ok((head[0] & 0x0f, self.take(length as usize).await?))
    }

    /// The status of an HTTP answer, whose head is read.
    pub async fn http_status(&mut self) -> io::Result<u16> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1).await?);
        }
        let status = std::str::from_utf8(&head).ok().and_then(|h| h.split(' ').nth(1)?.parse().ok());
        status.ok_or_else(|| io::Error::other("no HTTP status"))
    }

    async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            if in_time(self.stream.read_buf(&mut self.read)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.read.drain(..count).collect())
    }
}

/// `Hello` with these versions.
pub fn hello(versions: &[u32]) -> ClientMessage {
    ClientMessage::Hello(Hello { versions: versions.to_vec(), client: ClientId([9; 16]), token: None, accepts: 0 })
}

/// `Open` for writing by a client that holds nothing.
pub fn open(handle: u32, document: &str) -> ClientMessage {
    ClientMessage::Open(Open {
        handle: DocumentHandle(handle),
        document: document.into(),
        access: Access::Write,
        cursor: None,
        acked: None,
        clock: None,
        snapshot: None,
        packs: None,
    })
}

/// `Push` of a pack under handle 1.
pub fn push(batch: u64, pack: impl Into<bytes::Bytes>) -> ClientMessage {
    ClientMessage::Push(Push { handle: DocumentHandle(1), batch: BatchId(batch), pack: Blob(pack.into()) })
}

fn code(payload: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]))
}

fn array<const N: usize>(bytes: &[u8]) -> io::Result<[u8; N]> {
    bytes.try_into().map_err(io::Error::other)
}

async fn in_time<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, io).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
