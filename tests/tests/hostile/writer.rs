//! A writer of large changes on a raw socket, for documents that are to be busy or large.

use std::net::SocketAddr;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ROOT};
use bytes::Bytes;
use rejoin_tests::raw::{self, Raw};
use sync_core::change::Change;
use sync_core::pack;
use sync_core::protocol::ServerMessage;
use sync_core::table::ChangeTable;

/// One author with a connection of its own.
pub(crate) struct Writer {
    raw: Raw,
    document: AutoCommit,
    table: ChangeTable,
    batch: u64,
}

impl Writer {
    pub(crate) async fn start(server: SocketAddr, name: &str, actor: u8) -> Self {
        let raw = Raw::opened(server, name).await.expect("opens");
        let document = AutoCommit::new().with_actor(ActorId::from([actor; 16]));
        Self { raw, document, table: ChangeTable::new(), batch: 0 }
    }

    /// Pushes a change of about so many bytes, which do not deflate, and waits for the acknowledgement.
    pub(crate) async fn push(&mut self, bytes: usize) {
        self.batch += 1;
        self.document.put(ROOT, "blob", noise(self.batch, bytes)).expect("puts");
        let change = self.document.get_last_local_change().expect("it has one").clone();
        let change = Change::from_automerge(change).expect("its seq fits");
        let pack = pack::encode(std::slice::from_ref(&change), 0, &self.table).expect("packs");
        self.table.insert(&change).expect("in order");
        let batch = self.batch;
        self.raw.whole(&raw::push(batch, pack).encode()).await.expect("it is taken");
        let acked = self.raw.until(|m| match m {
            ServerMessage::Ack(ack) => (ack.batch.0 == batch).then_some(()),
            ServerMessage::Reject(reject) => panic!("{reject:?}"),
            _ => None,
        });
        acked.await.expect("acknowledged");
    }
}

/// A pack of one change of about so many bytes by an author that has made no other.
pub(crate) fn pack(actor: u8, bytes: usize) -> Bytes {
    let mut document = AutoCommit::new().with_actor(ActorId::from([actor; 16]));
    for part in 0..bytes.div_ceil(1 << 20) {
        document
            .put(ROOT, format!("blob {part}"), noise(u64::from(actor) + part as u64, bytes.min(1 << 20)))
            .expect("puts");
    }
    let change = document.get_last_local_change().expect("it has one").clone();
    let change = Change::from_automerge(change).expect("its seq fits");
    pack::encode(&[change], 0, &ChangeTable::new()).expect("packs")
}

/// Bytes that do not deflate.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1 << 40;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| draw()).collect()
}

/// Gives a document as many concurrent heads as it may have, so that an edit which has seen none of them is refused for good.
pub(crate) async fn fill_heads(server: SocketAddr, name: &str) {
    let max = sync_core::limits::ChangeLimits::default().heads_max as u32;
    let mut raw = Raw::opened(server, name).await.expect("opens");
    let changes: Vec<_> = (0..max)
        .map(|n| {
            let mut actor = [0xf0; 16];
            actor[12..].copy_from_slice(&n.to_be_bytes());
            let mut document = AutoCommit::new().with_actor(ActorId::from(actor));
            document.put(ROOT, "full", i64::from(n)).expect("puts");
            let change = document.get_last_local_change().expect("it has one").clone();
            Change::from_automerge(change).expect("its seq fits")
        })
        .collect();
    let pack = pack::encode(&changes, 0, &ChangeTable::new()).expect("packs");
    raw.whole(&raw::push(1, pack).encode()).await.expect("it is taken");
    let acked = raw.until(|m| if let ServerMessage::Ack(ack) = m { Some(ack.count) } else { None });
    assert_eq!(acked.await.expect("acknowledged"), max);
}
