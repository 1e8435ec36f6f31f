//! Seeds that once failed, each with the story of its fault. They go on as runs of their own, whatever the gate's seeds are.

use rejoin_tests::sim;

fn check(seed: u64) {
    if let Some(failure) = sim::run_of_old(seed).failure {
        panic!("seed {seed}: {failure}\n  {} --old", sim::replay(seed, None));
    }
}

/// After a restore the log had the other branch of a cloned store. By seq alone the client took its own branch as held, without a change
/// it stood on: the copy was not closed under its deps and was loaded again and again. (Also told in small in sync-core/tests/machines.)
#[test]
fn a_copy_that_is_not_closed_under_its_deps_is_not_kept() {
    check(266);
}

/// A client that had to reconcile pushed at once on top of its own branch. The push did not fit the log's other branch; the client opened
/// again before that branch had come, and so for ever. Held ranges filled the bound on what is on its way, one frame for each commit.
#[test]
fn a_push_that_does_not_fit_waits_until_the_log_has_come() {
    check(1039);
    check(1478);
    check(1542);
}
