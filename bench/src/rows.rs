//! The rows of the table: each makes its load, and notes its figures.

mod back;
mod burst;
mod conflicts;
mod documents;
mod fanout;
mod first_list;
mod idle;
pub(crate) mod paper;
mod writes;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use tempfile::TempDir;

use crate::figures::{Error, Figures};
use crate::process::Process;

/// A row by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Memory of connections that do nothing.
    Idle,
    /// One writer, many readers.
    Fanout,
    /// One writer as fast as it can, many readers.
    Burst,
    /// Many writers, each on a document of its own.
    Writes,
    /// Opening, coming back to, and writing to one long text.
    Paper,
    /// One document that grows.
    Growth,
    /// Documents touched and left.
    Documents,
    /// A start on very many documents.
    Restart,
    /// Merging what two wrote apart, and listing what they disagree about.
    Conflicts,
}

/// What rows work with.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The product's program.
    pub(crate) program: PathBuf,
    /// Where data folders are made.
    pub(crate) folder: TempDir,
    /// Everything tiny: to see that it runs, not how fast.
    pub(crate) quick: bool,
    /// How often a comparison is repeated, taking turns.
    pub(crate) rounds: usize,
}

impl Bench {
    /// `full`, or `quick` where everything is tiny.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// A new data folder.
    pub(crate) fn data(&self) -> Result<TempDir, Error> {
        Ok(tempfile::tempdir_in(self.folder.path())?)
    }

    /// Lets the product do something with a folder that no server has open.
    pub(crate) fn maintain(&self, command: &str, data: &Path) -> Result<(), Error> {
        let status = Command::new(&self.program).args([command, "--data"]).arg(data).status()?;
        if status.success() { Ok(()) } else { Err(format!("{command}: {status}").into()) }
    }

    /// The product on a folder.
    pub(crate) fn product(&self, data: &Path) -> Result<Process, Error> {
        Process::product(&self.program, data, &[])
    }
}

/// Runs a row to its end.
pub(crate) async fn run(row: Row, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    match row {
        Row::Idle => idle::run(bench, figures).await,
        Row::Fanout => fanout::run(bench, figures).await,
        Row::Burst => burst::run(bench, figures).await,
        Row::Writes => writes::run(bench, figures).await,
        Row::Paper => paper::run(bench, figures).await,
        Row::Growth => documents::growth(bench, figures).await,
        Row::Documents => documents::touched(bench, figures).await,
        Row::Restart => documents::restart(bench, figures).await,
        Row::Conflicts => conflicts::run(bench, figures),
    }
}
