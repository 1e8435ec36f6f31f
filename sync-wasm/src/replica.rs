//! `Replica`: the client's machine, turned by a driver in JavaScript.
//!
//! Inputs and timeouts go in with the driver's time in milliseconds; after each call the driver takes outputs until there is none.
//! Owns no rule: every call is one of `sync_core::replica`.

use std::time::Duration;

use automerge::{Automerge, ChangeMetadata};
use bytes::Bytes;
use js_sys::{Array, Function, Object};
use sync_core::document::InitValue;
use sync_core::id::{AuthorName, ChangeHash, DocumentName, TaskId};
use sync_core::replica::{self, DocumentId, EditError, Input, TabId};
use sync_core::settlement::Seen;
use sync_core::storage::LocalDone;
use sync_core::time::{Instant, WallTime};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::cursor::{self, Unit};
use crate::edit::{self, Edit};
use crate::error::EngineError;
use crate::{conflicts, js, marks, output, touched, value};

/// The client's machine.
#[wasm_bindgen]
pub struct Replica(replica::Replica);

/// A time of the driver's clock, which counts in milliseconds.
fn at(now_ms: f64) -> Instant {
    Instant((now_ms * 1000.0).max(0.0) as u64)
}

#[wasm_bindgen]
impl Replica {
    /// A machine that first asks its local store who it is. `seed`: 32 random bytes. `tab`: its number among the tabs on the store, of which
    /// it follows another until it is told to lead; without one it is alone. `author`: who edits, as every change is to name them.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: &[u8], online: bool, tab: Option<u32>, author: Option<String>) -> Result<Replica, EngineError> {
        let seed: [u8; 32] = seed.try_into().map_err(|_| EngineError::bad_value("a seed has 32 bytes"))?;
        let author = author.as_deref().map(AuthorName::parse).transpose();
        let author = author.map_err(|e| EngineError::bad_value(e.to_string()))?;
        let tab = tab.map(TabId);
        let config = replica::Config { online, tab, author, holds: true, ..replica::Config::default() };
        Ok(Self(replica::Replica::new(config, seed)))
    }

    /// The next thing to do; `undefined` if there is none.
    #[wasm_bindgen(js_name = pollOutput, unchecked_return_type = "Output | undefined")]
    pub fn poll_output(&mut self) -> JsValue {
        while let Some(next) = self.0.poll_output() {
            if let Some(output) = output::output(next) {
                return output.into();
            }
        }
        JsValue::UNDEFINED
    }

    /// When `handleTimeout` is due, on the driver's clock.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> Option<f64> {
        self.0.poll_timeout().map(|at| at.0 as f64 / 1000.0)
    }

    /// Fires what is due.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now_ms: f64) {
        self.0.handle_timeout(at(now_ms));
    }

    /// The attempt that `connect` asked for succeeded, at this time by the device's clock.
    #[wasm_bindgen(js_name = handleConnected)]
    pub fn handle_connected(&mut self, now_ms: f64, wall_ms: f64) {
        self.0.handle_input(at(now_ms), Input::Connected(WallTime(wall_ms as i64)));
    }

    /// A binary message came.
    #[wasm_bindgen(js_name = handleFrame)]
    pub fn handle_frame(&mut self, now_ms: f64, frame: Vec<u8>) {
        self.0.handle_input(at(now_ms), Input::Frame(Bytes::from(frame)));
    }

    /// The attempt failed, or the connection is gone.
    #[wasm_bindgen(js_name = handleDisconnected)]
    pub fn handle_disconnected(&mut self, now_ms: f64) {
        self.0.handle_input(at(now_ms), Input::Disconnected);
    }

    /// The network may be back.
    #[wasm_bindgen(js_name = handleNetworkChanged)]
    pub fn handle_network_changed(&mut self, now_ms: f64) {
        self.0.handle_input(at(now_ms), Input::NetworkChanged);
    }

    /// This tab leads from now on. No leader before has had an epoch as high, or writes to the store any more.
    #[wasm_bindgen(js_name = handleLead)]
    pub fn handle_lead(&mut self, now_ms: f64, epoch: f64) {
        self.0.handle_input(at(now_ms), Input::Lead(epoch as u64));
    }

    /// A commit failed since another tab leads. It is not answered otherwise.
    #[wasm_bindgen(js_name = handleDeposed)]
    pub fn handle_deposed(&mut self, now_ms: f64) {
        self.0.handle_input(at(now_ms), Input::Deposed);
    }

    /// Another tab may have the number that this one had; it has this one from now on.
    #[wasm_bindgen(js_name = handleSeat)]
    pub fn handle_seat(&mut self, now_ms: f64, tab: u32) {
        self.0.handle_input(at(now_ms), Input::Seat(TabId(tab)));
    }

    /// Another tab said something.
    #[wasm_bindgen(js_name = handleTold)]
    pub fn handle_told(&mut self, now_ms: f64, from: u32, message: Vec<u8>) {
        self.0.handle_input(at(now_ms), Input::Told(TabId(from), Bytes::from(message)));
    }

    /// A tab has ended, with or without a word.
    #[wasm_bindgen(js_name = handleGone)]
    pub fn handle_gone(&mut self, now_ms: f64, tab: u32) {
        self.0.handle_input(at(now_ms), Input::Gone(TabId(tab)));
    }

    /// Tells the other tabs that this one ends.
    #[wasm_bindgen(js_name = leaveTabs)]
    pub fn leave_tabs(&mut self) {
        self.0.leave_tabs();
    }

    /// Whether a connection to the server stands, be it the leader's.
    #[wasm_bindgen(js_name = isOnline)]
    pub fn is_online(&self) -> bool {
        self.0.is_online()
    }

    /// A `read` is done: the rows of each table that was asked for, in key order.
    #[wasm_bindgen(js_name = handleRows)]
    pub fn handle_rows(
        &mut self,
        now_ms: f64,
        task: f64,
        #[wasm_bindgen(unchecked_param_type = "Row[][]")] tables: &Array,
    ) -> Result<(), EngineError> {
        let done = LocalDone::Read(Ok(output::rows(tables)?));
        self.0.handle_input(at(now_ms), Input::StoreDone(TaskId(task as u64), done));
        Ok(())
    }

    /// A `read` failed.
    #[wasm_bindgen(js_name = handleReadFailed)]
    pub fn handle_read_failed(
        &mut self,
        now_ms: f64,
        task: f64,
        #[wasm_bindgen(unchecked_param_type = "StoreFailure")] failure: &JsValue,
    ) {
        let done = LocalDone::Read(Err(output::store_error(failure)));
        self.0.handle_input(at(now_ms), Input::StoreDone(TaskId(task as u64), done));
    }

    /// A `commit` is durable, or failed and left nothing.
    #[wasm_bindgen(js_name = handleCommitted)]
    pub fn handle_committed(
        &mut self,
        now_ms: f64,
        task: f64,
        #[wasm_bindgen(unchecked_param_type = "StoreFailure | undefined")] failure: &JsValue,
    ) {
        let result = if failure.is_undefined() { Ok(()) } else { Err(output::store_error(failure)) };
        self.0.handle_input(at(now_ms), Input::StoreDone(TaskId(task as u64), LocalDone::Committed(result)));
    }

    /// Whether the local store has said who this client is.
    #[wasm_bindgen(js_name = isIdentified)]
    pub fn is_identified(&self) -> bool {
        self.0.client_id().is_some()
    }

    /// Opens a document; the same name gives the same number. `ready` or `failed` follows.
    pub fn open(&mut self, now_ms: f64, name: &str) -> Result<u32, EngineError> {
        Ok(self.0.open(at(now_ms), DocumentName::parse(name)?).0)
    }

    /// Closes a document. What is unsaved still goes to the local store.
    pub fn close(&mut self, document: u32) {
        self.0.close(DocumentId(document));
    }

    /// The value now, frozen; `undefined` until the document is loaded. `special(container, key, kind)` is told of texts and counters.
    #[wasm_bindgen(unchecked_return_type = "unknown")]
    pub fn value(
        &self,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Special")] special: &Function,
    ) -> Result<JsValue, JsValue> {
        let id = DocumentId(document);
        let read = |automerge: &Automerge| value::show_document(automerge, None, &self.0.marked(id), special);
        self.0.read(id, read).unwrap_or(Ok(JsValue::UNDEFINED))
    }

    /// The marks of the text at `path`; `undefined` if it has none.
    #[wasm_bindgen(unchecked_return_type = "readonly Mark[] | undefined")]
    pub fn marks(
        &self,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &Array,
    ) -> Result<JsValue, EngineError> {
        let path = edit::path(path)?;
        let read = self.0.read(DocumentId(document), |automerge| marks::at(automerge, &path, None));
        Ok(read.flatten().map_or(JsValue::UNDEFINED, JsValue::from))
    }

    /// Applies what was received and waits. `value` has it then.
    #[wasm_bindgen(js_name = applyWaiting)]
    pub fn apply_waiting(&mut self, now_ms: f64, document: u32) {
        self.0.apply_waiting(at(now_ms), DocumentId(document));
    }

    /// The value as the author of a change saw it, with the change; as `value` otherwise. `undefined` if the document does not have it.
    #[wasm_bindgen(js_name = valueAt, unchecked_return_type = "unknown")]
    pub fn value_at(
        &self,
        document: u32,
        change: &str,
        #[wasm_bindgen(unchecked_param_type = "Special")] special: &Function,
    ) -> Result<JsValue, JsValue> {
        let change = hash(change)?;
        let id = DocumentId(document);
        let read = |automerge: &Automerge| {
            let is_held = automerge.get_change_meta_by_hash(&change).is_some();
            is_held.then(|| value::show_document(automerge, Some(&[change]), &self.0.marked(id), special))
        };
        self.0.read(id, read).flatten().unwrap_or(Ok(JsValue::UNDEFINED))
    }

    /// All changes of a document, each after those that it stands on.
    #[wasm_bindgen(unchecked_return_type = "Version[]")]
    pub fn history(&self, document: u32) -> Array {
        let id = DocumentId(document);
        let version = |change: &ChangeMetadata<'_>| output::version(change, self.0.is_own(id, &change.actor));
        let read = |automerge: &Automerge| automerge.get_changes_meta(&[]).iter().map(version).collect();
        self.0.read(id, read).unwrap_or_default()
    }

    /// A cursor for a place in a text or list; `utf16` counts as JavaScript does, else as edits do.
    pub fn cursor(
        &self,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &Array,
        index: f64,
        utf16: bool,
    ) -> Result<String, EngineError> {
        let (path, index) = (edit::path(path)?, js::index(&index.into())?);
        let unit = if utf16 { Unit::Utf16 } else { Unit::CodePoint };
        let made = self.0.read(DocumentId(document), |automerge| cursor::make(automerge, &path, index, unit));
        made.unwrap_or(Err(EditError::NotReady.into()))
    }

    /// Cursors for `count` elements from `index` on, as edits count: the first of each run of consecutive operations of one author, and how
    /// many it has.
    #[wasm_bindgen(unchecked_return_type = "Run[]")]
    pub fn cursors(
        &self,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &Array,
        index: u32,
        count: u32,
    ) -> Result<Array, EngineError> {
        let (path, index, count) = (edit::path(path)?, index as usize, count as usize);
        let runs = self.0.read(DocumentId(document), |automerge| cursor::runs(automerge, &path, index, count));
        let runs = runs.unwrap_or_else(|| Ok(Vec::new()))?.into_iter();
        Ok(runs.map(|(cursor, count)| Array::of2(&cursor.into(), &js::number(count as u64).into())).collect())
    }

    /// Where a cursor stands now, as JavaScript counts; `undefined` if its place is not in the document.
    pub fn position(&self, document: u32, cursor: &str) -> Option<usize> {
        self.0.read(DocumentId(document), |automerge| cursor::position(automerge, cursor, Unit::Utf16)).flatten()
    }

    /// Where the very element of a cursor stands in what is at `path`, as edits count; `undefined` if it is there no more.
    pub fn exact(
        &self,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &Array,
        cursor: &str,
    ) -> Option<usize> {
        let path = edit::path(path).ok()?;
        self.0.read(DocumentId(document), |automerge| cursor::exact(automerge, &path, cursor)).flatten()
    }

    /// What is held of a document, for whoever looks into it; `undefined` until it is loaded.
    #[wasm_bindgen(unchecked_return_type = "Held | undefined")]
    pub fn holds(&self, document: u32) -> JsValue {
        self.0
            .holds(DocumentId(document))
            .map_or(JsValue::UNDEFINED, |(cursor, clock)| output::held(cursor, &clock).into())
    }

    /// Tells whoever has the document open what this connection's presence is, for `ttl_ms`. An empty one ends it.
    pub fn emit(&mut self, document: u32, payload: Vec<u8>, ttl_ms: f64) {
        self.0.emit(DocumentId(document), Bytes::from(payload), Some(Duration::from_millis(ttl_ms.max(0.0) as u64)));
    }

    /// The number of a document that this tab or, through it, another one has open.
    #[wasm_bindgen(js_name = documentId)]
    pub fn document_id(&self, name: &str) -> Option<u32> {
        self.0.document_id(&DocumentName::parse(name).ok()?).map(|id| id.0)
    }

    /// Its name.
    #[wasm_bindgen(js_name = documentName)]
    pub fn document_name(&self, document: u32) -> Option<String> {
        self.0.document_name(DocumentId(document)).map(ToString::to_string)
    }

    /// Does all edits as one change, or none of them. Gives the number to wait for. A row of the outbox, if one is given, is set in the
    /// transaction that saves the change; it is the driver's own.
    pub fn change(
        &mut self,
        now_ms: f64,
        wall_ms: f64,
        document: u32,
        #[wasm_bindgen(unchecked_param_type = "Edit[]")] edits: &Array,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Result<f64, EngineError> {
        let (edits, wall) = (Edit::list_from_js(edits)?, WallTime(wall_ms as i64));
        let done = self.0.change_beside(at(now_ms), wall, DocumentId(document), key.zip(value), &mut |tx| {
            edits.iter().try_for_each(|edit| edit.apply(tx))
        });
        Ok(js::number(done?.0))
    }

    /// Creates a root key, the same on all devices: `kind` is `map`, `list`, `text` or `counter` (which starts at `start`).
    pub fn init(
        &mut self,
        now_ms: f64,
        document: u32,
        key: &str,
        kind: &str,
        start: Option<f64>,
    ) -> Result<(), EngineError> {
        let start = js::integer(&start.unwrap_or_default().into());
        let value = match (kind, start) {
            ("map", _) => InitValue::Map,
            ("list", _) => InitValue::List,
            ("text", _) => InitValue::Text,
            ("counter", Some(start)) => InitValue::Counter(start),
            _ => return Err(EngineError::bad_value("a key can be created as a map, list, text or counter")),
        };
        Ok(self.0.init(at(now_ms), DocumentId(document), key, value)?)
    }

    /// Where a document stands; `undefined` if it is not open.
    #[wasm_bindgen(unchecked_return_type = "EngineStatus | undefined")]
    pub fn status(&self, document: u32) -> JsValue {
        self.0.status(DocumentId(document)).map_or(JsValue::UNDEFINED, |status| output::status(status).into())
    }

    /// Where all open documents stand together.
    #[wasm_bindgen(unchecked_return_type = "EngineStatus")]
    pub fn overall(&self) -> JsValue {
        output::status(self.0.overall()).into()
    }

    /// The changes that the server is not known to have, oldest first, rejected ones last.
    #[wasm_bindgen(unchecked_return_type = "OutboxEntry[]")]
    pub fn outbox(&self, document: u32) -> Array {
        self.0.outbox(DocumentId(document)).into_iter().map(output::outbox_entry).collect()
    }

    /// The conflicts of a document, as far as a list has room for them, those of what the server refused last; or one of them, whole.
    #[wasm_bindgen(unchecked_return_type = "import(\"../conflicts/types.js\").Told")]
    pub fn conflicts(&mut self, document: u32, only: Option<String>) -> Result<Object, EngineError> {
        let only = only.map(|id| conflicts::id(&id)).transpose()?;
        let name = self.document_name(document).unwrap_or_default();
        let outbox = self.0.outbox(DocumentId(document));
        let all = self.0.conflicts_and_answers(DocumentId(document)).unwrap_or_default();
        Ok(conflicts::told(&name, &outbox, all, only))
    }

    /// Answers a conflict of which `version` was looked at. Gives the number to wait for.
    #[wasm_bindgen(js_name = resolveConflict)]
    #[allow(clippy::too_many_arguments, reason = "JavaScript has no other way to name them")]
    pub fn resolve_conflict(
        &mut self,
        now_ms: f64,
        wall_ms: f64,
        document: u32,
        conflict: &str,
        version: f64,
        #[wasm_bindgen(unchecked_param_type = "import(\"../conflicts/list.js\").EngineAnswer")] answer: &JsValue,
        note: Option<String>,
    ) -> Result<f64, EngineError> {
        let seen = Seen { id: conflicts::id(conflict)?, version: version as u64, candidates: Vec::new() };
        let answer = conflicts::answer(answer)?;
        let wall = WallTime(wall_ms as i64);
        Ok(js::number(self.0.resolve(at(now_ms), wall, DocumentId(document), &seen, &answer, note)?.0))
    }

    /// Takes an answer to a conflict back. Gives the number to wait for.
    #[wasm_bindgen(js_name = reopenConflict)]
    pub fn reopen_conflict(
        &mut self,
        now_ms: f64,
        wall_ms: f64,
        document: u32,
        conflict: &str,
    ) -> Result<f64, EngineError> {
        let wall = WallTime(wall_ms as i64);
        Ok(js::number(self.0.reopen(at(now_ms), wall, DocumentId(document), conflicts::id(conflict)?)?.0))
    }

    /// The text that declares rules in the document.
    pub fn declared(&self, document: u32) -> Option<String> {
        self.0.declared(DocumentId(document))
    }

    /// Declares rules by their text, in place of what is declared. False if that is this text already.
    pub fn declare(&mut self, now_ms: f64, wall_ms: f64, document: u32, text: &str) -> Result<bool, EngineError> {
        Ok(self.0.declare(at(now_ms), WallTime(wall_ms as i64), DocumentId(document), text)?)
    }

    /// Where the changes of the outbox write that were not rejected, as the document is now.
    #[wasm_bindgen(js_name = pendingPaths, unchecked_return_type = "Path[]")]
    pub fn pending_paths(&self, document: u32) -> Array {
        let pending = self.0.pending(DocumentId(document)).map(sync_core::change::Change::automerge);
        let read = |automerge: &Automerge| sync_core::touched::paths(automerge, pending);
        touched::to_js(self.0.read(DocumentId(document), read).unwrap_or_default())
    }

    /// The outbox as automerge's change chunks, one behind the other.
    pub fn export(&self, document: u32) -> Vec<u8> {
        self.0.export(DocumentId(document))
    }

    /// Writes a rejected change again. False if there is none of that hash, or nothing of it can be written.
    pub fn retry(&mut self, now_ms: f64, document: u32, change: &str) -> Result<bool, EngineError> {
        Ok(self.0.retry(at(now_ms), DocumentId(document), hash(change)?)?)
    }

    /// Lets a rejected change go, or takes back one that was not sent. False if there is none.
    pub fn discard(&mut self, now_ms: f64, document: u32, change: &str) -> Result<bool, EngineError> {
        Ok(self.0.discard(at(now_ms), DocumentId(document), hash(change)?)?)
    }

    /// Connects, or disconnects and stays so.
    #[wasm_bindgen(js_name = setOnline)]
    pub fn set_online(&mut self, now_ms: f64, online: bool) {
        self.0.set_online(at(now_ms), online);
    }

    /// Replaces the token, on a live connection too.
    #[wasm_bindgen(js_name = setToken)]
    pub fn set_token(&mut self, token: String) {
        self.0.set_token(token);
    }
}

fn hash(hex: &str) -> Result<ChangeHash, EngineError> {
    hex.parse().map_err(|_| EngineError::bad_value("a change is named by 64 hexadecimal digits"))
}
