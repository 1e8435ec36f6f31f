//! Real processes that are killed, and a ledger outside of them that knows what they had said.
//!
//! What an editor reported as saved is on its disk, and what it reported as acknowledged is on the server's, whoever dies when.

mod disks;
mod moments;
mod roulette;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rejoin_tests::editor::Editor;
use rejoin_tests::server::program;
use rejoin_tests::serving::Serving;

/// Between two looks at what an editor shows.
const POLL: Duration = Duration::from_millis(20);

/// A newcomer that is connected has what the server has within this time.
const ARRIVED_WITHIN: Duration = Duration::from_secs(10);

/// What every newcomer writes, to know when it has been heard.
const NEWCOMER: &str = "newcomer";

/// An editor on the store `dir`.
fn editor(server: &Serving, dir: &Path) -> Editor {
    Editor::new(env!("CARGO_BIN_EXE_editor"), &[], &server.url(), dir)
}

/// A server on any port of the loopback interface with its data in `dir`, started.
fn server(dir: &Path) -> Serving {
    let mut server = Serving::new(&[], ([127, 0, 0, 1], 0).into(), dir, &[]);
    server.start();
    server
}

/// What a newcomer with an empty store is given, once all that is wanted is among it or there is no hope of more.
#[track_caller]
fn newcomer_sees(server: &Serving, wanted: &BTreeSet<String>) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut newcomer = editor(server, dir.path());
    newcomer.start();
    newcomer.edit(NEWCOMER);
    newcomer.all_acknowledged();
    let since = Instant::now();
    loop {
        // Its own edit can be acknowledged before the last of the log has come.
        let seen = shown(&mut newcomer);
        let have: BTreeSet<&String> = seen.iter().collect();
        if wanted.iter().all(|token| have.contains(token)) || since.elapsed() > ARRIVED_WITHIN {
            newcomer.quit();
            return seen;
        }
        std::thread::sleep(POLL);
    }
}

/// What an editor shows, without what newcomers wrote.
fn shown(editor: &mut Editor) -> Vec<String> {
    let mut tokens = editor.show();
    tokens.retain(|token| token != NEWCOMER);
    tokens
}

/// Tokens that stand more than once.
fn doubled(tokens: &[String]) -> Vec<&String> {
    let mut counts = BTreeMap::new();
    tokens.iter().for_each(|token| *counts.entry(token).or_insert(0) += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(token, _)| token).collect()
}

/// Every hash, dep and digest of a stopped server's store is right.
fn verified(data: &Path) {
    let done = Command::new(program().expect("there is a server program"))
        .arg("verify")
        .arg("--data")
        .arg(data)
        .output()
        .expect("verify runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// What the ledgers of all editors say together.
#[derive(Default)]
struct Sum {
    written: BTreeSet<String>,
    saved: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

impl Sum {
    fn of<'a>(editors: impl IntoIterator<Item = &'a Editor>) -> Self {
        let mut sum = Self::default();
        for editor in editors {
            let ledger = editor.ledger();
            sum.written.extend(ledger.written.iter().cloned());
            sum.saved.extend(ledger.saved.iter().cloned());
            sum.acknowledged.extend(ledger.acknowledged.iter().cloned());
        }
        sum
    }

    /// What editors were told is safe.
    fn promised(&self) -> BTreeSet<String> {
        self.saved.union(&self.acknowledged).cloned().collect()
    }

    /// Nothing that was promised is missing from `tokens`, nothing stands twice, and nothing is there that nobody wrote.
    #[track_caller]
    fn holds(&self, tokens: &[String], whose: &str) {
        let shown: BTreeSet<String> = tokens.iter().cloned().collect();
        let missing = |of: &BTreeSet<String>| of.difference(&shown).cloned().collect::<Vec<_>>();
        assert_eq!(missing(&self.acknowledged), Vec::<String>::new(), "acknowledged, and not in {whose}");
        assert_eq!(missing(&self.saved), Vec::<String>::new(), "saved, and not in {whose}");
        assert_eq!(doubled(tokens), Vec::<&String>::new(), "twice in {whose}");
        let strange: Vec<_> = shown.difference(&self.written).collect();
        assert_eq!(strange, Vec::<&String>::new(), "in {whose}, and nobody wrote it");
    }
}
