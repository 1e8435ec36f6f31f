//! What the machine wants done and what it tells, as plain objects with a `kind`.
//!
//! Owns the shape of outputs, events and rows on their way to the driver and of its answers. Decides nothing.

use js_sys::{Array, Object};
use sync_core::clock::VectorClock;
use sync_core::id::LogSeq;
use sync_core::protocol::RejectCode;
use sync_core::replica::{Event, OutboxEntry, OutboxState, Output, State, Status};
use sync_core::storage::{LocalTask, Row, StoreError, Write};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::EngineError;
use crate::js::{self, kind, number, set};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &'static str = r#"
/** The tables of the local store. */
export type Table = "meta" | "document" | "chunk" | "outbox";
/** A key and its value. */
export type Row = [Uint8Array, Uint8Array];
/** One write of a transaction. */
export type Write =
  | { kind: "put"; table: Table; key: Uint8Array; value: Uint8Array }
  | { kind: "delete"; table: Table; key: Uint8Array }
  | { kind: "delete-prefix"; table: Table; prefix: Uint8Array };
/** Why the local store failed: only `full` and `io` may pass by themselves. */
export type StoreFailure = { code: "full" | "io" | "corrupt"; message: string };
/** What the machine wants done. Tasks of the store are to be done in order. */
export type Output =
  | { kind: "connect" }
  | { kind: "send"; frame: Uint8Array }
  | { kind: "disconnect" }
  | { kind: "read"; task: number; tables: Table[]; prefix: Uint8Array }
  | { kind: "commit"; task: number; writes: Write[] }
  | { kind: "tell"; to: number | undefined; message: Uint8Array }
  | { kind: "take-over" }
  | { kind: "event"; event: EngineEvent };
/** What the machine tells. */
export type EngineEvent =
  | { kind: "ready"; document: number }
  | { kind: "failed"; document: number; code: FailureCode; reason: string }
  | { kind: "changed"; document: number; local: boolean }
  | { kind: "saved"; document: number; change: number }
  | { kind: "acknowledged"; document: number; change: number }
  | { kind: "rejected"; document: number; change: string; code: RejectCode; reason: string }
  | { kind: "status"; document: number }
  | { kind: "view"; document: number; view: Uint8Array; seq: number }
  | { kind: "progress"; document: number; done: number; total: number }
  | { kind: "emitted"; document: number; from: string; payload: Uint8Array }
  | { kind: "storage-failed"; code: FailureCode; reason: string };
/** How the local store failed, or what it holds: damaged rows, or rows that a newer version wrote. */
export type FailureCode = StoreFailure["code"] | "newer";
/** Why the server will not have a change. */
export type RejectCode =
  | "invalid" | "equivocation" | "too-large" | "forbidden" | "bad-name" | "deleted" | "mismatch" | "blocked"
  | "unavailable" | "quarantined" | "other";
/** One change of a document's history. */
export type Version = {
  /** Its hash, which names the version of the document that its author saw. */ readonly change: string;
  /** Who wrote it: one tab's author on one device. */ readonly actor: string;
  /** The author that it names, if it names one. */ readonly author?: string;
  /** Whether that is this device, in whichever tab. */ readonly mine: boolean;
  /** The author's clock when it was made. */ readonly time: Date;
  /** Number of its operations. */ readonly operations: number;
};
/** The cursor of the first of several elements that one author wrote in one go, and their number. */
export type Run = readonly [cursor: string, count: number];
/** What is held of a document. */
export type Held = {
  /** How far in the server's log without a hole; `undefined` before the server was first heard. */ readonly cursor: number | undefined;
  /** The vector clock: of each author the number of the last change that makes the value. */
  readonly clock: readonly (readonly [actor: string, seq: number])[];
};
/** Where a document, or all of them, stand. */
export type EngineState = "synced" | "syncing" | "offline" | "rejected" | "storage-full";
export type EngineStatus = {
  state: EngineState; pending: number; rejected: number; unsaved: number; syncedAtMs: number | undefined;
};
/** A change that the server is not known to have, or edits that are to be one. */
export type OutboxEntry = {
  /** Its hash, or another name while it waits. */ change: string;
  /** Number of its operations. */ operations: number;
  /** The author's clock when it was made. */ time: Date;
  /** `waits`: it is kept on this device until the document's history is there. */
  state: "waits" | "unsaved" | "saved" | "sent" | "rejected";
  /** Why it was rejected. `place-gone`: what it was made in, or some of it, is not there any more. */ code?: RejectCode | "place-gone" | "refused";
  /** The same in words. */ reason?: string;
};
"#;

