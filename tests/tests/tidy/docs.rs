//! What a reader finds: pages whose links lead somewhere, licences, and the dependency policy.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tree::{self, Source};

const EXPECTED: [&str; 10] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    ".ci/run",
    "sync-core/clippy.toml",
];

/// Files that every reader of a project looks for and that are not under `root`.
pub(crate) fn missing(root: &Path) -> Vec<String> {
    EXPECTED.iter().filter(|name| !root.join(name).is_file()).map(|name| format!("{name} is missing")).collect()
}

/// Links from a page to files that are not there. Links to other hosts are not followed.
pub(crate) fn links(page: &Source) -> Vec<String> {
    let folder = tree::root().join(&page.path).parent().expect("a file is in a folder").to_path_buf();
    let mut faults = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !folder.join(file).exists() {
                faults.push(page.fault(index + 1, &format!("{target} leads nowhere")));
            }
        }
    }
    faults
}

/// Manifest lines that turn planted bugs on.
pub(crate) fn planted(manifest: &Source) -> Vec<String> {
    let lines = manifest.text.lines().enumerate().filter(|(_, line)| line.contains("planted"));
    lines.map(|(index, _)| manifest.fault(index + 1, "turns planted bugs on")).collect()
}

/// What cargo knows of all packages in the lock file.
pub(crate) fn metadata() -> Value {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(["metadata", "--format-version", "1", "--locked"]).current_dir(tree::root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Packages under a licence that `deny.toml` does not allow.
pub(crate) fn licences(metadata: &Value, policy: &str) -> Vec<String> {
    let allowed = allowed(policy);
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let mut faults = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        if !satisfied(licence, &allowed) {
            faults.push(format!("{} {}: licence {licence:?} is not allowed", package["name"], package["version"]));
        }
    }
    faults
}

fn allowed(policy: &str) -> BTreeSet<&str> {
    let list = policy.split_once("allow = [").map_or("", |(_, rest)| rest.split(']').next().unwrap_or_default());
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether a licence expression can be met: one part of each `OR`, every part of an `AND`.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.trim();
    if let Some((left, right)) = split_outside(expression, " AND ") {
        return satisfied(left, allowed) && satisfied(right, allowed);
    }
    if let Some((left, right)) = split_outside(expression, " OR ").or_else(|| expression.split_once('/')) {
        return satisfied(left, allowed) || satisfied(right, allowed);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => satisfied(inner, allowed),
        None => allowed.contains(expression),
    }
}

fn split_outside<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let outside = |at: usize| expression[..at].matches('(').count() == expression[..at].matches(')').count();
    let (at, _) = expression.match_indices(operator).find(|(at, _)| outside(*at))?;
    Some((&expression[..at], &expression[at + operator.len()..]))
}

#[test]
fn a_missing_file_and_a_dead_link_are_faults() {
    assert_eq!(missing(Path::new("/nowhere")).len(), EXPECTED.len());
    let page = Source::new(
        "docs/x.md",
        "[a](../README.md#top) [b](https://example.org/x) [c](gone.md)\n[d](#here) [e](../gone.rs)",
    );
    assert_eq!(links(&page), ["docs/x.md:1: gone.md leads nowhere", "docs/x.md:2: ../gone.rs leads nowhere"]);
}

#[test]
fn a_manifest_with_planted_bugs_is_a_fault() {
    let manifest =
        Source::new("x/Cargo.toml", "[dependencies]\nsync-core = { workspace = true, features = [\"planted\"] }");
    assert_eq!(planted(&manifest), ["x/Cargo.toml:2: turns planted bugs on"]);
}

#[test]
fn a_licence_outside_the_policy_is_a_fault() {
    let allowed = allowed("[licenses]\nallow = [\n  \"MIT\",\n  \"Unicode-3.0\",\n]");
    for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(Apache-2.0 OR GPL-3.0) AND MIT"] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}
