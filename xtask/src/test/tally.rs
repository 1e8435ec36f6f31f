//! Counts of tests, and how to read them from a runner's closing line.

use std::ops::AddAssign;

/// How many tests passed and failed, and which failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Those that passed.
    pub(crate) passed: u64,
    /// Those that failed, or did not run though they should have.
    pub(crate) failed: u64,
    /// Names of those that failed, as far as they were told.
    pub(crate) names: Vec<String>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.names.extend(other.names);
    }
}

impl Tally {
    /// So many of each, none of them named.
    pub(crate) fn counts(passed: u64, failed: u64) -> Self {
        Self { passed, failed, names: Vec::new() }
    }

    /// One that failed.
    pub(crate) fn failure(name: &str) -> Self {
        Self { passed: 0, failed: 1, names: vec![name.to_owned()] }
    }

    /// So many fuzz targets that held, and those that failed.
    pub(crate) fn of_targets(passed: u64, failed: &[String]) -> Self {
        let names = failed.iter().map(|target| format!("fuzz {target}")).collect();
        Self { passed, failed: failed.len() as u64, names }
    }

    /// No count yet, but the name of one that failed: its count comes with the closing line.
    fn named(name: &str) -> Self {
        Self { names: vec![name.to_owned()], ..Self::default() }
    }

    /// The counts in one line of cargo's output, or the name of a test that failed; nothing, if it is neither. An ignored test counts as failed,
    /// since this project ignores none.
    pub(crate) fn of_line(line: &str) -> Self {
        let Some(counts) = line.strip_prefix("test result: ") else {
            let told = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
            // The second is what wasm-bindgen's tests say.
            let failed = told.filter(|(_, outcome)| ["FAILED", "FAIL"].contains(outcome));
            return failed.map_or_else(Self::default, |(name, _)| Self::named(name));
        };
        let count = |word: &str| {
            let number = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
            number.and_then(|number| number.trim().parse::<u64>().ok())
        };
        match (count("passed"), count("failed"), count("ignored")) {
            (Some(passed), Some(failed), Some(ignored)) => Self::counts(passed, failed + ignored),
            // Better a false alarm than tests that nobody counts.
            _ => Self::failure(line),
        }
    }

    /// The counts in one line of what Node's test runner prints as TAP, or the name of a test that failed; its closing lines stand at the margin, one for each kind of
    /// outcome. All that did not pass failed.
    pub(crate) fn of_tap_line(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let ["#", kind @ ("pass" | "fail" | "cancelled" | "skipped" | "todo"), number] = words[..] else {
            let failed = line.strip_prefix("not ok ").and_then(|rest| rest.split_once(" - "));
            return failed.map_or_else(Self::default, |(_, name)| Self::named(name));
        };
        match (kind, number.trim_end().parse()) {
            ("pass", Ok(passed)) => Self::counts(passed, 0),
            (_, Ok(failed)) => Self::counts(0, failed),
            _ => Self::failure(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_closing_lines_and_nothing_else() {
        let output = "running 3 tests\ntest a ... ok\ntest b::c ... FAILED\ntest d::e ... FAIL\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 1.50s";
        let mut total = Tally::default();
        output.lines().for_each(|line| total += Tally::of_line(line));
        assert_eq!(total, Tally { passed: 7, failed: 3, names: vec!["b::c".to_owned(), "d::e".to_owned()] });
    }

    #[test]
    fn a_closing_line_in_another_form_is_a_failure() {
        let line = "test result: fine, all of them";
        assert_eq!(Tally::of_line(line), Tally::failure(line));
    }

    #[test]
    fn adds_up_the_closing_lines_of_tap() {
        let output = "TAP version 13\n    # pass 9\n# Subtest: pass 3\nok 1 - pass 3\nnot ok 2 - a - b\n    not ok 1 - inner\n1..4\n# tests 8\n# suites 0\n\
            # pass 3\n# fail 1\n# cancelled 1\n# skipped 2\n# todo 1\n# duration_ms 12.5";
        let mut total = Tally::default();
        output.lines().for_each(|line| total += Tally::of_tap_line(line));
        assert_eq!(total, Tally { passed: 3, failed: 5, names: vec!["a - b".to_owned()] });
        assert_eq!(Tally::of_tap_line("# pass many"), Tally::failure("# pass many"));
    }
}
