//! Editing histories: real ones from a folder, or made by a seeded generator of the same shape where there is none.
//!
//! The folder is named by `REJOIN_TRACES`, else `../shared/traces` beside the workspace. Owns reading and placing edits;
//! knows nothing of clients and servers.

mod generate;
mod place;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

pub use generate::{generate_concurrent, generate_sequential};
pub use place::{Element, PlacedEdit, PlacedTransaction, place};

/// The two-author history.
pub const FRIENDS: &str = "friendsforever";

/// Replaces `deleted` characters at `position` by `inserted`. Counts Unicode code points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "(usize, usize, String)")]
pub struct Patch {
    /// Where.
    pub position: usize,
    /// How many characters go.
    pub deleted: usize,
    /// What comes.
    pub inserted: String,
}

impl From<(usize, usize, String)> for Patch {
    fn from((position, deleted, inserted): (usize, usize, String)) -> Self {
        Self { position, deleted, inserted }
    }
}

/// A history by one author.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequential {
    /// The text before.
    pub start_content: String,
    /// The text after.
    pub end_content: String,
    /// Edits, each a few patches one after the other.
    pub txns: Vec<Edit>,
}

/// One author's edit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Edit {
    /// Its patches, one after the other.
    pub patches: Vec<Patch>,
}

/// A history by several authors at once, from an empty text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrent {
    /// The text after the merge of everything.
    pub end_content: String,
    /// Number of authors.
    pub num_agents: usize,
    /// Edits in a causal order.
    pub txns: Vec<Transaction>,
}

/// An edit of one of several authors, on the merge of its parents' texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Transaction {
    /// Indexes of earlier transactions, none an ancestor of another.
    pub parents: Vec<usize>,
    /// Number of the author.
    pub agent: usize,
    /// Its patches, one after the other.
    pub patches: Vec<Patch>,
}

/// The folder of histories, if there is one.
pub fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let folder = std::env::var_os("REJOIN_TRACES").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> Option<T> {
    let path = folder()?.join(format!("{name}.json.gz"));
    let file = File::open(&path).ok()?;
    let parsed = serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(file)));
    Some(parsed.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// A one-author history by name, or a generated one of 20,000 edits. Says which.
pub fn sequential(name: &str) -> (Sequential, &'static str) {
    read(name).map_or_else(|| (generate_sequential(1, 20_000), "generated"), |t| (t, "recorded"))
}

/// A two-author history by name, or a generated one of 26,000 edits. Says which.
pub fn concurrent(name: &str) -> (Concurrent, &'static str) {
    read(name).map_or_else(|| (generate_concurrent(1, 26_000), "generated"), |t| (t, "recorded"))
}

impl Concurrent {
    /// The first `count` transactions alone. Its end is what they give.
    pub fn prefix(mut self, count: usize) -> Self {
        if count < self.txns.len() {
            self.txns.truncate(count);
            self.end_content = place(&self).1;
        }
        self
    }

    /// For each transaction, how many transactions of each author it has seen: those are exactly what it was made on.
    pub fn seen(&self) -> Vec<Vec<usize>> {
        let mut after: Vec<Vec<usize>> = Vec::with_capacity(self.txns.len());
        let mut before = Vec::with_capacity(self.txns.len());
        for txn in &self.txns {
            let mut seen = vec![0; self.num_agents];
            for parent in &txn.parents {
                seen.iter_mut().zip(&after[*parent]).for_each(|(s, p)| *s = (*s).max(*p));
            }
            before.push(seen.clone());
            seen[txn.agent] += 1;
            after.push(seen);
        }
        before
    }

    /// Indexes of each author's transactions, in order.
    pub fn by_agent(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut out: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, txn) in self.txns.iter().enumerate() {
            out.entry(txn.agent).or_default().push(index);
        }
        out
    }
}
