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

/// An edit as it was recorded: so many characters deleted at a place, and a text put there.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// Where, in characters.
    pub(crate) at: usize,
    /// How many go.
    pub(crate) deleted: usize,
    /// What comes.
    pub(crate) inserted: String,
}

/// Its edits, those of all transactions or of the first `most`.
pub(crate) fn edits(most: usize) -> Result<Vec<Edit>, Error> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let path = std::env::var_os("REJOIN_TRACES").map_or_else(beside, Into::into).join(FILE);
    let file = File::open(&path).map_err(|error| {
        format!("{} can't be read ({error}); REJOIN_TRACES names the folder that has {FILE}", path.display())
    })?;
    let trace: Trace = serde_json::from_reader(BufReader::new(GzDecoder::new(file)))?;
    let patches = trace.txns.into_iter().take(most).flat_map(|txn| txn.patches);
    Ok(patches.map(|(at, deleted, inserted)| Edit { at, deleted, inserted }).collect())
}

/// The author of edits and their changes, one for each character.
pub(crate) fn written(edits: &[Edit]) -> Result<(Typist, Vec<Change>), Error> {
    let (mut typist, first) = typing::begin(1)?;
    let mut changes = vec![first];
    for Edit { at, deleted, inserted } in edits {
        for _ in 0..*deleted {
            changes.push(typist.delete(*at)?);
        }
        for (index, character) in inserted.chars().enumerate() {
            changes.push(typist.insert(at + index, character)?);
        }
    }
    Ok((typist, changes))
}

/// Its author and its changes, all of them or those of the first `most` transactions.
pub(crate) fn paper(most: usize) -> Result<(Typist, Vec<Change>), Error> {
    written(&edits(most)?)
}

/// A text that was typed from its start to its end.
pub(crate) fn typed(changes: usize) -> Result<(Typist, Vec<Change>), Error> {
    let (mut typist, first) = typing::begin(1)?;
    let mut all = vec![first];
    all.extend(typist.typed(changes)?);
    Ok((typist, all))
}

/// Edits that type a text from its start to its end, a character each.
pub(crate) fn typing(characters: usize) -> Vec<Edit> {
    let letter = |at: usize| char::from(b'a' + (at % 26) as u8).to_string();
    (0..characters).map(|at| Edit { at, deleted: 0, inserted: letter(at) }).collect()
}
