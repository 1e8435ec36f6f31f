//! What the vectors from client to server stand for. Owns values only; what they look like on the wire is kept in messages.json.

use bytes::Bytes;
use sync_core::clock::{ClockEntry, HashPrefix, VectorClock};
use sync_core::id::{ActorId, BatchId, ClientId, Cursor, Digest, DocumentHandle, Incarnation, LogSeq, StoreId};
use sync_core::protocol::{
    Acked, Auth, Blob, ClientMessage, Close, Emit, Have, Hello, Open, Part, Ping, Push, SnapshotHeld,
};
use sync_core::scope::Access;

/// Bytes that count up from `start`.
pub(crate) fn counting<const N: usize>(start: u8) -> [u8; N] {
    std::array::from_fn(|i| start + i as u8)
}

/// A clock of two actors, one of 16 bytes and one of 1.
pub(crate) fn entries() -> Vec<(ActorId, ClockEntry)> {
    let entry = |actor: &[u8], seq, hash| (ActorId::from(actor), ClockEntry { seq, hash: HashPrefix(counting(hash)) });
    vec![entry(&counting::<16>(0xa0), 300, 0x10), entry(&[0xb0], 1, 0x20)]
}

fn open() -> Open {
    Open {
        handle: DocumentHandle(1),
        document: "todos/groceries".into(),
        access: Access::Write,
        cursor: None,
        acked: None,
        clock: None,
        snapshot: None,
        packs: None,
    }
}

fn cursor() -> Cursor {
    Cursor {
        store_id: StoreId(counting(0x30)),
        incarnation: Incarnation(counting(0x50)),
        seq: LogSeq(1041),
        digest: Digest(counting(0x60)),
    }
}

/// Every message, with every optional field present and absent.
pub(crate) fn messages() -> Vec<(&'static str, ClientMessage)> {
    let handle = DocumentHandle(1);
    let clock: VectorClock = entries().into_iter().collect();
    let blob = |bytes: &'static [u8]| Blob(Bytes::from_static(bytes));
    let hello = |token: Option<&str>, accepts| Hello {
        versions: vec![1],
        client: ClientId(counting(0)),
        token: token.map(Into::into),
        accepts,
    };
    vec![
        ("hello", ClientMessage::Hello(hello(None, 0))),
        ("hello-token", ClientMessage::Hello(Hello { versions: vec![1, 2], ..hello(Some("eyJhbGciOi"), 7) })),
        ("auth", ClientMessage::Auth(Auth { token: "eyJhbGciOi".into() })),
        ("open-nothing-held", ClientMessage::Open(open())),
        ("open-cursor", ClientMessage::Open(Open { cursor: Some(cursor()), ..open() })),
        (
            "open-cursor-acked",
            ClientMessage::Open(Open {
                handle: DocumentHandle(70_000),
                cursor: Some(cursor()),
                acked: Some(Acked { seq: LogSeq(1050), digest: Digest(counting(0x70)) }),
                ..open()
            }),
        ),
        ("open-clock", ClientMessage::Open(Open { clock: Some(clock.clone()), ..open() })),
        (
            "open-snapshot",
            ClientMessage::Open(Open {
                snapshot: Some(SnapshotHeld { seq: LogSeq(5_000), digest: Digest(counting(0x70)), pieces: 3 }),
                ..open()
            }),
        ),
        ("open-packs", ClientMessage::Open(Open { packs: Some(true), ..open() })),
        ("open-read", ClientMessage::Open(Open { document: "notes/ü".into(), access: Access::Read, ..open() })),
        ("push", ClientMessage::Push(Push { handle, batch: BatchId(1), pack: blob(b"a pack") })),
        ("push-batch-64-bits", ClientMessage::Push(Push { handle, batch: BatchId(1 << 40), pack: blob(b"") })),
        ("have", ClientMessage::Have(Have { handle, clock })),
        ("have-nothing", ClientMessage::Have(Have { handle, clock: VectorClock::new() })),
        ("emit-presence", ClientMessage::Emit(Emit { handle, payload: blob(b"at line 3"), ttl_ms: Some(30_000) })),
        ("emit-goodbye", ClientMessage::Emit(Emit { handle, payload: blob(b""), ttl_ms: Some(0) })),
        ("emit-message", ClientMessage::Emit(Emit { handle, payload: blob(b"hello"), ttl_ms: None })),
        ("close", ClientMessage::Close(Close { handle })),
        ("ping", ClientMessage::Ping(Ping { nonce: 7 })),
        ("part", ClientMessage::Part(Part { index: 0, total: 2, bytes: blob(&[0x82, 0x07, 0xa1]) })),
    ]
}
