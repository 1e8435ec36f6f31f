//! The layers of sync-core: the table in ARCHITECTURE.md, and whether a module keeps to it.

use std::collections::BTreeMap;

use crate::tokens;
use crate::tree::Source;

const HEADING: &str = "| layer | modules | inside the layer |";

/// Modules by layer, and which may import which inside one layer.
pub(crate) struct Table {
    layer: BTreeMap<String, usize>,
    inside: Vec<(String, String)>,
}

impl Table {
    /// Reads the table, whose rows are `| 1 | modules in backticks | a -> b in backticks |`.
    pub(crate) fn parse(page: &str) -> Option<Self> {
        let mut rows = page.lines().skip_while(|line| *line != HEADING);
        rows.next()?;
        let mut table = Self { layer: BTreeMap::new(), inside: Vec::new() };
        for row in rows.skip(1).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let layer = cells.get(1)?.parse().ok()?;
            table.layer.extend(quoted(cells.get(2)?).map(|module| (module.to_owned(), layer)));
            let edges = quoted(cells.get(3)?).filter_map(|edge| edge.split_once(" -> "));
            table.inside.extend(edges.map(|(from, to)| (from.to_owned(), to.to_owned())));
        }
        Some(table)
    }

    /// Edges that leave their layer, and circles inside one.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (from, to) in &self.inside {
            if !self.layer.contains_key(from) || self.layer.get(from) != self.layer.get(to) {
                faults.push(format!("ARCHITECTURE.md: {from} -> {to} is no edge inside a layer"));
            }
            if from == to || self.reaches(to, from, self.inside.len()) {
                faults.push(format!("ARCHITECTURE.md: {from} -> {to} is part of a circle"));
            }
        }
        faults
    }

    fn reaches(&self, from: &str, to: &str, steps: usize) -> bool {
        let mut next = self.inside.iter().filter(|(source, _)| source == from).map(|(_, target)| target);
        next.any(|target| target == to || (steps > 0 && self.reaches(target, to, steps - 1)))
    }

    /// Modules that the crate has and the table has not, or the other way.
    pub(crate) fn differences(&self, lib: &str) -> Vec<String> {
        let declared =
            |line: &str| line.split_once("mod ").and_then(|(_, name)| name.strip_suffix(';')).map(str::to_owned);
        let crate_has: Vec<String> = lib.lines().filter(|line| !line.starts_with("//")).filter_map(declared).collect();
        let unknown = crate_has.iter().filter(|module| !self.layer.contains_key(*module));
        let gone = self.layer.keys().filter(|module| !crate_has.contains(module));
        unknown
            .map(|module| format!("sync-core/src/lib.rs: module {module} is in no layer of ARCHITECTURE.md"))
            .chain(gone.map(|module| format!("ARCHITECTURE.md: sync-core has no module {module}")))
            .collect()
    }

    /// Imports from a layer that is not below.
    pub(crate) fn check(&self, source: &Source) -> Vec<String> {
        let inner = source.path.trim_start_matches("sync-core/src/").trim_end_matches(".rs").trim_end_matches("/mod");
        if inner == "lib" {
            return Vec::new();
        }
        let module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        let mut faults = Vec::new();
        for path in tokens::paths(&source.text, &module) {
            let [root, to, ..] = &path.segments[..] else { continue };
            if root == "crate" && !self.allows(&module[0], to) {
                faults.push(source.fault(path.line, &format!("{} may not import {}", module[0], path.text())));
            }
        }
        faults
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        if from == to || self.inside.iter().any(|edge| edge.0 == from && edge.1 == to) {
            return true;
        }
        matches!((self.layer.get(from), self.layer.get(to)), (Some(from), Some(to)) if to < from)
    }
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
const SAMPLE: &str = "| layer | modules | inside the layer |\n|---|---|---|\n| 1 | `id`, `limits` | `id -> limits` |\n| 2 | `clock` | |\n";

#[test]
fn an_import_from_above_or_beside_is_a_fault() {
    let table = Table::parse(SAMPLE).expect("a table");
    let faults = |path: &str, text: &str| table.check(&Source::new(path, text)).len();
    assert_eq!(faults("sync-core/src/clock.rs", "use crate::id::A; use crate::limits;"), 0);
    assert_eq!(faults("sync-core/src/id.rs", "use crate::limits::{A, B};"), 0);
    assert_eq!(faults("sync-core/src/limits.rs", "use crate::id::A;"), 1);
    assert_eq!(faults("sync-core/src/id.rs", "fn f() { crate::clock::g() }"), 1);
    assert_eq!(faults("sync-core/src/id/name.rs", "use super::super::clock::A;"), 1);
    assert_eq!(faults("sync-core/src/id/name.rs", "use crate::{limits, clock as c};"), 1);
    assert_eq!(faults("sync-core/src/clock.rs", "use crate::elsewhere;"), 1);
}

#[test]
fn a_table_with_a_circle_or_another_set_of_modules_is_a_fault() {
    let table = Table::parse(SAMPLE).expect("a table");
    assert_eq!(table.faults(), Vec::<String>::new());
    assert_eq!(table.differences("pub mod id;\nmod limits;\npub mod clock;").len(), 0);
    assert_eq!(table.differences("pub mod id;\npub mod limits;\npub mod extra;").len(), 2);
    let circle = SAMPLE.replace("`id -> limits`", "`id -> limits`, `limits -> id`");
    assert_eq!(Table::parse(&circle).expect("a table").faults().len(), 2);
    let astray = SAMPLE.replace("`id -> limits`", "`id -> clock`");
    assert_eq!(Table::parse(&astray).expect("a table").faults().len(), 1);
}
