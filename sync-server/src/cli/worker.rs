//! The hidden command that makes a document's snapshot for newcomers and says it on its standard output, for a server that started it.
//!
//! It reads the store beside the server and writes nothing. It ends when its standard input does, which is when the server ends; stack, memory
//! and priority are bounded where the system lets it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use sync_core::compact::Source;
use sync_core::id::{DocumentName, LogSeq};
use sync_core::newcomer::{self, Options};
use sync_core::storage::{Compaction, Loaded, StoreError};

use super::Failure;
use crate::handout;
use crate::store::{ReadStore as _, SqliteReader};

/// Stack of the thread that applies changes. Values nest at most as deep as `ChangeLimits::depth_max`; this is ample.
const STACK_BYTES: usize = 16 << 20;

/// Most memory of the process. A document that takes more has no snapshot.
const MEMORY_BYTES_MAX: u64 = 8 << 30;

/// How far below the server it stands when there is not enough processor for both.
const NICE: i32 = 10;

#[derive(Debug, Args)]
pub(super) struct Worker {
    /// The data folder of the server that runs
    #[arg(long)]
    data: PathBuf,
    /// The document
    #[arg(long)]
    document: DocumentName,
}

pub(super) fn run(args: &Worker) -> Result<(), Failure> {
    bound();
    thread::Builder::new().name("stdin".into()).spawn(end_with_the_server).map_err(Failure::data)?;
    let (data, document) = (args.data.clone(), args.document.clone());
    let thread = thread::Builder::new().name("materialise".into()).stack_size(STACK_BYTES);
    let made = thread.spawn(move || make(&data, &document)).map_err(Failure::data)?.join();
    let output = made.map_err(|_| Failure::data("applying its changes panics"))??;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&output).and_then(|()| stdout.flush()).map_err(Failure::data)
}

fn make(data: &Path, document: &DocumentName) -> Result<Vec<u8>, Failure> {
    let reader = SqliteReader::beside(data).map_err(Failure::data)?;
    let made = newcomer::make(document, &Options::default(), &mut Beside { reader, document });
    made.map(|snapshot| handout::write(snapshot.as_ref())).map_err(Failure::data)
}

fn end_with_the_server() {
    let mut byte = [0];
    // Nothing is ever said there.
    while !matches!(std::io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
    std::process::exit(1);
}

/// Reads beside the server, and writes nothing.
struct Beside<'a> {
    reader: SqliteReader,
    document: &'a DocumentName,
}

impl Source for Beside<'_> {
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.open(self.document, bytes_max)
    }

    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.load(self.document, after, bytes_max)
    }

    fn handed_out(&mut self) -> Option<LogSeq> {
        self.reader.handed_out(self.document)
    }

    fn write(&mut self, _: Compaction) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }
}

/// Whatever fails here is not needed to do the work.
#[cfg(unix)]
fn bound() {
    use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
    let maximum = getrlimit(Resource::As).maximum;
    let current = Some(maximum.map_or(MEMORY_BYTES_MAX, |maximum| maximum.min(MEMORY_BYTES_MAX)));
    let _ = setrlimit(Resource::As, Rlimit { current, maximum });
    // It dies of what a hostile document does to it, and nobody reads what it leaves behind.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum });
    let _ = nice(NICE);
}

#[cfg(not(unix))]
fn bound() {
    let _ = (MEMORY_BYTES_MAX, NICE);
}
