//! What `/metrics` shows: the names of all metrics in one place.
//!
//! The recorder is one per process, as the `metrics` crate has it; several servers in one process count together.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sync_core::protocol::CloseCode;
use sync_core::storage::StoreError;

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

const SECONDS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
const SIZES: [f64; 10] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 65536.0, 1048576.0, 16777216.0];

/// Installs the recorder, once per process; another one that is installed already is left in place.
pub(crate) fn install() -> Option<PrometheusHandle> {
    HANDLE
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
                .and_then(|b| b.set_buckets(&SIZES))
                .and_then(PrometheusBuilder::install_recorder)
                .inspect(|_| start_at_zero())
                .ok()
        })
        .clone()
}

/// What goes up only.
const COUNTERS: [(&str, &str); 8] = [
    ("rejoin_rejects_total", "Documents, pushes and changes refused."),
    ("rejoin_connections_overflowed_total", "Connections closed because too much was queued for them."),
    ("rejoin_connections_refused_total", "Connections closed before they asked for anything."),
    ("rejoin_received_bytes_total", "Bytes of frames that came in."),
    ("rejoin_sent_bytes_total", "Bytes of frames that went out."),
    ("rejoin_changes_accepted_total", "Changes committed."),
    ("rejoin_compaction_failures_total", "Times that a document could not be compacted."),
    ("rejoin_newcomer_snapshot_failures_total", "Times that no document snapshot could be made."),
];

/// What goes up and down.
const GAUGES: [(&str, &str); 4] = [
    ("rejoin_connections", "Connections that are WebSockets."),
    ("rejoin_rooms", "Documents in memory."),
    ("rejoin_rooms_quarantined", "Documents in memory that fail."),
    ("rejoin_writer_queue", "Tasks waiting for the store's writer."),
];

/// What is measured each time.
const HISTOGRAMS: [(&str, &str); 6] = [
    ("rejoin_commit_seconds", "How long a commit took."),
    ("rejoin_commit_documents", "Appends of a commit."),
    ("rejoin_commit_bytes", "Bytes of a commit."),
    ("rejoin_compaction_seconds", "How long compacting a document took."),
    ("rejoin_newcomer_snapshot_seconds", "How long making a document snapshot took."),
    ("rejoin_materialise_seconds", "How long reading a document for HTTP took."),
];

const CLOSED: &str = "rejoin_connections_closed_total";
const STORE_ERRORS: &str = "rejoin_store_errors_total";

const CLOSE_CODES: [CloseCode; 10] = [
    CloseCode::Normal,
    CloseCode::Restarting,
    CloseCode::Overloaded,
    CloseCode::Malformed,
    CloseCode::Unauthenticated,
    CloseCode::Forbidden,
    CloseCode::Timeout,
    CloseCode::NoCommonVersion,
    CloseCode::TooLarge,
    CloseCode::Rate,
];

const STORE_ERROR_KINDS: [&str; 6] = ["head-moved", "full", "read-only", "io", "corrupt", "other"];

/// Shows what can be counted from the first request on, not from the first event: a rate begins with a count of 0.
fn start_at_zero() {
    for (name, what) in COUNTERS {
        describe_counter!(name, what);
        counter!(name).increment(0);
    }
    for (name, what) in GAUGES {
        describe_gauge!(name, what);
        gauge!(name).set(0.0);
    }
    for (name, what) in HISTOGRAMS {
        describe_histogram!(name, what);
        // Looking it up is enough.
        let _ = histogram!(name);
    }
    describe_counter!(CLOSED, "Connections closed, by the code that was said.");
    CLOSE_CODES.into_iter().for_each(|code| closing(code).increment(0));
    describe_counter!(STORE_ERRORS, "Calls of the store that failed, by kind.");
    STORE_ERROR_KINDS.into_iter().for_each(|kind| counter!(STORE_ERRORS, "kind" => kind).increment(0));
}

/// A connection was accepted (1) or has ended (-1).
pub(crate) fn connections(by: f64) {
    gauge!("rejoin_connections").increment(by);
}