/// An output; `None` for one that this version has nothing to do for.
pub(crate) fn output(output: Output) -> Option<Object> {
    Some(match output {
        Output::Connect => kind("connect"),
        Output::Send(frame) => with(kind("send"), "frame", js::bytes(&frame)),
        Output::Disconnect => kind("disconnect"),
        Output::Store(task, LocalTask::Read { tables, prefix }) => {
            let read = with(kind("read"), "task", number(task.0));
            let tables: Array = tables.iter().map(|table| JsValue::from(table.name())).collect();
            with(with(read, "tables", tables), "prefix", js::bytes(&prefix))
        }
        Output::Store(task, LocalTask::Commit(writes)) => {
            let writes: Array = writes.iter().map(write).collect();
            with(with(kind("commit"), "task", number(task.0)), "writes", writes)
        }
        Output::Tell(to, message) => {
            with(with(kind("tell"), "to", to.map(|tab| tab.0)), "message", js::bytes(&message))
        }
        Output::TakeOver => kind("take-over"),
        Output::Event(event) => with(kind("event"), "event", self::event(event)?),
    })
}

fn write(write: &Write) -> Object {
    match write {
        Write::Put { table, key, value } => {
            let put = with(with(kind("put"), "table", table.name()), "key", js::bytes(key));
            with(put, "value", js::bytes(value))
        }
        Write::Delete { table, key } => with(with(kind("delete"), "table", table.name()), "key", js::bytes(key)),
        Write::DeletePrefix { table, prefix } => {
            with(with(kind("delete-prefix"), "table", table.name()), "prefix", js::bytes(prefix))
        }
    }
}

fn event(event: Event) -> Option<Object> {
    let of = |name: &str, document: sync_core::replica::DocumentId| with(kind(name), "document", document.0);
    Some(match event {
        Event::Ready(document) => of("ready", document),
        Event::Failed(document, error) => failed(of("failed", document), &error),
        Event::Changed { document, local } => with(of("changed", document), "local", local),
        Event::Saved(document, change) => with(of("saved", document), "change", number(change.0)),
        Event::Acknowledged(document, change) => with(of("acknowledged", document), "change", number(change.0)),
        Event::Rejected { document, change, code, reason } => {
            let rejected = with(of("rejected", document), "change", change.to_string());
            with(with(rejected, "code", reject_word(code)), "reason", reason)
        }
        Event::Status(document) => of("status", document),
        Event::View { document, view, seq } => {
            with(with(of("view", document), "view", js::bytes(&view)), "seq", number(seq.0))
        }
        Event::Progress { document, done, total } => with(with(of("progress", document), "done", done), "total", total),
        Event::Emitted { document, from, payload, presence: true } => {
            with(with(of("emitted", document), "from", from.0.to_string()), "payload", js::bytes(&payload))
        }
        Event::StorageFailed(error) => failed(kind("storage-failed"), &error),
        _ => return None,
    })
}

/// Tells how a store failed.
fn failed(event: Object, error: &StoreError) -> Object {
    let code = match error {
        StoreError::Full => "full",
        StoreError::Corrupt(_) => "corrupt",
        StoreError::Newer { .. } => "newer",
        _ => "io",
    };
    with(with(event, "code", code), "reason", error.to_string())
}

fn with(object: Object, key: &str, value: impl Into<JsValue>) -> Object {
    set(&object, key, value);
    object
}

