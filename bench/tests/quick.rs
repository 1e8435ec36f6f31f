//! The benchmark runs to its end on a real server, with everything tiny. Its figures mean nothing then, and are not looked at.

use std::process::Command;

#[test]
fn every_row_runs_and_leaves_its_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("figures.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_rejoin-bench"));
    let output = bench.arg("--quick").arg("--json").arg(&json).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&json).expect("it wrote them");
    let figures: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let names = include_str!("../src/names.txt").split_whitespace();
    let absent: Vec<_> = names.filter(|name| figures.get(name).is_none()).collect();
    assert!(absent.is_empty(), "{absent:?} not taken: {said}");
}

#[test]
fn the_soak_lives_through_its_kills_and_finds_all_that_was_acknowledged() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_rejoin-bench"));
    let output = bench.args(["--soak", "0.1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("all well: 8 documents"), "{said}");
}