/// A room was opened (1) or dropped (-1).
pub(crate) fn rooms(by: f64) {
    gauge!("rejoin_rooms").increment(by);
}

/// A document's room fails (1), or such a room was dropped (-1).
pub(crate) fn quarantined(by: f64) {
    gauge!("rejoin_rooms_quarantined").increment(by);
}

/// The kind of a `Reject` on the wire.
const REJECT_KIND: u8 = 5;

/// A client was sent this message: counts rejects.
pub(crate) fn answered(message: &[u8]) {
    if message.get(1) == Some(&REJECT_KIND) {
        counter!("rejoin_rejects_total").increment(1);
    }
}

/// A connection was closed with this code.
pub(crate) fn closed(code: CloseCode) {
    closing(code).increment(1);
}

fn closing(code: CloseCode) -> Counter {
    counter!(CLOSED, "code" => (code as u16).to_string())
}

/// A connection was refused before it asked for anything.
pub(crate) fn refused() {
    counter!("rejoin_connections_refused_total").increment(1);
}

/// What is counted at each frame or commit, looked up once: by the first that counts, which comes after [`install`].
struct Hot {
    received: Counter,
    sent: Counter,
    accepted: Counter,
    commit_seconds: Histogram,
    commit_documents: Histogram,
    commit_bytes: Histogram,
    writer_queue: Gauge,
}

fn hot() -> &'static Hot {
    static HOT: OnceLock<Hot> = OnceLock::new();
    HOT.get_or_init(|| Hot {
        received: counter!("rejoin_received_bytes_total"),
        sent: counter!("rejoin_sent_bytes_total"),
        accepted: counter!("rejoin_changes_accepted_total"),
        commit_seconds: histogram!("rejoin_commit_seconds"),
        commit_documents: histogram!("rejoin_commit_documents"),
        commit_bytes: histogram!("rejoin_commit_bytes"),
        writer_queue: gauge!("rejoin_writer_queue"),
    })
}

/// Bytes of frames came in.
pub(crate) fn received(bytes: usize) {
    hot().received.increment(bytes as u64);
}

/// Bytes of frames went out.
pub(crate) fn sent(bytes: usize) {
    hot().sent.increment(bytes as u64);
}

/// A connection was closed because too much was queued for it.
pub(crate) fn overflow() {
    counter!("rejoin_connections_overflowed_total").increment(1);
}

/// A commit went through.
pub(crate) fn commit(took: Duration, appends: usize, changes: u64, bytes: usize) {
    let hot = hot();
    hot.commit_seconds.record(took.as_secs_f64());
    hot.commit_documents.record(appends as f64);
    hot.commit_bytes.record(bytes as f64);
    hot.accepted.increment(changes);
}

/// A store call failed.
pub(crate) fn store_error(error: &StoreError) {
    let kind = match error {
        StoreError::HeadMoved { .. } => "head-moved",
        StoreError::Full => "full",
        StoreError::ReadOnly => "read-only",
        StoreError::Io(_) => "io",
        StoreError::Corrupt(_) => "corrupt",
        _ => "other",
    };
    counter!(STORE_ERRORS, "kind" => kind).increment(1);
}

/// Tasks waiting for the writer.
pub(crate) fn writer_queue(length: usize) {
    hot().writer_queue.set(length as f64);
}

/// A document was compacted.
pub(crate) fn compaction(took: Duration) {
    histogram!("rejoin_compaction_seconds").record(took.as_secs_f64());
}

/// A document could not be compacted.
pub(crate) fn compaction_failed() {
    counter!("rejoin_compaction_failures_total").increment(1);
}

/// A snapshot for newcomers was made.
pub(crate) fn newcomer_snapshot(took: Duration) {
    histogram!("rejoin_newcomer_snapshot_seconds").record(took.as_secs_f64());
}

/// A snapshot for newcomers could not be made.
pub(crate) fn newcomer_snapshot_failed() {
    counter!("rejoin_newcomer_snapshot_failures_total").increment(1);
}

/// A document was materialised for a reader.
pub(crate) fn materialised(took: Duration) {
    histogram!("rejoin_materialise_seconds").record(took.as_secs_f64());
}
