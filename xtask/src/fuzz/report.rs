//! What the fuzzer printed, in one line when it held and with a way to see it again when it did not.

use std::fmt;

use crate::run::Failure;

/// What a target's run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    executions: u64,
    seconds: u64,
    coverage: u64,
    inputs: String,
}

impl Report {
    /// Reads libFuzzer's closing lines.
    pub(crate) fn of(log: &str) -> Option<Self> {
        let done = log.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
        let mut words = done.split_whitespace();
        let executions = words.next()?.parse().ok()?;
        let seconds = words.nth(2)?.parse().ok()?;
        let status = log.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "))?;
        let word_after = |key: &str| status.split_whitespace().skip_while(|word| *word != key).nth(1);
        let coverage = word_after("cov:")?.parse().ok()?;
        Some(Self { executions, seconds, coverage, inputs: word_after("corp:")?.to_owned() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executions, seconds, coverage, inputs } = self;
        write!(f, "held {executions} executions in {seconds} s, coverage {coverage}, corpus {inputs}")
    }
}

/// What broke, the input that breaks it, and how to replay it; `None` if the fuzzer ended for another reason.
pub(crate) fn failure(target: &str, log: &str) -> Option<Failure> {
    let input = log.lines().find_map(|line| line.split("Test unit written to ").nth(1))?;
    let is_noise =
        |line: &&str| line.starts_with(['#', '\t']) || line.starts_with("INFO") || line.starts_with("WARNING");
    let reason: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.starts_with(&format!("{target}: ")) && !line.starts_with("=="))
        .take_while(|line| !line.starts_with("MS: ") && !line.starts_with("SUMMARY"))
        .filter(|line| !is_noise(line))
        .collect();
    Some(Failure::new(format!(
        "{}\nthe input is {input}\nreplay it with:\n    cargo run --package rejoin-fuzz --bin replay -- {target} {input}\n\
         then keep it in fuzz/corpus/{target}",
        reason.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_run_came_to() {
        let log = "INFO: Seed: 1\n#12\tINITED cov: 9 ft: 9 corp: 1/1b exec/s: 0 rss: 27Mb\n\
            #6194674\tDONE   cov: 56 ft: 74 corp: 16/95b lim: 4096 exec/s: 1548668 rss: 27Mb\n\
            Done 6194674 runs in 4 second(s)\nstat::number_of_executed_units: 6194674";
        let report = Report::of(log).expect("a closing line");
        assert_eq!(report.to_string(), "held 6194674 executions in 4 s, coverage 56, corpus 16/95b");
        assert_eq!(Report::of("#1\tINITED cov: 9"), None);
    }

    #[test]
    fn a_failure_names_its_reason_its_input_and_how_to_replay_it() {
        let log = "#2\tINITED cov: 9\nlaw: panicked at x.rs:1:2:\naccepted\n==18534== ERROR: libFuzzer: deadly signal\n\
            MS: 0 ; base unit: 0000\nartifact_prefix='/a/'; Test unit written to /a/crash-1\nBase64: AA==";
        let failure = failure("law", log).expect("an input was written").to_string();
        assert!(failure.starts_with("law: panicked at x.rs:1:2:\naccepted\n=="), "{failure}");
        assert!(failure.contains("--bin replay -- law /a/crash-1"), "{failure}");
        assert!(super::failure("law", "killed").is_none());
    }
}
