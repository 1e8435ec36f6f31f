//! What an acknowledgement is worth: nothing bad gets one, and what has one is there whatever comes.

use automerge::{AutoCommit, ROOT, transaction::Transactable as _};
use bytes::Bytes;
use rejoin_tests::raw::{self, Raw};
use sync_client::conflict::{ConflictKind, PathPart, Value};
use sync_client::{OutboxState, RejectCode};
use sync_core::change::Change;
use sync_core::pack;
use sync_core::protocol::{ClientMessage, ServerMessage};
use sync_core::table::ChangeTable;

use crate::support::{client, in_time, keys, offline, put, server, until};
use crate::writer;

/// Kills of the test below, each right after an acknowledgement.
const KILLS: i64 = 10;

/// Seen in Hocuspocus: it acknowledges in 5 ms and stores after 2 s; who is killed in between has lost it.
#[tokio::test(flavor = "multi_thread")]
async fn failure_1_a_kill_right_after_an_acknowledgement_loses_nothing() {
    in_time(async {
        let mut server = server(&[]).await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        let document = client.document("acked").await.expect("opens");
        for n in 0..KILLS {
            let edit = put(&document, &format!("k{n}"), n);
            document.acknowledged(edit).await.expect("answered");
            server.kill().await.expect("it ran");
            server.restart().await.expect("it starts again");
            let there = server.document("acked").await.expect("it was stored");
            for n in 0..=n {
                assert_eq!(there[format!("k{n}")], n, "acknowledged and gone: {there}");
            }
        }
    })
    .await;
}

fn change(actor: u8, key: &str, base: Option<&mut AutoCommit>) -> (Change, AutoCommit) {
    let mut document = base.map_or_else(AutoCommit::new, |base| base.fork());
    document.set_actor(automerge::ActorId::from([actor; 16]));
    document.put(ROOT, key, 1).expect("puts");
    let change = document.get_last_local_change().expect("it has one").clone();
    (Change::from_automerge(change).expect("fits"), document)
}

/// Seen in Hocuspocus and y-sweet: both acknowledge a corrupt update, Hocuspocus also one whose dependency is missing.
#[tokio::test(flavor = "multi_thread")]
async fn failure_2_a_corrupt_oversized_refused_or_dep_less_batch_is_never_acknowledged() {
    in_time(async {
        let server = server(&[]).await;
        let (unknown, mut base) = change(1, "unknown", None);
        let (dep_less, _) = change(2, "dep-less", Some(&mut base));
        let mut table = ChangeTable::new();
        table.insert(&unknown).expect("in order");
        let encode = |changes: &[Change], table: &ChangeTable| pack::encode(changes, 0, table).expect("packs");
        let mut corrupt = encode(&[change(3, "corrupt", None).0], &ChangeTable::new()).to_vec();
        let last = corrupt.len() - 1;
        corrupt[last] ^= 1;
        // As many changes as nobody takes, and a footer that is none.
        let oversized = [&[1u8, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0][..], &[0; 8]].concat();
        let mut refused = change(4, "refused", None).0.bytes().to_vec();
        refused[5] ^= 1;
        let whole = [&[1u8, 1, 0, 1, 16][..], &[4; 16], &[0; 8], &[0x82, 1, refused.len() as u8], &refused].concat();
        let bad = [corrupt.into(), Bytes::from(oversized), Bytes::from(whole), encode(&[dep_less], &table)];
        for (n, bad) in bad.into_iter().enumerate() {
            let mut raw = Raw::opened(server.address(), "batches").await.expect("opens");
            let good = encode(&[change(10 + n as u8, &format!("good{n}"), None).0], &ChangeTable::new());
            let both: Vec<u8> =
                [raw::push(1, bad), raw::push(2, good)].iter().flat_map(ClientMessage::encode).collect();
            raw.binary(&both).await.expect("it is taken");
            let mut rejected = false;
            let acked = raw.until(|m| match m {
                ServerMessage::Reject(reject) => {
                    rejected |= reject.batch.is_some_and(|batch| batch.0 == 1);
                    None
                }
                ServerMessage::Ack(ack) => Some(ack.batch.0),
                _ => None,
            });
            assert_eq!(acked.await.expect("the connection lives"), 2, "batch {n} is acknowledged");
            assert!(rejected, "batch {n} is not refused");
        }
        let there = server.document("batches").await.expect("it was made");
        let names: Vec<_> = there.as_object().expect("a map").keys().cloned().collect();
        assert_eq!(names, ["good0", "good1", "good2", "good3"]);
    })
    .await;
}

/// The other half of the second: what is refused is neither shown as saved on the server nor dropped, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn failure_2_a_refused_change_stays_in_the_outbox_and_is_shown() {
    in_time(async {
        let server = server(&[]).await;
        writer::fill_heads(server.address(), "full").await;
        let dir = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            let client = offline(server.address(), dir.path()).await;
            let document = client.document("full").await.expect("opens");
            if keys(&document).is_empty() {
                put(&document, "mine", 1);
            }
            client.go_online().expect("it is open");
            // It is taken out of the document, which shows what everybody sees, and kept aside.
            until(&document, |d| d.status().rejected == 1 && keys(d) == ["full"]).await;
            assert_eq!(document.status().pending, 0);
            let outbox = document.outbox();
            assert!(matches!(&outbox[..], [e] if matches!(e.state, OutboxState::Rejected { code: RejectCode::TooLarge, .. })));
            assert!(!document.export().is_empty(), "it can be kept elsewhere");
            let conflicts = document.conflicts().expect("loaded");
            let [refused] = conflicts.iter().filter(|c| c.kind == ConflictKind::Rejected).collect::<Vec<_>>()[..] else {
                panic!("it is no conflict: {conflicts:?}")
            };
            assert_eq!(refused.path, [PathPart::Key("mine".into())]);
            assert_eq!(refused.candidates[1].value, Some(Value::Scalar(1.into())), "what was wanted");
            client.close().await.expect("closes");
        }
        let there = server.document("full").await.expect("it was made");
        assert!(there.get("mine").is_none());
    })
    .await;
}
