//! What was measured: named figures with what they are to reach, the table that is printed, and the object that `--json` writes.
//!
//! A figure that was not taken is absent. It is never zero, and never guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Why a row could not be run to its end, in words.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    AtMost(f64),
    AtLeast(f64),
    /// It tells of the machine, or stands beside those of peers.
    Told,
}

use Reach::{AtLeast, AtMost, Told};

/// A figure's name in JSON, what it is, its unit, and what it is to reach.
struct Spec(&'static str, &'static str, &'static str, Reach);

/// All figures, in the order of the table.
const SPECS: [Spec; 48] = [
    Spec("fsync_p50_ms", "fdatasync of the disk, p50", "ms", Told),
    Spec("fsync_p99_ms", "fdatasync of the disk, p99", "ms", Told),
    Spec("idle_kib", "idle: resident a connection", "KiB", AtMost(8.0)),
    Spec("fanout_cpu_s_per_10k", "fan-out: CPU per 10,000 deliveries", "s", AtMost(0.04)),
    Spec("fanout_floor_ratio", "fan-out: CPU, ours / bare", "", AtMost(1.5)),
    Spec("fanout_p50_over_fsync_ms", "fan-out: p50 above fdatasync p50", "ms", AtMost(2.0)),
    Spec("fanout_p99_over_fsync_ms", "fan-out: p99 above fdatasync p99", "ms", AtMost(5.0)),
    Spec("fanout_p99_ms_normal", "fan-out: p99, durability normal", "ms", AtMost(4.0)),
    Spec("fanout_p50_ms_normal", "fan-out: p50, durability normal", "ms", Told),
    Spec("fanout_delivered", "fan-out: part that was delivered", "", AtLeast(1.0)),
    Spec("live_bytes_per_change", "live: wire of a character to a subscriber", "bytes", AtMost(56.0)),
    Spec("burst_changes_per_s", "burst: until all subscribers have all", "changes/s", AtLeast(20_000.0)),
    Spec("burst_delivered", "burst: part that was delivered", "", AtLeast(1.0)),
    Spec("writes_per_s", "writes: 50 clients", "changes/s", Told),
    Spec("writes_floor_ratio", "writes: ours / bare", "", AtLeast(0.7)),
    Spec("writes_cpu_s_per_10k", "writes: CPU per 10,000 changes", "s", AtMost(0.2)),
    Spec("cold_wire_bytes", "cold open: on the wire", "bytes", AtMost(140_000.0)),
    Spec("cold_wire_bytes_view", "cold open with a view before: on the wire", "bytes", AtMost(160_000.0)),
    Spec("cold_view_ms", "cold open: until the view has come", "ms", AtMost(100.0)),
    Spec("cold_load_ms", "loading the saved document that came", "ms", Told),
    Spec("cold_round_trips", "cold open: round trips", "", AtMost(1.0)),
    Spec("cold_server_cpu_ms", "cold open: server CPU", "ms", AtMost(5.0)),
    Spec("cold_server_cpu_ms_restarted", "cold open after a restart: server CPU", "ms", AtMost(20.0)),
    Spec("cold_ms", "cold open: until the client has it", "ms", Told),
    Spec("cold_ms_restarted", "cold open after a restart: until the client has it", "ms", Told),
    Spec("cold_rss_mib", "cold open after a restart: memory", "MiB", AtMost(20.0)),
    Spec("reconnect_bytes_up", "reconnect 100 + 100: up", "bytes", AtMost(1_200.0)),
    Spec("reconnect_bytes_down", "reconnect 100 + 100: down", "bytes", AtMost(1_200.0)),
    Spec("reconnect_round_trips", "reconnect: round trips", "", AtMost(1.0)),
    Spec("reconnect_server_cpu_ms", "reconnect: server CPU", "ms", AtMost(2.0)),
    Spec("reconnect_size_ratio", "reconnect: bytes / on a text 100 times smaller", "", AtMost(1.1)),
    Spec("segment_bytes", "reconnect, cursor inside a segment", "bytes", AtMost(10_000.0)),
    Spec("clock_bytes_up", "cursor lost, 50 actors: up", "bytes", AtMost(6_000.0)),
    Spec("clock_bytes_down", "cursor lost, 50 actors: down", "bytes", AtMost(6_000.0)),
    Spec("clock_round_trips", "cursor lost: round trips", "", AtMost(2.0)),
    Spec("first_push_ms", "first push to the cold document", "ms", AtMost(100.0)),
    Spec("admit_us", "admitting one typed character", "us", AtMost(15.0)),
    Spec("op_index_mib", "op index", "MiB", AtMost(4.0)),
    Spec("growth_ratio", "growth to 1,000,000: last tenth / first", "", AtLeast(0.8)),
    Spec("disk_ratio", "disk after compaction / saved document", "", AtMost(4.0)),
    Spec("idle_documents_mib", "10,000 documents touched, then idle", "MiB", AtMost(64.0)),
    Spec("restart_ms", "restart on 100,000 documents", "ms", AtMost(1_000.0)),
    Spec("conflicts_merge_ms", "conflicts: 100 + 100 changes merged and listed", "ms", AtMost(25.0)),
    Spec("conflicts_floor_ratio", "conflicts: merge without any, ours / automerge", "", AtMost(1.2)),
    Spec("conflicts_load_map_ms", "conflicts: loading the map", "ms", Told),
    Spec("conflicts_first_map_ms", "conflicts: first list of the map after that", "ms", Told),
    Spec("conflicts_load_text_ms", "conflicts: loading the long text", "ms", Told),
    Spec("conflicts_first_text_ms", "conflicts: first list of the long text after that", "ms", Told),
];

fn spec(name: &str) -> &'static Spec {
    SPECS.iter().find(|spec| spec.0 == name).expect("every figure that is put has a line in the table")
}