/// A status, with the time of the last sync on the driver's clock in milliseconds.
pub(crate) fn status(status: Status) -> Object {
    let state = match status.state {
        State::Synced => "synced",
        State::Syncing => "syncing",
        State::Offline => "offline",
        State::Rejected => "rejected",
        State::StorageFull => "storage-full",
    };
    let object = with(Object::new(), "state", state);
    set(&object, "pending", number(status.pending as u64));
    set(&object, "rejected", number(status.rejected as u64));
    set(&object, "unsaved", number(status.unsaved as u64));
    with(object, "syncedAtMs", status.synced_at.map(|at| at.0 as f64 / 1000.0))
}

/// A change of a document's history.
pub(crate) fn version(change: &automerge::ChangeMetadata<'_>, mine: bool) -> Object {
    let object = with(Object::new(), "change", change.hash.to_string());
    set(&object, "actor", change.actor.to_string());
    if let Some(author) = &change.author {
        set(&object, "author", String::from_utf8_lossy(author.as_bytes()).into_owned());
    }
    set(&object, "mine", mine);
    set(&object, "time", js_sys::Date::new(&(change.timestamp as f64).into()));
    with(object, "operations", number((change.max_op + 1).saturating_sub(change.start_op)))
}

/// What is held of a document.
pub(crate) fn held(cursor: Option<LogSeq>, clock: &VectorClock) -> Object {
    let entry = |actor: String, seq: u32| JsValue::from(Array::of2(&actor.into(), &seq.into()));
    let clock: Array = clock.iter().map(|(actor, held)| entry(actor.to_string(), held.seq)).collect();
    with(with(Object::new(), "cursor", cursor.map(|seq| number(seq.0))), "clock", clock)
}

/// A change in the outbox.
pub(crate) fn outbox_entry(entry: OutboxEntry) -> Object {
    let object = with(Object::new(), "change", entry.change.to_string());
    set(&object, "operations", number(entry.operations as u64));
    set(&object, "time", js_sys::Date::new(&(entry.time as f64).into()));
    let state = match &entry.state {
        OutboxState::Unsaved => "unsaved",
        OutboxState::Saved => "saved",
        OutboxState::Sent => "sent",
        OutboxState::Rejected { .. } => "rejected",
    };
    set(&object, "state", state);
    if let OutboxState::Rejected { code, reason } = entry.state {
        set(&object, "code", reject_word(code));
        set(&object, "reason", reason);
    }
    object
}

fn reject_word(code: RejectCode) -> &'static str {
    match code {
        RejectCode::Invalid => "invalid",
        RejectCode::Equivocation => "equivocation",
        RejectCode::TooLarge => "too-large",
        RejectCode::Forbidden => "forbidden",
        RejectCode::BadName => "bad-name",
        RejectCode::Deleted => "deleted",
        RejectCode::Mismatch => "mismatch",
        RejectCode::Blocked => "blocked",
        RejectCode::Unavailable => "unavailable",
        RejectCode::Quarantined => "quarantined",
        _ => "other",
    }
}

/// The rows that a store read: an array for each table.
pub(crate) fn rows(tables: &Array) -> Result<Vec<Vec<Row>>, EngineError> {
    let bad = || EngineError::bad_value("rows are pairs of Uint8Array");
    let row = |row: JsValue| {
        let row = row.dyn_into::<Array>().map_err(|_| bad())?;
        let part = |index| js::to_bytes(&row.get(index)).ok_or_else(bad);
        Ok((part(0)?, part(1)?))
    };
    let table = |table: JsValue| table.dyn_into::<Array>().map_err(|_| bad())?.iter().map(row).collect();
    tables.iter().map(table).collect()
}

/// A store's failure.
pub(crate) fn store_error(failure: &JsValue) -> StoreError {
    let word = |key| js::get(failure, key).and_then(|value| value.as_string()).unwrap_or_default();
    match word("code").as_str() {
        "full" => StoreError::Full,
        "corrupt" => StoreError::Corrupt(word("message")),
        _ => StoreError::Io(word("message")),
    }
}
