//! The thread that owns the local store: tasks in order, consecutive commits together.
//!
//! Owns when a transaction begins and ends. Never retries by itself: a failed commit is answered as failed, and the replica, which
//! keeps what it wanted written, asks again.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use sync_core::id::TaskId;
use sync_core::storage::{LocalDone, LocalStore, LocalTask, StoreError, Write};

/// Most tasks taken from the queue at once, and so most commits in one transaction. What is beyond waits for the next.
const GROUP_TASKS_MAX: usize = 256;

/// The way to the store thread. The queue has no bound of its own: what waits in it is at most what the replica holds unsaved,
/// which its outbox bounds.
pub(crate) type StoreQueue = Sender<(TaskId, LocalTask)>;

/// The queue and its other end, before there is a thread.
pub(crate) fn queue() -> (StoreQueue, Receiver<(TaskId, LocalTask)>) {
    channel()
}

/// Starts the thread. It answers each task through `done`, in order, and ends, dropping the store, once all senders of the queue
/// are gone and the queue is empty.
pub(crate) fn spawn(
    store: Box<dyn LocalStore>,
    tasks: Receiver<(TaskId, LocalTask)>,
    done: impl Fn(TaskId, LocalDone) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("rejoin-store".into()).spawn(move || run(store, &tasks, &done))
}

fn run(mut store: Box<dyn LocalStore>, tasks: &Receiver<(TaskId, LocalTask)>, done: &impl Fn(TaskId, LocalDone)) {
    while let Ok(first) = tasks.recv() {
        let mut group: VecDeque<_> = [first].into();
        group.extend(tasks.try_iter().take(GROUP_TASKS_MAX - 1));
        while let Some((id, task)) = group.pop_front() {
            match task {
                LocalTask::Read { tables, prefix } => {
                    let rows = tables.into_iter().map(|table| store.read(table, &prefix)).collect();
                    done(id, LocalDone::Read(rows));
                }
                LocalTask::Commit(writes) => {
                    let mut commits = vec![(id, writes)];
                    while let Some((_, LocalTask::Commit(_))) = group.front() {
                        let Some((id, LocalTask::Commit(writes))) = group.pop_front() else { break };
                        commits.push((id, writes));
                    }
                    commit(&mut *store, commits, done);
                }
            }
        }
    }
}

/// Commits all together; if that fails, one by one, so that what can be saved is. After a failure that may pass (a full disk) the
/// rest of the group is answered with it untried: a later commit never overtakes an earlier one that is still to be written.
fn commit(store: &mut dyn LocalStore, commits: Vec<(TaskId, Vec<Write>)>, done: &impl Fn(TaskId, LocalDone)) {
    if let [(id, writes)] = &commits[..] {
        return done(*id, LocalDone::Committed(store.commit(writes)));
    }
    let ids: Vec<TaskId> = commits.iter().map(|(id, _)| *id).collect();
    let lengths: Vec<usize> = commits.iter().map(|(_, writes)| writes.len()).collect();
    let together: Vec<Write> = commits.into_iter().flat_map(|(_, writes)| writes).collect();
    if store.commit(&together).is_ok() {
        return ids.into_iter().for_each(|id| done(id, LocalDone::Committed(Ok(()))));
    }
    let mut failed: Option<StoreError> = None;
    let mut rest = &together[..];
    for (id, length) in ids.into_iter().zip(lengths) {
        let (writes, after) = rest.split_at(length);
        rest = after;
        let result = failed.clone().map_or_else(|| store.commit(writes), Err);
        failed = result.clone().err().filter(StoreError::is_retryable);
        done(id, LocalDone::Committed(result));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sync_core::storage::{Row, Table};

    use super::*;

    /// Counts transactions and refuses those that hold a write to the key `poison`.
    #[derive(Default)]
    struct Counting {
        transactions: Arc<Mutex<Vec<usize>>>,
        error: Option<StoreError>,
    }

    impl LocalStore for Counting {
        fn read(&mut self, _: Table, _: &[u8]) -> Result<Vec<Row>, StoreError> {
            Ok(vec![])
        }

        fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
            let poisoned = writes.iter().any(|w| matches!(w, Write::Delete { key, .. } if key == b"poison"));
            if let (true, Some(error)) = (poisoned, &self.error) {
                return Err(error.clone());
            }
            self.transactions.lock().expect("nobody panics").push(writes.len());
            Ok(())
        }
    }

    fn task(id: u64, key: &str) -> (TaskId, LocalTask) {
        (TaskId(id), LocalTask::Commit(vec![Write::Delete { table: Table::Chunk, key: key.into() }]))
    }

    /// Runs tasks that are all queued before the thread starts; gives the answers and the sizes of the transactions made.
    fn check(tasks: Vec<(TaskId, LocalTask)>, error: Option<StoreError>) -> (Vec<(u64, bool)>, Vec<usize>) {
        let store = Counting { error, ..Counting::default() };
        let transactions = Arc::clone(&store.transactions);
        let (sender, receiver) = queue();
        tasks.into_iter().for_each(|t| sender.send(t).expect("the receiver is here"));
        drop(sender);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&answers);
        let thread = spawn(Box::new(store), receiver, move |id, done| {
            let ok = matches!(done, LocalDone::Read(Ok(_)) | LocalDone::Committed(Ok(())));
            seen.lock().expect("nobody panics").push((id.0, ok));
        });
        thread.expect("a thread starts").join().expect("it does not panic");
        let answers = answers.lock().expect("nobody panics").clone();
        let sizes = transactions.lock().expect("nobody panics").clone();
        (answers, sizes)
    }

    #[test]
    fn consecutive_commits_share_a_transaction_and_a_read_parts_them() {
        let read = (TaskId(3), LocalTask::Read { tables: vec![Table::Meta], prefix: vec![] });
        let (answers, sizes) = check(vec![task(1, "a"), task(2, "b"), read, task(4, "c")], None);
        assert_eq!(answers, vec![(1, true), (2, true), (3, true), (4, true)]);
        assert_eq!(sizes, vec![2, 1]);
    }

    #[test]
    fn after_a_full_disk_nothing_overtakes_the_commit_that_failed() {
        let tasks = vec![task(1, "a"), task(2, "poison"), task(3, "c")];
        let (answers, sizes) = check(tasks, Some(StoreError::Full));
        assert_eq!(answers, vec![(1, true), (2, false), (3, false)]);
        assert_eq!(sizes, vec![1]);
    }

    #[test]
    fn a_commit_that_can_never_succeed_does_not_hold_up_the_others() {
        let tasks = vec![task(1, "a"), task(2, "poison"), task(3, "c")];
        let (answers, sizes) = check(tasks, Some(StoreError::Corrupt("bad row".into())));
        assert_eq!(answers, vec![(1, true), (2, false), (3, true)]);
        assert_eq!(sizes, vec![1, 1]);
    }
}
