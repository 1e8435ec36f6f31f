//! The long text that rows open and come back to: automerge-paper, 259,778 recorded edits of one character each.
//!
//! It is read from the folder that `REJOIN_TRACES` names, else `../shared/traces` beside the workspace.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use sync_core::change::Change;

use crate::figures::Error;
use crate::typing::{self, Typist};

const FILE: &str = "automerge-paper.json.gz";

#[derive(Deserialize)]
struct Trace {
    txns: Vec<Txn>,
}

#[derive(Deserialize)]
struct Txn {
    patches: Vec<(usize, usize, String)>,
}

/// Its author and its changes, one for each character, all of them or the first `most`.
pub(crate) fn paper(most: usize) -> Result<(Typist, Vec<Change>), Error> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let path = std::env::var_os("REJOIN_TRACES").map_or_else(beside, Into::into).join(FILE);
    let file = File::open(&path).map_err(|error| {
        format!("{} can't be read ({error}); REJOIN_TRACES names the folder that has {FILE}", path.display())
    })?;
    let trace: Trace = serde_json::from_reader(BufReader::new(GzDecoder::new(file)))?;
    let (mut typist, first) = typing::begin(1)?;
    let mut changes = vec![first];
    for (position, deleted, inserted) in trace.txns.into_iter().take(most).flat_map(|txn| txn.patches) {
        for _ in 0..deleted {
            changes.push(typist.delete(position)?);
        }
        for (index, character) in inserted.chars().enumerate() {
            changes.push(typist.insert(position + index, character)?);
        }
    }
    Ok((typist, changes))
}

/// A text that was typed from its start to its end.
pub(crate) fn typed(changes: usize) -> Result<(Typist, Vec<Change>), Error> {
    let (mut typist, first) = typing::begin(1)?;
    let mut all = vec![first];
    all.extend(typist.typed(changes)?);
    Ok((typist, all))
}
