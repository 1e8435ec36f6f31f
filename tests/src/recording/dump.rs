//! A database as the statements that make it, which stay readable in a diff.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;

/// Writes down a database: its numbers, its schema, its rows.
pub fn dump(database: &Path) -> String {
    let connection = Connection::open(database).expect("opens");
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("has it");
    let mut out = format!(
        "PRAGMA application_id = {};\nPRAGMA user_version = {};\nBEGIN TRANSACTION;\n",
        pragma("application_id"),
        pragma("user_version")
    );
    let read = |sql: &str| -> Vec<(String, String)> {
        let mut statement = connection.prepare(sql).expect("is SQL");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("runs");
        rows.collect::<Result<_, _>>().expect("readable")
    };
    let schema = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type ";
    for (table, sql) in read(&format!("{schema} = 'table' ORDER BY name")) {
        writeln!(out, "{sql};").expect("in memory");
        let columns: Vec<String> =
            read(&format!("SELECT name, '' FROM pragma_table_info('{table}')")).into_iter().map(|c| c.0).collect();
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        for (values, _) in read(&format!("SELECT {}, '' FROM {table}", quoted.join(" || ',' || "))) {
            writeln!(out, "INSERT INTO {table} VALUES({values});").expect("in memory");
        }
    }
    for (_, sql) in read(&format!("{schema} <> 'table' ORDER BY name")) {
        writeln!(out, "{sql};").expect("in memory");
    }
    out + "COMMIT;\n"
}

/// Makes a database of what was written down.
pub fn restore(database: &Path, sql: &str) {
    let connection = Connection::open(database).expect("opens");
    connection.execute_batch(sql).expect("is made");
}
