//! The server's side of one connection: handshake, access, limits, liveness, and the way from frames to rooms and back.
//!
//! Owns nothing of a document; what a session says about one goes to its [`crate::room`]. Never waits: a driver feeds inputs and
//! **drains `poll_output` after every call that takes `now`**.

mod pace;
mod types;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::id::{BatchId, DocumentHandle, DocumentName, SessionId};
use crate::planted::Planted;
use crate::protocol::{
    Assembler, ClientMessage, CloseCode, Expiring, FRAME_BYTES_AT_FIRST, GoAway, Granted, Hello, Open, Part, Reject,
    RejectCode, ServerMessage, VERSION, Welcome, split,
};
use crate::room;
use crate::scope::{Access, Scope, access};
use crate::time::{Instant, WallTime};
use pace::Pace;
pub use pace::Rate;
pub use types::{Config, Grant, Input, Output};

/// How long before its end a token's expiry is announced.
const EXPIRING_BEFORE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    AwaitHello,
    Authenticating,
    Live,
    Closed,
}

#[derive(Clone, Debug)]
struct OpenDocument {
    document: DocumentName,
    access: Access,
    /// Written but not yet reported to the room.
    unreported: usize,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    id: SessionId,
    stage: Stage,
    /// What the client takes beside packs.
    accepts: u32,
    scopes: Vec<Scope>,
    expires: Option<Instant>,
    announced: bool,
    started: Option<Instant>,
    heard: Instant,
    now: Instant,
    opens: Pace,
    pushes: Pace,
    handles: BTreeMap<DocumentHandle, OpenDocument>,
    documents: BTreeMap<DocumentName, DocumentHandle>,
    /// Messages that came before the token was checked; bounded by `message_bytes_max`.
    early: VecDeque<ClientMessage>,
    early_bytes: usize,
    assembler: Assembler,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session on a connection that has just been accepted. Its time begins with the first call that takes `now`: call `handle_timeout` at once.
    pub fn new(config: Config, id: SessionId) -> Self {
        Self {
            opens: Pace::new(config.opens),
            pushes: Pace::new(config.pushes),
            config,
            id,
            stage: Stage::AwaitHello,
            accepts: 0,
            scopes: Vec::new(),
            expires: None,
            announced: false,
            started: None,
            heard: Instant::default(),
            now: Instant::default(),
            handles: BTreeMap::new(),
            documents: BTreeMap::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            assembler: Assembler::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The server's number for this connection.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Bytes of parts of a message that has not come to its end.
    pub fn assembling_bytes(&self) -> usize {
        self.assembler.bytes()
    }

    /// Feeds what happened. Drain `poll_output` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        if self.started.is_none() {
            self.started = Some(now);
            self.heard = now;
        }
        if self.stage == Stage::Closed {
            return;
        }
        match input {
            Input::Frame(bytes) => {
                self.heard = now;
                self.frame(&bytes);
            }
            Input::Authenticated(grant, wall) => self.authenticated(now, grant, wall),
            Input::Room(document, message) => self.hear_room(&document, message),
            Input::Written(document, bytes) => self.written(&document, bytes),
            Input::Shutdown { reason, reconnect_within } => {
                let reconnect_within_ms = u32::try_from(reconnect_within.as_millis()).unwrap_or(u32::MAX);
                self.send(&ServerMessage::GoAway(GoAway {
                    reason: reason.clone(),
                    reconnect_within_ms,
                    address: None,
                }));
                self.close(CloseCode::Restarting, reason);
            }
            Input::Disconnected => self.leave_all(),
        }
    }

