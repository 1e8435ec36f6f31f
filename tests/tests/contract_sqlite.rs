//! The store contract on the server's SQLite store.

use rejoin_tests::contract::store;
use sync_core::storage::Store;
use sync_server::store::{Options, SqliteStore};
use tempfile::TempDir;

struct Sqlite(TempDir);

impl store::Fixture for Sqlite {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.0.path(), Options::default()).expect("opens"))
    }

    fn persists(&self) -> bool {
        true
    }
}

#[test]
fn sqlite_store_keeps_the_contract() {
    store::run(&mut || Box::new(Sqlite(tempfile::tempdir().expect("a temporary folder"))));
}
