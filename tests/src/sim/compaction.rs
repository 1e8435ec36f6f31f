//! The simulated server compacts its logs at random moments, and is stopped in the middle of it.
//!
//! Has chance of its own, drawn from the seed beside the world's, so that what else happens in a run does not hang on it.

use std::time::Duration;

use sync_core::change::Change;
use sync_core::compact::{self, Options, Source};
use sync_core::id::{DocumentName, LogSeq};
use sync_core::newcomer;
use sync_core::planted::Planting;
use sync_core::rng::Rng;
use sync_core::room::Input;
use sync_core::storage::{self, Loaded, Store, StoreError};

use crate::sim::disk::ServerDisk;
use crate::sim::ledger::Ledger;
use crate::sim::world::World;

/// Mixed into the seed, so that this chance is not the world's.
const ASIDE: u64 = 0x7469_6572_7300_0000;
const FURTHER_ASIDE: u64 = 0x6e65_7763_6f6d_6572;
const GATHERING_ASIDE: u64 = 0x6761_7468_6572_0000;

/// How a server compacts in one run.
#[derive(Debug)]
pub(crate) struct Compaction {
    rng: Rng,
    /// How often, in a thousand times that its store begins to write or read.
    per_mille: u64,
    options: Options,
    /// Chance of what came later, so that it leaves alone what is drawn for compaction.
    aside: Rng,
    making: newcomer::Options,
    /// Draws which pushes wait for others. The first seeds keep their stories: where nothing is compacted, each is drained at once.
    gathering: Rng,
}

impl Compaction {
    /// Three runs of four compact.
    pub(crate) fn draw(seed: u64, planted: Planting) -> Option<Self> {
        let mut rng = Rng::from_number(seed ^ ASIDE);
        let per_mille = [0, 10, 60, 300][rng.below(4) as usize];
        let options = Options {
            packs_min: 1 + rng.below(6) as usize,
            segment_changes_max: [1, 3, 8, 40][rng.below(4) as usize],
            segment_bytes_max: [200, 2_000, 500_000][rng.below(3) as usize],
            keep_changes: [0, 1, 10][rng.below(3) as usize],
            step_changes_min: [1, 10, 1_000][rng.below(3) as usize],
            step_bytes_min: [300, 1 << 20][rng.below(2) as usize],
            read_bytes_max: [0, 1_000, 1 << 20][rng.below(3) as usize],
            planted,
        };
        let mut aside = Rng::from_number(seed ^ FURTHER_ASIDE);
        let making = newcomer::Options {
            changes_min: [1, 1, 20][aside.below(3) as usize],
            view_changes_min: [1, 30][aside.below(2) as usize],
            piece_bytes: [50, 500, 60_000][aside.below(3) as usize],
            read_bytes_max: options.read_bytes_max,
            ..newcomer::Options::default()
        };
        let gathering = Rng::from_number(seed ^ GATHERING_ASIDE);
        (per_mille > 0).then_some(Self { rng, per_mille, options, aside, making, gathering })
    }

    /// How long a push waits for others before its room is drained.
    pub(crate) fn gathers(&mut self) -> Option<Duration> {
        self.gathering.chance(500).then(|| Duration::from_micros(self.gathering.below(2_000)))
    }
}

/// A disk on which a compaction may end after any step.
struct Breaking<'a> {
    disk: &'a mut ServerDisk,
    document: &'a DocumentName,
    steps_left: u64,
}

impl Source for Breaking<'_> {
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.disk.open(self.document, bytes_max)
    }

    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.disk.load(self.document, after, bytes_max)
    }

    fn handed_out(&mut self) -> Option<LogSeq> {
        compact::position(self.disk.pieces(self.document, 0, 0))
    }

    fn write(&mut self, step: storage::Compaction) -> Result<(), StoreError> {
        let Some(left) = self.steps_left.checked_sub(1) else { return Err(StoreError::Io("stopped".into())) };
        self.steps_left = left;
        self.disk.replace(&step)
    }
}

impl World {
    /// Perhaps compacts a document, on the way to what the store does next: a crash before its sync takes it back, or a part of it.
    pub(crate) fn compact_some(&mut self) {
        let Some(compaction) = &mut self.server.compaction else { return };
        if !compaction.rng.chance(compaction.per_mille) {
            return;
        }
        let names: Vec<_> = self.server.disk.documents(None, usize::MAX).unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let document = names[compaction.rng.below(names.len() as u64) as usize].0.clone();
        let steps_left = if compaction.rng.chance(300) { compaction.rng.below(3) } else { u64::MAX };
        let mut source = Breaking { disk: &mut self.server.disk, document: &document, steps_left };
        let done = compact::compact(&document, &compaction.options, &mut source);
        let tells = compaction.rng.chance(700);
        match done {
            Ok(None) => {}
            Ok(Some(report)) => {
                self.check_whole();
                self.count(if report.snapshot_bytes > 0 { "compaction with a snapshot" } else { "compaction" });
                if let Some(room) = self.server.rooms.get_mut(&document).filter(|_| tells) {
                    room.handle_input(self.now, Input::Compacted);
                    self.drain_room(&document);
                }
            }
            Err(e) if e.is_retryable() => self.count("compaction cut short"),
            Err(e) => self.fail(format!("P1: {document} can't be compacted: {e}")),
        }
    }

    /// Perhaps makes a snapshot for newcomers, as a process of its own does: what it has read may be old, and the server may have gone on, by
    /// the time that it is kept. It may be killed before.
    pub(crate) fn make_some(&mut self) {
        let Some(compaction) = &mut self.server.compaction else { return };
        if let Some(snapshot) = self.server.made.take() {
            if compaction.aside.chance(200) {
                return self.count("snapshot for newcomers lost with its process");
            }
            match self.server.disk.keep(&snapshot) {
                Ok(()) => self.count("snapshot for newcomers"),
                Err(_) => self.count("snapshot for newcomers that came too late"),
            }
            return;
        }
        if !compaction.aside.chance(compaction.per_mille) {
            return;
        }
        let names: Vec<_> = self.server.disk.documents(None, usize::MAX).unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let document = names[compaction.aside.below(names.len() as u64) as usize].0.clone();
        let mut source = Breaking { disk: &mut self.server.disk, document: &document, steps_left: 0 };
        match newcomer::make(&document, &compaction.making, &mut source) {
            Ok(snapshot) => self.server.made = snapshot,
            Err(e) => self.fail(format!("P1: no snapshot can be made of {document}: {e}")),
        }
    }

    /// Reads all logs from their start, and compares them with what was read when they were written (P1).
    pub(crate) fn check_whole(&mut self) {
        let mut again = Ledger::default();
        if let Err(e) = again.read_disk(&mut self.server.disk) {
            return self.fail(e);
        }
        for (name, mirror) in &self.ledger.logs {
            let found = again.logs.get(name).map(|m| &m.changes[..]).unwrap_or_default();
            let same = |(a, b): (&Change, &Change)| a.bytes() == b.bytes();
            if found.len() < mirror.changes.len() || !mirror.changes.iter().zip(found).all(same) {
                return self.fail(format!("P1: {name} is not what it was once it is read again"));
            }
        }
    }
}
