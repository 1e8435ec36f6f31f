//! The contract of a client's local store.

use sync_core::storage::{LocalStore, Row, Table, Write};

/// A place for one local store, empty at first.
pub trait Fixture {
    /// Opens the store; what was opened before has been dropped.
    fn open(&mut self) -> Box<dyn LocalStore>;

    /// Whether what was committed is there when the place is opened again.
    fn persists(&self) -> bool {
        true
    }

    /// Makes writes of the open store fail from now on, or work again. False if this fixture can't.
    fn break_writes(&mut self, broken: bool) -> bool {
        let _ = broken;
        false
    }
}

/// Runs the whole suite, each part in a place of its own. Panics with the part's reason.
pub fn run(make: &mut dyn FnMut() -> Box<dyn Fixture>) {
    let parts: [fn(&mut dyn Fixture); 7] = [
        an_empty_store_reads_empty,
        rows_come_back_in_key_order,
        tables_are_apart,
        prefixes_end_where_they_end,
        writes_of_a_commit_happen_in_order,
        everything_is_there_after_reopening,
        a_failed_commit_keeps_nothing,
    ];
    for part in parts {
        part(make().as_mut());
    }
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write::Put { table, key: key.into(), value: value.into() }
}

fn delete(table: Table, key: &[u8]) -> Write {
    Write::Delete { table, key: key.into() }
}

fn delete_prefix(table: Table, prefix: &[u8]) -> Write {
    Write::DeletePrefix { table, prefix: prefix.into() }
}

