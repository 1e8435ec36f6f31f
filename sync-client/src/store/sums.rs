//! Checksums: one with each row, and for each table how many rows it has and the sum of their checksums.
//!
//! SQLite has none of its own: a flipped bit in a page changes a value, hides a row behind another key or points a tree elsewhere, and nothing
//! says so. Owns what is summed and how. Protects against damage, not against people.

use std::collections::BTreeMap;

use crc32fast::Hasher;
use rusqlite::{Connection, Transaction};
use sync_core::storage::{StoreError, Table};

use super::error::from_sqlite;

/// The checksum of a row. It covers the table's name, so that a row is not taken for one of another table.
pub(super) fn of_row(table: Table, key: &[u8], value: &[u8]) -> i64 {
    let mut hasher = Hasher::new();
    hasher.update(table.name().as_bytes());
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().into()
}

/// Refuses a row whose checksum does not fit.
pub(super) fn check(table: Table, key: &[u8], value: &[u8], crc: i64) -> Result<(), StoreError> {
    match of_row(table, key, value) == crc {
        true => Ok(()),
        false => Err(StoreError::Corrupt(format!("a row of {} does not fit its checksum", table.name()))),
    }
}

/// What rows a table has, as a sum in which each row counts once and none can be missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    rows: i64,
    sum: i64,
}

impl Total {
    fn add(&mut self, crc: i64) {
        (self.rows, self.sum) = (self.rows + 1, self.sum.wrapping_add(crc));
    }

    fn remove(&mut self, crc: i64) {
        (self.rows, self.sum) = (self.rows - 1, self.sum.wrapping_sub(crc));
    }
}

/// How a transaction changes the totals of the tables that it touches.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<Table, Total>);

impl Totals {
    /// A row came.
    pub(super) fn add(&mut self, table: Table, crc: i64) {
        self.0.entry(table).or_default().add(crc);
    }

    /// A row went.
    pub(super) fn remove(&mut self, table: Table, crc: i64) {
        self.0.entry(table).or_default().remove(crc);
    }

    /// Writes them down within the transaction that they belong to.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE total SET rows = rows + ?2, sum = sum + ?3 WHERE name = ?1";
        let mut statement = transaction.prepare_cached(sql).map_err(from_sqlite)?;
        for (table, total) in self.0 {
            let written = statement.execute((table.name(), total.rows, total.sum)).map_err(from_sqlite)?;
            if written != 1 {
                return Err(missing(table));
            }
        }
        Ok(())
    }
}

/// Gives each row of a store that had none its checksum, and each table its total.
pub(super) fn add_to_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in Table::ALL {
        let name = table.name();
        let mut total = Total::default();
        let mut rows = transaction.prepare(&format!("SELECT key, value FROM {name}"))?;
        let mut crcs: Vec<(Vec<u8>, i64)> = Vec::new();
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let crc = of_row(table, &key, &value);
            total.add(crc);
            crcs.push((key, crc));
        }
        let mut write = transaction.prepare(&format!("UPDATE {name} SET crc = ?2 WHERE key = ?1"))?;
        for row in &crcs {
            write.execute((&row.0, row.1))?;
        }
        transaction
            .execute("INSERT INTO total (name, rows, sum) VALUES (?1, ?2, ?3)", (name, total.rows, total.sum))?;
    }
    Ok(())
}

/// Looks through a whole store: every page has its place, every row fits its checksum, and none is missing.
pub(super) fn audit(connection: &Connection) -> Result<(), StoreError> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(from_sqlite)?;
    if said != "ok" {
        return Err(StoreError::Corrupt(said));
    }
    for table in Table::ALL {
        let found = sum_up(connection, table)?;
        let written = connection
            .query_row("SELECT rows, sum FROM total WHERE name = ?1", [table.name()], |row| {
                Ok(Total { rows: row.get(0)?, sum: row.get(1)? })
            })
            .map_err(|e| match e {
                rusqlite::Error::QueryReturnedNoRows => missing(table),
                e => from_sqlite(e),
            })?;
        if found != written {
            let text =
                format!("{} has {} rows of {}, or others than were written", table.name(), found.rows, written.rows);
            return Err(StoreError::Corrupt(text));
        }
    }
    Ok(())
}

fn sum_up(connection: &Connection, table: Table) -> Result<Total, StoreError> {
    let sql = format!("SELECT key, value, crc FROM {}", table.name());
    let mut statement = connection.prepare(&sql).map_err(from_sqlite)?;
    let mut rows = statement.query([]).map_err(from_sqlite)?;
    let mut total = Total::default();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let column = |index| row.get_ref(index).and_then(|v| Ok(v.as_blob()?)).map_err(from_sqlite);
        let crc = row.get(2).map_err(from_sqlite)?;
        check(table, column(0)?, column(1)?, crc)?;
        total.add(crc);
    }
    Ok(total)
}

fn missing(table: Table) -> StoreError {
    StoreError::Corrupt(format!("nothing says what rows {} has", table.name()))
}
