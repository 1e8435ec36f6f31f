//! The validator refuses nothing that an honest replica writes.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{AutoCommit, ObjType, ROOT};
use rejoin_tests::traces::{self, Concurrent, Sequential};

use rejoin_fuzz::canonical::{self, Encoding};
use rejoin_fuzz::editor::{Editor, Habits, actor};
use rejoin_fuzz::gate::Gate;

/// How much of each history a debug build replays: automerge checks itself there at each step.
const EDITS: usize = if cfg!(debug_assertions) { 2_500 } else { usize::MAX };

fn replay(history: &Sequential, edits: usize) -> Vec<automerge::Change> {
    let mut doc = AutoCommit::new().with_actor(actor(1));
    let text = doc.put_object(ROOT, "text", ObjType::Text).expect("a new key");
    doc.splice_text(&text, 0, 0, &history.start_content).expect("an empty text");
    doc.commit();
    for edit in history.txns.iter().take(edits) {
        for patch in &edit.patches {
            doc.splice_text(&text, patch.position, patch.deleted as isize, &patch.inserted).expect("a recorded edit");
        }
        doc.commit_with(CommitOptions::default().with_time(1_700_000_000_000));
    }
    doc.get_changes(&[])
}

/// Each author's replica takes in what the history says it had seen, then edits.
fn replay_concurrent(history: &Concurrent) -> Vec<automerge::Change> {
    let mut first = AutoCommit::new().with_actor(actor(99));
    let text = first.put_object(ROOT, "text", ObjType::Text).expect("a new key");
    first.commit();
    let mut all = first.get_changes(&[]);
    let mut docs: Vec<AutoCommit> = (0..history.num_agents).map(|n| first.fork().with_actor(actor(n as u64))).collect();
    let mut made: Vec<Vec<automerge::Change>> = vec![Vec::new(); history.num_agents];
    let mut taken = vec![vec![0; history.num_agents]; history.num_agents];
    for (txn, seen) in history.txns.iter().zip(history.seen()) {
        for (other, upto) in seen.into_iter().enumerate().filter(|(other, _)| *other != txn.agent) {
            let from = taken[txn.agent][other];
            if upto > from {
                docs[txn.agent].apply_changes(made[other][from..upto].to_vec()).expect("changes in causal order");
                taken[txn.agent][other] = upto;
            }
        }
        let doc = &mut docs[txn.agent];
        for patch in &txn.patches {
            doc.splice_text(&text, patch.position, patch.deleted as isize, &patch.inserted).expect("a recorded edit");
        }
        doc.commit();
        let change = doc.get_last_local_change().expect("just committed").clone();
        made[txn.agent].push(change.clone());
        all.push(change);
    }
    all
}

fn check(name: &str, changes: &[automerge::Change]) -> Gate {
    let mut gate = Gate::default();
    let parsed: Vec<_> = changes
        .iter()
        .map(|c| sync_core::change::Change::parse(c.raw_bytes(), &gate.limits).expect("an honest change parses"))
        .collect();
    let begun = std::time::Instant::now();
    for change in &parsed {
        assert_eq!(gate.admit_parsed(change), Ok(()), "{name}: refused an honest change");
    }
    let each = begun.elapsed().as_nanos() as f64 / 1000.0 / parsed.len().max(1) as f64;
    // What the scan does not prove, automerge writes again: no more than the operations with several predecessors.
    let proven = parsed.iter().filter(|change| canonical::check(change) == Encoding::Proven).count();
    let several = |change: &&automerge::Change| change.decode().operations.iter().any(|op| op.pred.len() > 1);
    assert_eq!(proven, changes.len() - changes.iter().filter(several).count(), "{name}");
    let operations: usize = parsed.iter().map(sync_core::change::Change::operations).sum();
    println!(
        "{name}: {} changes, {operations} operations, {} runs, index {} bytes, admit and insert {each:.2} us a change",
        parsed.len(),
        gate.index.run_count(),
        gate.index.bytes(),
    );
    gate
}

#[test]
fn recorded_histories_of_one_author_pass_and_leave_a_small_index() {
    for name in ["automerge-paper", "rustcode"] {
        let (history, from) = traces::sequential(name);
        let gate = check(&format!("{name} ({from})"), &replay(&history, EDITS.min(60_000)));
        assert!(gate.index.bytes() < 600_000, "{name}: an index of {} bytes", gate.index.bytes());
    }
}

#[test]
fn a_recorded_history_of_two_authors_passes() {
    let (history, from) = traces::concurrent(traces::FRIENDS);
    let gate = check(&format!("friendsforever ({from})"), &replay_concurrent(&history.prefix(EDITS)));
    assert!(gate.index.bytes() < 400_000, "an index of {} bytes", gate.index.bytes());
}

#[test]
fn a_random_editor_with_every_operation_forks_merges_and_edits_at_old_heads_passes() {
    let mut changes = 0;
    for seed in 0..rounds(40) {
        let made = Editor::new(seed, 1 + seed % 5).run(200);
        changes += made.len();
        Gate::default().admit_all(&made);
    }
    println!("random editor: {changes} changes, none refused");
    assert!(changes > 1_000);
}

#[test]
fn long_branches_and_undo_pass() {
    let (mut changes, mut undone) = (0, 0);
    for seed in 0..rounds(20) {
        let mut editor = Editor::new(seed, 2 + seed % 3).with_habits(Habits::LONG_BRANCHES);
        let made = editor.run(600);
        changes += made.len();
        undone += editor.undone;
        Gate::default().admit_all(&made);
    }
    println!("long branches: {changes} changes, {undone} undone, none refused");
    assert!(changes > 1_000 && undone > 50, "{changes} changes, {undone} undone");
}

#[test]
fn two_hundred_actors_that_merge_and_edit_pass() {
    let mut doc = AutoCommit::new().with_actor(actor(0));
    let list = doc.put_object(ROOT, "list", ObjType::List).expect("a new key");
    doc.commit();
    for round in 0..200 {
        let mut fork = doc.fork().with_actor(actor(1 + round));
        fork.insert(&list, (round / 2) as usize, round as i64).expect("a place in the list");
        doc.insert(&list, 0, "own").expect("a place in the list");
        doc.merge(&mut fork).expect("replicas merge");
    }
    Gate::default().admit_all(&doc.get_changes(&[]));
}

fn rounds(default: u64) -> u64 {
    super::rounds("REJOIN_HONEST_ROUNDS", default)
}