    /// Fires what is due. Call it at the time that `poll_timeout` gives. Drain `poll_output` afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.started.is_none() {
            self.started = Some(now);
            self.heard = now;
        }
        if self.stage == Stage::Closed {
            return;
        }
        if self.silence_ends().is_some_and(|at| at <= now) {
            return self.close(CloseCode::Timeout, "nothing heard for too long".into());
        }
        match self.expires {
            Some(at) if at <= now => self.close(CloseCode::Unauthenticated, "the token has expired".into()),
            Some(at) if !self.announced && at - EXPIRING_BEFORE <= now => {
                self.announced = true;
                let in_ms = u32::try_from(at.since(now).as_millis()).unwrap_or(u32::MAX);
                self.send(&ServerMessage::Expiring(Expiring { in_ms }));
            }
            _ => {}
        }
    }

    /// When `handle_timeout` is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stage == Stage::Closed {
            return None;
        }
        let expiry = self.expires.map(|at| if self.announced { at } else { at - EXPIRING_BEFORE });
        [self.silence_ends(), expiry].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn silence_ends(&self) -> Option<Instant> {
        let silences = if self.config.planted.has(Planted::SessionNeverSilent) { 1_000_000 } else { 2 };
        match self.stage {
            Stage::AwaitHello => self.started.map(|at| at + self.config.hello_within),
            Stage::Authenticating | Stage::Live => Some(self.heard + self.config.heartbeat * silences),
            Stage::Closed => None,
        }
    }

    fn frame(&mut self, bytes: &Bytes) {
        // What was sent before `Welcome` was read may come long after it was sent.
        if bytes.len() > FRAME_BYTES_AT_FIRST.max(self.config.limits.frame_bytes_max as usize) {
            return self.close(CloseCode::TooLarge, "the frame is larger than negotiated".into());
        }
        self.messages(bytes, true);
    }

    fn messages(&mut self, bytes: &[u8], parts: bool) {
        let messages = match ClientMessage::decode_all(bytes) {
            Ok(messages) => messages,
            Err(e) => return self.close(e.close_code(), e.to_string()),
        };
        // What waits for the token is charged by frames: the first message of one stands for all of it.
        let mut size = bytes.len();
        for message in messages {
            match (self.stage, message) {
                (Stage::Closed, _) => return,
                (_, ClientMessage::Part(part)) if parts => self.part(&part),
                (_, ClientMessage::Part(_)) => self.close(CloseCode::Malformed, "a part within a part".into()),
                (Stage::AwaitHello, ClientMessage::Hello(hello)) => self.hello(hello),
                (Stage::AwaitHello, _) => self.close(CloseCode::Malformed, "the first message is a hello".into()),
                (_, ClientMessage::Hello(_)) => self.close(CloseCode::Malformed, "a second hello".into()),
                (Stage::Authenticating, message) => self.early(message, std::mem::take(&mut size)),
                (Stage::Live, message) => self.message(message),
            }
        }
    }

    fn part(&mut self, part: &Part) {
        match self.assembler.push(part, self.config.limits.message_bytes_max as usize) {
            Ok(None) => {}
            Ok(Some(whole)) => self.messages(&whole, false),
            Err(e @ crate::protocol::FrameError::TooLarge { .. }) => self.close(CloseCode::TooLarge, e.to_string()),
            Err(e) => self.close(CloseCode::Malformed, e.to_string()),
        }
    }

    fn hello(&mut self, hello: Hello) {
        if !hello.versions.contains(&VERSION) {
            return self.close(CloseCode::NoCommonVersion, format!("this server speaks version {VERSION}"));
        }
        self.stage = Stage::Authenticating;
        self.accepts = hello.accepts;
        self.outputs.push_back(Output::Authenticate(hello.token));
    }

    fn early(&mut self, message: ClientMessage, bytes: usize) {
        self.early_bytes += bytes;
        if self.early_bytes > self.config.limits.message_bytes_max as usize {
            return self.close(CloseCode::Rate, "too much was sent before the token was checked".into());
        }
        self.early.push_back(message);
    }

    fn authenticated(&mut self, now: Instant, grant: Option<Grant>, wall: WallTime) {
        let Some(grant) = grant else {
            return self.close(CloseCode::Unauthenticated, "no valid token".into());
        };
        let left = |at: WallTime| Duration::from_millis(u64::try_from(at.0.saturating_sub(wall.0)).unwrap_or(0));
        self.expires = grant.expires_at.map(|at| now + left(at));
        self.announced = false;
        self.scopes = grant.scopes;
        if self.stage == Stage::Authenticating {
            self.stage = Stage::Live;
            self.send(&ServerMessage::Welcome(Welcome {
                version: VERSION,
                session: self.id,
                store_id: self.config.store_id,
                limits: self.config.limits,
                heartbeat_ms: u32::try_from(self.config.heartbeat.as_millis()).unwrap_or(u32::MAX),
                time: wall,
            }));
        }
        self.send(&ServerMessage::Granted(Granted { scopes: self.scopes.clone(), expires_at: grant.expires_at }));
        self.drop_forbidden();
        for message in std::mem::take(&mut self.early) {
            if self.stage == Stage::Live {
                self.message(message);
            }
        }
        self.early_bytes = 0;
    }

    /// Ends or lowers what the new scopes no longer allow.
    fn drop_forbidden(&mut self) {
        let mut gone = Vec::new();
        for (handle, open) in &mut self.handles {
            match access(&self.scopes, &open.document) {
                Some(now_allowed) => open.access = open.access.min(now_allowed),
                None => gone.push(*handle),
            }
        }
        for handle in gone {
            self.leave(handle);
            self.reject(handle, None, RejectCode::Forbidden, "no scope allows this document any more");
        }
    }

    fn message(&mut self, message: ClientMessage) {
        match message {
            ClientMessage::Auth(auth) => self.outputs.push_back(Output::Authenticate(Some(auth.token))),
            ClientMessage::Open(open) => self.open(open),
            ClientMessage::Push(push) => {
                let Some(open) = self.handles.get(&push.handle) else { return };
                if let Some(rule) = self.config.read_only.iter().find(|pattern| pattern.matches(&open.document)) {
                    let reason = format!("documents under {} can only be read", rule.as_str());
                    return self.reject(push.handle, Some(push.batch), RejectCode::Forbidden, &reason);
                }
                if open.access < Access::Write {
                    let reason = "the scopes allow reading only";
                    return self.reject(push.handle, Some(push.batch), RejectCode::Forbidden, reason);
                }
                if let Err(after) = self.pushes.take(self.now) {
                    return self.too_fast(push.handle, Some(push.batch), after);
                }
                let request = room::Request::Push { batch: push.batch, pack: push.pack.0 };
                self.outputs.push_back(Output::Room(open.document.clone(), request));
            }
            ClientMessage::Have(have) => self.tell_room(have.handle, room::Request::Have(have.clock)),
            ClientMessage::Emit(emit) => {
                if emit.payload.0.len() > self.config.limits.emit_bytes_max as usize {
                    return self.close(CloseCode::TooLarge, "the presence or message is larger than negotiated".into());
                }
                let request = room::Request::Emit { payload: emit.payload.0, ttl_ms: emit.ttl_ms };
                self.tell_room(emit.handle, request);
            }
            ClientMessage::Close(close) => self.leave(close.handle),
            ClientMessage::Ping(ping) => self.send(&ServerMessage::Pong(ping)),
            ClientMessage::Hello(_) | ClientMessage::Part(_) => {}
        }
    }

    fn open(&mut self, open: Open) {
        let handle = open.handle;
        if self.handles.contains_key(&handle) {
            return self.close(CloseCode::Malformed, format!("handle {handle} is in use"));
        }
        if self.handles.len() >= self.config.limits.documents_max as usize {
            return self.close(CloseCode::Rate, "too many open documents".into());
        }
        let document = match DocumentName::parse(&open.document) {
            Ok(document) => document,
            Err(e) => return self.reject(handle, None, RejectCode::BadName, &e.to_string()),
        };
        if self.documents.contains_key(&document) {
            return self.close(CloseCode::Malformed, format!("{document} is open already"));
        }
        let Some(allowed) = access(&self.scopes, &document) else {
            return self.reject(handle, None, RejectCode::Forbidden, "no scope allows this document");
        };
        if let Err(after) = self.opens.take(self.now) {
            return self.too_fast(handle, None, after);
        }
        let (access, accepts) = (allowed.min(open.access), self.accepts);
        self.documents.insert(document.clone(), handle);
        self.handles.insert(handle, OpenDocument { document: document.clone(), access, unreported: 0 });
        self.outputs.push_back(Output::Room(document, room::Request::Join { open: Box::new(open), access, accepts }));
    }

    /// What is said of a handle that is not open was on its way while the room ended it: left unanswered.
    fn tell_room(&mut self, handle: DocumentHandle, request: room::Request) {
        if let Some(open) = self.handles.get(&handle) {
            self.outputs.push_back(Output::Room(open.document.clone(), request));
        }
    }

    fn hear_room(&mut self, document: &DocumentName, message: room::ToSession) {
        let Some(handle) = self.documents.get(document).copied() else { return };
        let bytes = message.message.len();
        if bytes > 0 {
            self.send_bytes(message.message, Some((document.clone(), bytes)));
        }
        match message.then {
            room::Then::Continue => {}
            room::Then::Ended => {
                self.handles.remove(&handle);
                self.documents.remove(document);
            }
            room::Then::Close(code) => self.close(code, "the room refused what was sent".into()),
        }
    }

    fn written(&mut self, document: &DocumentName, bytes: usize) {
        let Some(open) = self.documents.get(document).and_then(|h| self.handles.get_mut(h)) else { return };
        open.unreported += bytes;
        if open.unreported >= self.config.report_bytes {
            let request = room::Request::Flushed(std::mem::take(&mut open.unreported));
            self.outputs.push_back(Output::Room(document.clone(), request));
        }
    }

    fn leave(&mut self, handle: DocumentHandle) {
        if let Some(open) = self.handles.remove(&handle) {
            self.documents.remove(&open.document);
            self.outputs.push_back(Output::Room(open.document, room::Request::Leave));
        }
    }

    fn leave_all(&mut self) {
        let handles: Vec<_> = self.handles.keys().copied().collect();
        for handle in handles {
            self.leave(handle);
        }
        self.stage = Stage::Closed;
    }

    fn close(&mut self, code: CloseCode, reason: String) {
        self.leave_all();
        self.outputs.push_back(Output::Close(code, reason));
    }

    fn reject(&mut self, handle: DocumentHandle, batch: Option<BatchId>, code: RejectCode, reason: &str) {
        self.refuse(handle, batch, code, reason, None);
    }

    fn too_fast(&mut self, handle: DocumentHandle, batch: Option<BatchId>, after: Duration) {
        let reason = "this connection asks faster than the server's settings allow";
        let retry_after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX).max(1);
        self.refuse(handle, batch, RejectCode::Unavailable, reason, Some(retry_after_ms));
    }

    fn refuse(
        &mut self,
        handle: DocumentHandle,
        batch: Option<BatchId>,
        code: RejectCode,
        reason: &str,
        retry_after_ms: Option<u32>,
    ) {
        let reason = reason.into();
        self.send(&ServerMessage::Reject(Reject { handle, batch, code, reason, verdicts: None, retry_after_ms }));
    }

    fn send(&mut self, message: &ServerMessage) {
        self.send_bytes(message.encode(), None);
    }

    fn send_bytes(&mut self, bytes: Bytes, from: Option<(DocumentName, usize)>) {
        match split(&bytes, self.config.limits.frame_bytes_max as usize) {
            None => self.outputs.push_back(Output::Send { bytes, from }),
            Some(parts) => {
                for part in parts {
                    let from = from.as_ref().map(|(document, _)| (document.clone(), part.bytes.0.len()));
                    let bytes = ServerMessage::Part(part).encode();
                    self.outputs.push_back(Output::Send { bytes, from });
                }
            }
        }
    }
}
