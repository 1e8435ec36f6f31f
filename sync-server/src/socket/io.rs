//! What a connection writes to its socket and reads from it: all that is queued at once, without waiting.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use sync_core::id::DocumentName;
use sync_core::protocol::CloseCode;
use tokio_tungstenite::tungstenite;

use super::Event;
use crate::meter;

/// What a queued message counts beside its bytes: a client that pings and does not read queues many small ones.
const QUEUED_MESSAGE_BYTES: usize = 128;

/// Longest reason that fits a close frame.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// A message to write, and whose room's bytes it carries.
pub(super) struct Queued {
    pub(super) bytes: Bytes,
    pub(super) from: Option<(DocumentName, usize)>,
}

pub(super) struct Io {
    pub(super) socket: WebSocket,
    queue: VecDeque<Queued>,
    pub(super) queued: usize,
    /// Given to the socket and not yet flushed.
    pub(super) handed: Vec<(DocumentName, usize)>,
    dirty: bool,
    pub(super) progress: bool,
}

impl Io {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self { socket, queue: VecDeque::new(), queued: 0, handed: Vec::new(), dirty: false, progress: false }
    }

    pub(super) fn push(&mut self, message: Queued) {
        // Patience with the client begins with what is there to be taken, not with what was last taken.
        self.progress |= !self.is_writing();
        self.queued += message.bytes.len() + QUEUED_MESSAGE_BYTES;
        self.queue.push_back(message);
    }

    /// Writes what it can and reads if allowed, whichever gets on first. Dropping the future in between loses nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Event> {
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Event::Flushed),
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
        if !reading {
            return Poll::Pending;
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => Poll::Ready(Event::Read(message)),
            Poll::Ready(Some(Err(e))) => Poll::Ready(Event::ReadFailed(e)),
            Poll::Ready(None) => Poll::Ready(Event::Gone),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready once everything queued has been flushed; pending if there was nothing to do.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.queue.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let Some(Queued { bytes, from }) = self.queue.pop_front() else { break };
            self.queued -= bytes.len() + QUEUED_MESSAGE_BYTES;
            meter::sent(bytes.len());
            if let Some((document, count)) = from {
                self.hand(document, count);
            }
            self.dirty = true;
            self.progress = true;
            if let Err(e) = Pin::new(&mut self.socket).start_send(Message::Binary(bytes)) {
                return Poll::Ready(Err(e));
            }
        }
        if !self.dirty {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.dirty = false;
            self.progress = true;
        }
        flushed
    }

    /// Notes bytes of a document's room. Most flushes are of one document.
    fn hand(&mut self, document: DocumentName, count: usize) {
        match self.handed.last_mut() {
            Some((last, bytes)) if *last == document => *bytes += count,
            _ => self.handed.push((document, count)),
        }
    }

    pub(super) fn is_writing(&self) -> bool {
        self.dirty || !self.queue.is_empty()
    }
}

pub(super) async fn close(mut io: Io, code: CloseCode, reason: String) {
    if io.is_writing() && poll_fn(|cx| io.poll_write(cx)).await.is_err() {
        return;
    }
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let frame = CloseFrame { code: code as u16, reason: reason[..end].into() };
    if io.socket.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    // The client's own close frame ends it; what it sends before is not wanted any more.
    while let Some(Ok(_)) = io.socket.recv().await {}
}

/// How a failed read is answered, if the client is still there.
pub(super) fn refusal(error: axum::Error) -> Option<(CloseCode, &'static str)> {
    match error.into_inner().downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(_) => Some((CloseCode::TooLarge, "the frame is larger than negotiated")),
        tungstenite::Error::Utf8(_) => Some((CloseCode::Malformed, "frames are binary")),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some((CloseCode::Malformed, "no well-formed frame")),
        _ => None,
    }
}