fn rows(rows: &[(&[u8], &[u8])]) -> Vec<Row> {
    rows.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

#[track_caller]
fn check(store: &mut dyn LocalStore, table: Table, prefix: &[u8], want: &[(&[u8], &[u8])]) {
    assert_eq!(store.read(table, prefix).expect("reads"), rows(want), "{table:?} {prefix:?}");
}

fn an_empty_store_reads_empty(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    for table in Table::ALL {
        check(&mut *store, table, b"", &[]);
        check(&mut *store, table, b"a", &[]);
    }
    store.commit(&[]).expect("an empty commit");
    store.commit(&[delete(Table::Meta, b"a"), delete_prefix(Table::Chunk, b"")]).expect("nothing to delete");
}

fn rows_come_back_in_key_order(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let keys: [&[u8]; 8] = [b"b", b"a\x00\x01", b"", b"a", b"a\xff", b"\xff\xff", b"a\x00", b"B"];
    let writes: Vec<_> = keys.iter().map(|k| put(Table::Outbox, k, &[k, b"!".as_slice()].concat())).collect();
    store.commit(&writes).expect("commits");
    let mut sorted = keys;
    sorted.sort_unstable();
    let got = store.read(Table::Outbox, b"").expect("reads");
    assert_eq!(got.iter().map(|(k, _)| k.as_slice()).collect::<Vec<_>>(), sorted);
    assert!(got.iter().all(|(k, v)| *v == [k.as_slice(), b"!"].concat()), "values stay with their keys");
    let large = vec![7; 300_000];
    store.commit(&[put(Table::Outbox, b"large", &large)]).expect("commits");
    check(&mut *store, Table::Outbox, b"large", &[(b"large", &large)]);
    store.commit(&[put(Table::Outbox, b"large", b"")]).expect("commits");
    check(&mut *store, Table::Outbox, b"large", &[(b"large", b"")]);
}

fn tables_are_apart(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let writes: Vec<_> = Table::ALL.iter().map(|t| put(*t, b"key", t.name().as_bytes())).collect();
    store.commit(&writes).expect("commits");
    for table in Table::ALL {
        check(&mut *store, table, b"", &[(b"key", table.name().as_bytes())]);
    }
    store.commit(&[delete(Table::Chunk, b"key"), delete_prefix(Table::Meta, b"")]).expect("commits");
    check(&mut *store, Table::Meta, b"", &[]);
    check(&mut *store, Table::Document, b"", &[(b"key", b"document")]);
    check(&mut *store, Table::Chunk, b"", &[]);
    check(&mut *store, Table::Outbox, b"", &[(b"key", b"outbox")]);
}

fn prefixes_end_where_they_end(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let keys: [&[u8]; 7] = [b"a", b"a\x00\x01", b"a\x00\xff", b"a\x01", b"a\xff", b"a\xff\xff", b"b"];
    store.commit(&keys.map(|k| put(Table::Chunk, k, b"v"))).expect("commits");
    check(&mut *store, Table::Chunk, b"a\x00", &[(b"a\x00\x01", b"v"), (b"a\x00\xff", b"v")]);
    check(&mut *store, Table::Chunk, b"a\xff", &[(b"a\xff", b"v"), (b"a\xff\xff", b"v")]);
    check(&mut *store, Table::Chunk, b"a\xff\xff", &[(b"a\xff\xff", b"v")]);
    check(&mut *store, Table::Chunk, b"a\x02", &[]);
    assert_eq!(store.read(Table::Chunk, b"a").expect("reads").len(), 6);
    store.commit(&[delete_prefix(Table::Chunk, b"a\xff")]).expect("commits");
    check(&mut *store, Table::Chunk, b"a\x01", &[(b"a\x01", b"v")]);
    check(&mut *store, Table::Chunk, b"a\xff", &[]);
    store.commit(&[delete_prefix(Table::Chunk, b"a\x00"), delete(Table::Chunk, b"b")]).expect("commits");
    check(&mut *store, Table::Chunk, b"", &[(b"a", b"v"), (b"a\x01", b"v")]);
}

fn writes_of_a_commit_happen_in_order(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let t = Table::Document;
    store.commit(&[put(t, b"a", b"1"), put(t, b"a", b"2"), put(t, b"b", b"1"), delete(t, b"b")]).expect("commits");
    check(&mut *store, t, b"", &[(b"a", b"2")]);
    store.commit(&[delete(t, b"a"), put(t, b"a", b"3"), put(t, b"ab", b"1")]).expect("commits");
    check(&mut *store, t, b"", &[(b"a", b"3"), (b"ab", b"1")]);
    store.commit(&[delete_prefix(t, b"a"), put(t, b"ac", b"4")]).expect("commits");
    check(&mut *store, t, b"", &[(b"ac", b"4")]);
}

fn everything_is_there_after_reopening(fixture: &mut dyn Fixture) {
    if !fixture.persists() {
        return;
    }
    let mut store = fixture.open();
    store.commit(&[put(Table::Meta, b"m", b"1"), put(Table::Outbox, b"a\x00\x01", b"2")]).expect("commits");
    store.commit(&[put(Table::Outbox, b"a\x00\x02", b"3"), delete(Table::Outbox, b"a\x00\x01")]).expect("commits");
    drop(store);
    let mut store = fixture.open();
    check(&mut *store, Table::Meta, b"", &[(b"m", b"1")]);
    check(&mut *store, Table::Outbox, b"", &[(b"a\x00\x02", b"3")]);
    store.commit(&[put(Table::Meta, b"m", b"4")]).expect("commits");
    drop(store);
    check(&mut *fixture.open(), Table::Meta, b"", &[(b"m", b"4")]);
}

fn a_failed_commit_keeps_nothing(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    store.commit(&[put(Table::Meta, b"m", b"1")]).expect("commits");
    if !fixture.break_writes(true) {
        return;
    }
    // Large, so that a store with a bound on its size notices too.
    let large = vec![7; 300_000];
    let writes = [put(Table::Meta, b"m", b"2"), put(Table::Outbox, b"o", &large), delete(Table::Meta, b"m")];
    let error = store.commit(&writes).expect_err("writes are broken");
    assert!(error.is_retryable(), "{error}");
    check(&mut *store, Table::Meta, b"", &[(b"m", b"1")]);
    check(&mut *store, Table::Outbox, b"", &[]);
    assert!(fixture.break_writes(false));
    if fixture.persists() {
        drop(store);
        store = fixture.open();
        check(&mut *store, Table::Meta, b"", &[(b"m", b"1")]);
    }
    store.commit(&writes[..2]).expect("works again");
    check(&mut *store, Table::Meta, b"", &[(b"m", b"2")]);
    check(&mut *store, Table::Outbox, b"", &[(b"o", &large)]);
}
