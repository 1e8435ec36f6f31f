//! The store contracts on the stores in memory.

use rejoin_tests::contract::{local_store, store};
use sync_core::id::StoreId;
use sync_core::storage::memory::{MemoryLocalStore, MemoryStore};
use sync_core::storage::{LocalStore, Store};

struct Memory;

impl store::Fixture for Memory {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(MemoryStore::new(StoreId([1; 16])))
    }

    fn persists(&self) -> bool {
        false
    }
}

impl local_store::Fixture for Memory {
    fn open(&mut self) -> Box<dyn LocalStore> {
        Box::new(MemoryLocalStore::new())
    }

    fn persists(&self) -> bool {
        false
    }
}

#[test]
fn memory_store_keeps_the_contract() {
    store::run(&mut || Box::new(Memory));
}

#[test]
fn memory_local_store_keeps_the_contract() {
    local_store::run(&mut || Box::new(Memory));
}
