//! The client's SQLite store keeps the contract of local stores.

use rejoin_tests::contract::local_store::{self, Fixture};
use rejoin_tests::tight_store::{BytesMax, TightStore};
use sync_client::SqliteStore;
use sync_core::storage::LocalStore;
use tempfile::TempDir;

struct Folder {
    dir: TempDir,
    bytes_max: BytesMax,
}

impl Fixture for Folder {
    fn open(&mut self) -> Box<dyn LocalStore> {
        let store = SqliteStore::open(self.dir.path()).expect("the store opens");
        Box::new(TightStore { store, bytes_max: self.bytes_max.clone() })
    }

    fn break_writes(&mut self, broken: bool) -> bool {
        self.bytes_max.tighten(broken);
        true
    }
}

#[test]
fn sqlite_local_store_keeps_the_contract() {
    local_store::run(&mut || {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Box::new(Folder { dir, bytes_max: BytesMax::lifted() })
    });
}