/// Named figures of one server.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    taken: BTreeMap<&'static str, f64>,
    /// The same of a bare server, which does nothing but the unavoidable.
    floors: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// Notes and prints a figure; one that is no number counts as not taken.
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        let Spec(name, what, unit, reach) = spec(name);
        if value.is_finite() {
            self.taken.insert(name, value);
            line(what, value, unit, &said(*reach, value));
        }
    }

    /// Notes and prints what a bare server gives.
    pub(crate) fn floor(&mut self, name: &str, value: f64) {
        let Spec(name, what, unit, _) = spec(name);
        if value.is_finite() {
            self.floors.insert(name, value);
            line(&format!("{what}, bare server"), value, unit, "");
        }
    }

    fn json(&self) -> Map<String, Value> {
        let rounded = |value: f64| (value * 10_000.0).round() / 10_000.0;
        self.taken.iter().map(|(name, value)| ((*name).to_owned(), rounded(*value).into())).collect()
    }
}

/// All that a run gave.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Our figures.
    pub(crate) ours: Figures,
    /// Those of peers, by name.
    pub(crate) peers: BTreeMap<String, Figures>,
}

impl Report {
    /// The object that `--json` writes.
    pub(crate) fn json(&self) -> Value {
        let mut object = self.ours.json();
        if !self.peers.is_empty() {
            let peers = self.peers.iter().map(|(name, figures)| (name.clone(), Value::Object(figures.json())));
            object.insert("peers".into(), Value::Object(peers.collect()));
        }
        Value::Object(object)
    }

