//! What the vectors from server to client stand for. Owns values only; what they look like on the wire is kept in messages.json.

use bytes::Bytes;
use sync_core::id::{BatchId, ChangeHash, Digest, DocumentHandle, Incarnation, LogSeq, RoomNumber, SessionId, StoreId};
use sync_core::protocol::{
    Ack, Blob, Changes, Emitted, Expiring, GoAway, Granted, Hash, LogActors, Mode, Opened, Part, Ping, Reject,
    RejectCode, ServerMessage, SnapshotPiece, SparseEnd, Throttle, Verdict, Welcome, WireLimits,
};
use sync_core::scope::{Access, Scope};
use sync_core::time::WallTime;

use super::client::{counting, entries};

/// Every message, with every optional field present and absent.
pub(crate) fn messages() -> Vec<(&'static str, ServerMessage)> {
    let mut out = connection();
    out.extend(documents());
    out.extend(rejections());
    out
}

fn connection() -> Vec<(&'static str, ServerMessage)> {
    let time = WallTime(1_795_478_400_000);
    let welcome = Welcome {
        version: 1,
        session: SessionId(42),
        store_id: StoreId(counting(0x30)),
        limits: WireLimits {
            frame_bytes_max: 65_536,
            message_bytes_max: 8_388_608,
            pending_batches_max: 64,
            documents_max: 1_000,
            emit_bytes_max: 16_384,
        },
        heartbeat_ms: 15_000,
        time,
    };
    let scope = |prefix: &str, access| Scope { prefix: prefix.into(), access };
    vec![
        ("welcome", ServerMessage::Welcome(welcome)),
        ("granted", ServerMessage::Granted(Granted { scopes: vec![scope("", Access::Write)], expires_at: None })),
        (
            "granted-expires",
            ServerMessage::Granted(Granted {
                scopes: vec![scope("todos", Access::Write), scope("notes/public", Access::Read)],
                expires_at: Some(time),
            }),
        ),
        ("granted-nothing", ServerMessage::Granted(Granted { scopes: vec![], expires_at: Some(WallTime(-1)) })),
        ("expiring", ServerMessage::Expiring(Expiring { in_ms: 60_000 })),
        ("pong", ServerMessage::Pong(Ping { nonce: 7 })),
        ("throttle", ServerMessage::Throttle(Throttle { for_ms: 2_000 })),
        (
            "go-away",
            ServerMessage::GoAway(GoAway { reason: "restarting".into(), reconnect_within_ms: 5_000, address: None }),
        ),
        (
            "go-away-elsewhere",
            ServerMessage::GoAway(GoAway {
                reason: "draining".into(),
                reconnect_within_ms: 0,
                address: Some("wss://b.example.org/sync".into()),
            }),
        ),
        (
            "server-part",
            ServerMessage::Part(Part { index: 1, total: 2, bytes: Blob(Bytes::from_static(&[0x00, 0x07])) }),
        ),
    ]
}

fn documents() -> Vec<(&'static str, ServerMessage)> {
    let (handle, room) = (DocumentHandle(1), RoomNumber(9));
    let opened = |mode, head, actors| {
        let digest = Digest(counting(0x60));
        ServerMessage::Opened(Opened {
            handle,
            room,
            mode,
            incarnation: Incarnation(counting(0x50)),
            head: LogSeq(head),
            digest,
            actors,
        })
    };
    let ack = |count, held, durable| {
        let digest = Digest(counting(0x70));
        ServerMessage::Ack(Ack { handle, batch: BatchId(1), first: LogSeq(1042), count, digest, held, durable })
    };
    let changes = |first, pack: Option<&'static [u8]>, sparse| {
        let pack = pack.map(|bytes| Blob(Bytes::from_static(bytes)));
        ServerMessage::Changes(Changes { room, first: LogSeq(first), pack, sparse })
    };
    let sparse = Some(SparseEnd { last: LogSeq(1041), digest: Digest(counting(0x60)) });
    let piece = |index, bytes: &'static [u8]| {
        let (seq, digest, bytes) = (LogSeq(1041), Digest(counting(0x60)), Blob(Bytes::from_static(bytes)));
        ServerMessage::Snapshot(SnapshotPiece { room, seq, digest, index, total: 3, views: 1, bytes })
    };
    let emitted = |payload: &'static [u8], ttl_ms| {
        let payload = Blob(Bytes::from_static(payload));
        ServerMessage::Emitted(Emitted { room, from: SessionId(41), payload, ttl_ms })
    };
    vec![
        ("opened-resume", opened(Mode::Resume, 1041, None)),
        ("opened-new", opened(Mode::New, 0, None)),
        ("opened-reconcile", opened(Mode::Reconcile, 301, Some(LogActors(entries())))),
        ("opened-replaced", opened(Mode::Replaced, 3, None)),
        ("ack", ack(3, None, true)),
        ("ack-held", ack(1, Some(vec![0, 2]), true)),
        ("ack-stored", ack(3, None, false)),
        ("changes", changes(1042, Some(b"a pack"), None)),
        ("changes-sparse", changes(1, Some(b"a pack"), sparse)),
        ("changes-sparse-all-held", changes(1, None, sparse)),
        ("snapshot-view", piece(0, b"a view")),
        ("snapshot-last", piece(2, b"the end of a saved document")),
        ("emitted-presence", emitted(b"at line 3", Some(30_000))),
        ("emitted-left", emitted(b"", Some(0))),
        ("emitted-message", emitted(b"hello", None)),
    ]
}

fn rejections() -> Vec<(&'static str, ServerMessage)> {
    let reject = |batch: Option<u64>, code, reason: &str, verdicts, retry_after_ms| {
        let (handle, batch, reason) = (DocumentHandle(1), batch.map(BatchId), reason.into());
        ServerMessage::Reject(Reject { handle, batch, code, reason, verdicts, retry_after_ms })
    };
    let verdict =
        |at, code, reason: &str| Verdict { hash: Hash(ChangeHash(counting(at))), code, reason: reason.into() };
    let verdicts = vec![
        verdict(0x80, RejectCode::Invalid, "operation 0 names an object that does not exist"),
        verdict(0xa0, RejectCode::Equivocation, "the log has another change of this actor and seq"),
        verdict(0xc0, RejectCode::TooLarge, "too many operations"),
        verdict(0xe0, RejectCode::Blocked, "depends on a refused change"),
    ];
    vec![
        ("reject-open", reject(None, RejectCode::BadName, "a document name has no empty segment", None, None)),
        ("reject-open-forbidden", reject(None, RejectCode::Forbidden, "no scope allows it", None, None)),
        ("reject-deleted", reject(Some(5), RejectCode::Deleted, "the document was deleted", None, None)),
        ("reject-quarantined", reject(None, RejectCode::Quarantined, "quarantined", None, Some(60_000))),
        ("reject-batch", reject(Some(2), RejectCode::Unavailable, "the disk is full", None, Some(1_000))),
        ("reject-batch-mismatch", reject(Some(3), RejectCode::Mismatch, "a dep is not held", None, None)),
        ("reject-changes", reject(Some(4), RejectCode::Invalid, "4 changes refused", Some(verdicts), None)),
    ]
}
