//! The histories that the demo and the tests replay: read, generated, and placed, they all give the text that they should, and the index of conflicts
//! that reading all of their changes gives.

use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, Change, ObjId, ObjType, ROOT, ReadDoc};
use rejoin_tests::traces::{self, Concurrent, Sequential, generate_concurrent, generate_sequential, place};
use sync_core::conflict::ConflictIndex;
use sync_core::document::Document;
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::planted::Planting;
use sync_core::table::ChangeTable;
use sync_core::validator;

/// Replays with one automerge replica per author, each of which takes in what its next transaction has seen and nothing else. Gives the text, and its id.
fn replay(trace: &Concurrent) -> (Automerge, ObjId) {
    let mut start = Automerge::new().with_actor(ActorId::from([9]));
    let mut tx = start.transaction();
    let text = tx.put_object(ROOT, "text", ObjType::Text).expect("a key");
    tx.commit();
    let mut replicas: Vec<_> =
        (0..trace.num_agents).map(|a| start.fork().with_actor(ActorId::from([a as u8]))).collect();
    let mut written: Vec<Vec<Change>> = vec![Vec::new(); trace.num_agents];
    let mut held = vec![vec![0; trace.num_agents]; trace.num_agents];
    for (txn, seen) in trace.txns.iter().zip(trace.seen()) {
        let agent = txn.agent;
        assert_eq!(seen[agent], written[agent].len(), "an author knows its own edits");
        let missing: Vec<Change> = (0..trace.num_agents)
            .filter(|a| *a != agent)
            .flat_map(|a| written[a].get(held[agent][a]..seen[a]).unwrap_or_default().to_vec())
            .collect();
        if !missing.is_empty() {
            replicas[agent].apply_changes(missing).expect("causal");
            held[agent].clone_from(&seen);
        }
        let mut tx = replicas[agent].transaction();
        for patch in &txn.patches {
            tx.splice_text(&text, patch.position, patch.deleted as isize, &patch.inserted).expect("in range");
        }
        tx.commit();
        written[agent].push(replicas[agent].get_last_local_change().expect("it has written"));
    }
    let mut all = replicas.swap_remove(0);
    for mut other in replicas {
        all.merge(&mut other).expect("causal");
    }
    (all, text)
}

fn text_of((document, text): (Automerge, ObjId)) -> String {
    document.text(text).expect("a text")
}

/// The first edits of one author, a change each.
fn replay_one(trace: &Sequential, edits: usize) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from([9]));
    let mut tx = document.transaction();
    let text = tx.put_object(ROOT, "text", ObjType::Text).expect("a key");
    tx.splice_text(&text, 0, 0, &trace.start_content).expect("in range");
    tx.commit();
    for edit in trace.txns.iter().take(edits) {
        let mut tx = document.transaction();
        for patch in &edit.patches {
            tx.splice_text(&text, patch.position, patch.deleted as isize, &patch.inserted).expect("in range");
        }
        tx.commit();
    }
    document
}

#[test]
fn the_two_author_history_ends_as_it_should_by_automerge_and_by_place() {
    let (trace, _) = traces::concurrent(traces::FRIENDS);
    assert!(trace.txns.len() >= 26_000);
    assert_eq!(place(&trace).1, trace.end_content);
    let part = trace.clone().prefix(6_000);
    assert_eq!(text_of(replay(&part)), part.end_content);
}

#[test]
fn generated_histories_end_as_they_say() {
    for seed in 0..8 {
        let trace = generate_concurrent(seed, 3_000);
        assert_eq!(place(&trace).1, trace.end_content, "seed {seed}");
        assert!(trace.txns.iter().any(|t| t.parents.len() == 2), "authors write at once, seed {seed}");
        let part = trace.prefix(600);
        assert_eq!(text_of(replay(&part)), part.end_content, "seed {seed}");
    }
    assert_eq!(generate_concurrent(3, 500), generate_concurrent(3, 500));
}

#[test]
fn one_author_histories_end_as_they_say() {
    let (recorded, _) = traces::sequential("rustcode");
    for trace in [recorded, generate_sequential(7, 5_000)] {
        let mut text: Vec<char> = trace.start_content.chars().collect();
        for patch in trace.txns.iter().flat_map(|t| &t.patches) {
            text.splice(patch.position..patch.position + patch.deleted, patch.inserted.chars());
        }
        assert_eq!(text.into_iter().collect::<String>(), trace.end_content);
    }
}

#[test]
fn the_index_of_conflicts_of_a_history_is_the_one_that_reading_all_of_it_makes() {
    let (friends, _) = traces::concurrent(traces::FRIENDS);
    let mut documents = vec![replay(&friends.prefix(6_000)).0];
    for name in ["automerge-paper", "rustcode"] {
        documents.push(replay_one(&traces::sequential(name).0, 6_000));
    }
    for document in documents {
        let changes = document.get_changes(&[]).into_iter();
        let changes = changes.map(|change| sync_core::change::Change::from_automerge(change).expect("a change"));
        let document = Document::from_changes(changes.collect()).expect("they apply");
        let (mut table, mut ops, mut replayed) = (ChangeTable::new(), OpIndex::new(), ConflictIndex::new());
        for change in document.changes().expect("readable") {
            validator::admit(&change, &table, &mut ops, &ChangeLimits::default()).expect("an honest change");
            table.insert(&change).expect("it follows");
            replayed.admit(&change, &table, &ops);
        }
        let kept = OpIndex::from_bytes(&ops.to_bytes(), table.actor_count()).expect("readable");
        let quick = ConflictIndex::of(&document, &table, &kept, Planting::default()).expect("readable");
        assert!(format!("{quick:?}") == format!("{replayed:?}"), "{} changes", table.len());
    }
}
