//! Many clients at once, and one that does not read: nobody is disturbed, nothing is lost.

mod common;

use common::{Client, Process, blob, change, noise};
use sync_core::protocol::ServerMessage;

/// Pushes of the test below: together far more than sockets, mailbox and tail keep for one that does not read.
const PUSHES: u8 = 120;

/// Bytes of each push; below a frame.
const PUSH_BYTES: usize = 50_000;

#[tokio::test]
async fn a_client_that_does_not_read_disturbs_nobody_and_catches_up_when_it_does() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let (mut sleeper, _) = Client::open(server.address, "busy").await;
    let (mut writer, _) = Client::open(server.address, "busy").await;
    let text = noise(PUSH_BYTES);
    for actor in 1..=PUSHES {
        writer.push(u64::from(actor), &[blob(actor, &text)]).await;
        assert_eq!(writer.ack().await.first.0, u64::from(actor));
    }
    let mut next = 1;
    while next <= u64::from(PUSHES) {
        let changes = sleeper.until(|m| if let ServerMessage::Changes(c) = m { Some(c) } else { None }).await;
        assert_eq!(changes.first.0, next, "no hole and nothing twice");
        let pack = changes.pack.expect("not reconciling").0;
        next += u64::from(sync_core::pack::count(&pack).expect("a pack"));
    }
}

#[tokio::test]
async fn many_first_opens_at_once_make_one_document() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let clients: Vec<_> = (1..=100u8)
        .map(|actor| {
            let address = server.address;
            tokio::spawn(async move {
                let (mut client, opened) = Client::open(address, "one").await;
                client.push(1, &[change(actor, "x")]).await;
                (client.ack().await.first.0, opened.room)
            })
        })
        .collect();
    let (mut seqs, mut rooms) = (Vec::new(), Vec::new());
    for client in clients {
        let (seq, room) = client.await.expect("ends well");
        seqs.push(seq);
        rooms.push(room);
    }
    seqs.sort_unstable();
    rooms.dedup();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
    assert_eq!(rooms.len(), 1);
    let (_, list) = server.get("/v1/documents");
    assert!(list.contains("\"head\":100"), "{list}");
}
