//! Logs that SQLite itself wrote, with bits flipped and ends torn off.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const PAGE_BYTES: usize = 1_024;
const FRAME_BYTES: usize = 24 + PAGE_BYTES;
const COMMITS: usize = 12;

/// A database and its log, as they lie on disk when the process is killed.
struct Killed {
    dir: TempDir,
    log: Vec<u8>,
}

impl Killed {
    fn new(script: impl FnOnce(&Connection)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let live = dir.path().join("live.db");
        let connection = Connection::open(&live).expect("opens");
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a BLOB); PRAGMA wal_checkpoint(TRUNCATE);"
            ))
            .expect("a table");
        script(&connection);
        fs::copy(&live, dir.path().join("db")).expect("copies");
        let log = fs::read(log_of(&live)).expect("reads");
        Self { dir, log }
    }

    fn of_commits() -> Self {
        Self::new(|connection| (0..COMMITS).for_each(|_| insert(connection, 1_500)))
    }

    fn audit(&self, log: &[u8], commits: Commits) -> Option<Damage> {
        let database = self.dir.path().join("db");
        fs::write(log_of(&database), log).expect("writes");
        audit(&database, commits).expect("reads")
    }

    fn rows(&self, log: &[u8]) -> usize {
        let database = self.dir.path().join("opened");
        fs::copy(self.dir.path().join("db"), &database).expect("copies");
        fs::write(log_of(&database), log).expect("writes");
        let connection = Connection::open(&database).expect("opens");
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0)).expect("counts") as usize
    }

    fn frames(&self) -> usize {
        (self.log.len() - HEADER_BYTES) / FRAME_BYTES
    }
}

fn insert(connection: &Connection, bytes: u32) {
    connection.execute("INSERT INTO t VALUES (randomblob(?1))", [bytes]).expect("inserts");
}

const BOTH: [Commits; 2] = [Commits::Synced, Commits::Unsynced];

#[test]
fn a_whole_log_and_no_log_are_sound() {
    let killed = Killed::of_commits();
    assert!(killed.frames() > COMMITS);
    for commits in BOTH {
        assert_eq!(killed.audit(&killed.log, commits), None);
        assert_eq!(audit(&killed.dir.path().join("absent"), commits).expect("reads"), None);
    }
}

#[test]
fn a_flipped_bit_anywhere_is_damage_where_sqlite_is_silent() {
    let killed = Killed::of_commits();
    assert_eq!(killed.rows(&killed.log), COMMITS);
    let header = (0..HEADER_BYTES).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
    let inside = (0..killed.frames()).flat_map(|frame| {
        let start = HEADER_BYTES + frame * FRAME_BYTES;
        // Every byte of the frame's header; of the page some, not the same in each frame.
        let places = (0..24).chain((24 + frame..FRAME_BYTES).step_by(97)).chain([FRAME_BYTES - 1]);
        places.map(move |place| (start + place, (frame + place) % 8))
    });
    let (mut flips, mut silent) = (0, 0);
    for (byte, bit) in header.chain(inside) {
        let mut log = killed.log.clone();
        log[byte] ^= 1 << bit;
        for commits in BOTH {
            let found = killed.audit(&log, commits);
            let frame = (byte as i64 - HEADER_BYTES as i64).div_euclid(FRAME_BYTES as i64) + 1;
            assert_eq!(
                found.map(|damage| damage.frame as i64),
                Some(frame.max(0)),
                "byte {byte}, bit {bit}, {commits:?}"
            );
        }
        flips += 1;
        silent += usize::from(flips % 16 == 0 && killed.rows(&log) < COMMITS);
    }
    assert!(silent > flips / 32, "SQLite was silent in {silent} of {} cases", flips / 16);
}

#[test]
fn a_log_cut_short_anywhere_is_sound() {
    let killed = Killed::of_commits();
    for length in (0..killed.log.len()).step_by(61).chain(0..HEADER_BYTES + 30) {
        for commits in BOTH {
            assert_eq!(killed.audit(&killed.log[..length], commits), None, "{length} bytes, {commits:?}");
        }
    }
}

#[test]
fn a_last_transaction_of_which_any_part_did_not_reach_the_disk_is_sound() {
    let killed = Killed::new(|connection| {
        insert(connection, 100);
        insert(connection, 12_000);
    });
    for start in (HEADER_BYTES + 3 * FRAME_BYTES..killed.log.len()).step_by(512) {
        let mut log = killed.log.clone();
        let end = log.len().min(start + 512);
        log[start..end].fill(0);
        for commits in BOTH {
            assert_eq!(killed.audit(&log, commits), None, "from {start}, {commits:?}");
        }
    }
}

#[test]
fn a_lost_sector_below_a_later_commit_is_damage_if_commits_were_synced() {
    let killed = Killed::of_commits();
    for frame in 0..killed.frames() / 2 {
        let mut log = killed.log.clone();
        let start = HEADER_BYTES + frame * FRAME_BYTES;
        log[start..start + 512].fill(0xa5);
        let found = killed.audit(&log, Commits::Synced).expect("damage");
        assert_eq!((found.frame, found.sign), (frame as u64 + 1, Sign::LaterCommit));
        assert_eq!(killed.audit(&log, Commits::Unsynced), None);
    }
    let mut log = killed.log.clone();
    log[..HEADER_BYTES].fill(0);
    let found = killed.audit(&log, Commits::Synced).expect("damage");
    assert_eq!((found.frame, found.sign), (0, Sign::Header));
}

#[test]
fn what_transactions_that_failed_left_behind_is_no_damage() {
    let spill = |connection: &Connection, rows: usize| {
        connection.execute_batch("PRAGMA cache_size = 2; BEGIN").expect("begins");
        (0..rows).for_each(|_| insert(connection, 900));
        connection.execute_batch("ROLLBACK").expect("rolls back");
    };
    let killed = Killed::new(|connection| {
        (0..3).for_each(|_| insert(connection, 100));
        for rows in [40, 25, 12] {
            spill(connection, rows);
            insert(connection, 100);
        }
    });
    assert_eq!(killed.rows(&killed.log), 6);
    assert!(killed.frames() > 30, "the failed transactions left {} frames", killed.frames());
    for commits in BOTH {
        assert_eq!(killed.audit(&killed.log, commits), None);
    }
}

#[test]
fn frames_of_the_log_before_are_no_damage() {
    let killed = Killed::new(|connection| {
        (0..10).for_each(|_| insert(connection, 1_500));
        connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").expect("a checkpoint");
        insert(connection, 100);
    });
    assert_eq!(killed.rows(&killed.log), 11);
    assert!(killed.frames() > 10, "the log begins at its start again");
    for commits in BOTH {
        assert_eq!(killed.audit(&killed.log, commits), None);
    }
}