    /// All figures as a table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from("| figure | Rejoin | to reach | bare server |");
        self.peers.keys().for_each(|name| out += &format!(" {name} |"));
        out += &format!("\n|---|--:|---|--:|{}\n", "--:|".repeat(self.peers.len()));
        for Spec(name, what, unit, reach) in &SPECS {
            let of = |figures: &BTreeMap<&str, f64>| figures.get(name).map_or("-".into(), |value| number(*value));
            let all = [&self.ours.taken, &self.ours.floors].into_iter().chain(self.peers.values().map(|p| &p.taken));
            if !all.clone().any(|figures| figures.contains_key(name)) {
                continue;
            }
            let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
            let said = self.ours.taken.get(name).map_or(String::new(), |value| said(*reach, *value));
            let mut cells = all.map(of);
            let (ours, floor) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            let _ = write!(out, "| {what}{unit} | {ours} | {said} | {floor} |");
            cells.for_each(|cell| out += &format!(" {cell} |"));
            out.push('\n');
        }
        out
    }
}

/// What is to be reached, and whether a figure does.
fn said(reach: Reach, value: f64) -> String {
    let (bound, word, met) = match reach {
        AtMost(bound) => (bound, "at most", value <= bound),
        AtLeast(bound) => (bound, "at least", value >= bound),
        Told => return String::new(),
    };
    format!("{word} {}{}", number(bound), if met { "" } else { ": MISSED" })
}

/// A number with as many digits as mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// The value that `part` (0 to 1) of the values do not exceed. Sorts them.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    let index = (part * (values.len() - 1) as f64).round() as usize;
    values[index.min(values.len() - 1)]
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(&mut values.to_vec(), 0.5)
}

/// Prints a row's heading.
pub(crate) fn heading(name: &str, what: &str) {
    println!("\n{name}: {what}");
}

/// Prints one figure beside what there is to say of it.
pub(crate) fn line(what: &str, value: f64, unit: &str, note: &str) {
    println!("  {what:<56} {:>12} {unit:<10} {note}", number(value));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names that readers of the JSON rely on.
    const NAMES: &str = include_str!("names.txt");

    #[test]
    fn the_names_are_those_that_were_told() {
        let told: BTreeSet<&str> = NAMES.split_whitespace().collect();
        assert_eq!(SPECS.iter().map(|spec| spec.0).collect::<BTreeSet<_>>(), told);
    }

    #[test]
    fn a_figure_that_was_not_taken_is_absent() {
        let mut report = Report::default();
        report.ours.put("idle_kib", 7.25);
        report.ours.put("burst_changes_per_s", f64::NAN);
        assert_eq!(report.json().to_string(), r#"{"idle_kib":7.25}"#);
        report.peers.entry("other".into()).or_default().put("writes_per_s", 1e-5);
        report.peers.entry("other".into()).or_default().put("idle_kib", 11.0);
        assert_eq!(
            report.json().to_string(),
            r#"{"idle_kib":7.25,"peers":{"other":{"idle_kib":11.0,"writes_per_s":0.0}}}"#
        );
    }

    #[test]
    fn the_table_shows_what_was_taken_and_says_what_is_missed() {
        let mut report = Report::default();
        report.ours.put("idle_kib", 8.0);
        report.ours.put("burst_changes_per_s", 19_999.0);
        report.ours.floor("idle_kib", 6.5);
        report.peers.entry("other".into()).or_default().put("writes_per_s", 1_234_567.0);
        let expected = "| figure | Rejoin | to reach | bare server | other |\n|---|--:|---|--:|--:|\n\
            | idle: resident a connection, KiB | 8 | at most 8 | 6.5 | - |\n\
            | burst: until all subscribers have all, changes/s | 19,999 | at least 20,000: MISSED | - | - |\n\
            | writes: 50 clients, changes/s | - |  | - | 1,234,567 |\n";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|part| percentile(&mut values, part)), [1.0, 51.0, 99.0, 100.0]);
        assert!(percentile(&mut [], 0.5).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn numbers_are_grouped_and_keep_what_matters() {
        let said = [0.0, 0.0404, 2.5, 8.0, 12.34, 140_000.4, -0.5, -1234.0].map(number);
        assert_eq!(said, ["0", "0.04", "2.5", "8", "12.3", "140,000", "-0.5", "-1,234"]);
    }
}
