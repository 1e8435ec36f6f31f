//! What a seed decides before its run begins: sizes, weights, and which faults exist at all.

use std::time::Duration;

use sync_core::planted::Planted;
use sync_core::rng::Rng;
use sync_core::session::Rate;

/// Parts the chance of later options from that of the first.
const LATER_SALT: u64 = 0x6c61_7465_7200_0001;

/// A kind of injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection is cut; what was on its way is lost, and both sides notice soon.
    Cut,
    /// A connection is cut and one side notices only by its own timeout.
    HalfOpen,
    /// One direction stands still for a while.
    Stall,
    /// One direction becomes slow for a while.
    Slow,
    /// A client's process ends, at a moment between two of its outputs.
    ClientCrash,
    /// The server's process ends, at a moment between two of its outputs.
    ServerCrash,
    /// A client's disk is full for a while, or a few of its writes fail.
    ClientDisk,
    /// The server's disk is full for a while, or a few of its writes fail.
    ServerDisk,
    /// A client's wall clock jumps.
    ClockJump,
    /// A client's disk is copied, and the copy runs beside it: two tabs with one actor.
    Clone,
    /// A client's disk goes back to an older image.
    ClientRollback,
    /// The server's store is restored from an older image under a new identity.
    ServerRestore,
    /// The server's store is swapped for an older image, unnoticed.
    ServerSwap,
    /// The server unloads its idle rooms.
    Unload,
    /// A client's application goes offline for a while.
    Offline,
    /// A rejected change is tried again or discarded.
    Act,
    /// An edit that the server will refuse is made, and later ones stand on it.
    Refused,
    /// A hostile writer pushes what would break a document, or more than anybody can use.
    Hostile,
    /// The operator deletes a document.
    Delete,
    /// The server's disk answers nothing for a while.
    DiskHang,
    /// A client that holds nothing comes.
    Newcomer,
    /// A tab stands still for a while, and goes on as if nothing had happened.
    TabFrozen,
    /// A tab is closed, or its process ends.
    TabEnds,
    /// A browser ends with all its tabs.
    BrowserEnds,
}

impl Fault {
    /// Those that every run has drawn since the first day, in their order.
    pub const ALL: [Fault; 17] = [
        Self::Cut,
        Self::HalfOpen,
        Self::Stall,
        Self::Slow,
        Self::ClientCrash,
        Self::ServerCrash,
        Self::ClientDisk,
        Self::ServerDisk,
        Self::ClockJump,
        Self::Clone,
        Self::ClientRollback,
        Self::ServerRestore,
        Self::ServerSwap,
        Self::Unload,
        Self::Offline,
        Self::Act,
        Self::Refused,
    ];

    /// Those that came later, drawn apart.
    pub const LATER: [Fault; 4] = [Self::Hostile, Self::Delete, Self::DiskHang, Self::Newcomer];

    /// Those of worlds with several tabs on one store.
    pub const TABS: [Fault; 3] = [Self::TabFrozen, Self::TabEnds, Self::BrowserEnds];
}

/// Everything that a seed decides in advance.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients at the start.
    pub clients: usize,
    /// Documents; each client opens the first and some of the others.
    pub documents: usize,
    /// How long faults and edits go on.
    pub chaos: Duration,
    /// Mean time between two edits of one client, in microseconds.
    pub edit_gap_us: u64,
    /// Mean time between two faults, in microseconds.
    pub fault_gap_us: u64,
    /// Weight of each fault; 0 if it does not exist in this run.
    pub weights: Vec<(Fault, u64)>,
    /// Mean delay of a connection's direction, in microseconds.
    pub delay_us: u64,
    /// Mean time a disk takes to sync, in microseconds.
    pub sync_us: u64,
    /// Bytes per second of a slow direction.
    pub slow_bytes_per_second: u64,
    /// Bound on bytes on their way to one subscriber.
    pub subscriber_bytes_max: usize,
    /// Bytes of recent packs that a room keeps.
    pub tail_bytes_max: usize,
    /// Bytes of one read from the server's store.
    pub read_bytes_max: usize,
    /// Largest value that the server takes.
    pub value_bytes_max: usize,
    /// Bytes of pushes that a room takes before they are durable.
    pub staged_bytes_max: usize,
    /// Bytes of one frame.
    pub frame_bytes_max: u32,
    /// How fast one connection may open and push.
    pub rates: (Rate, Rate),
    /// Whether every other client has what it receives wait until somebody looks, as pages do.
    pub holds: bool,
    /// Whether applications say where their users are.
    pub presence: bool,
    /// Where the server's store goes back at all, it does so once more when edits have ended, and nothing that is pushed tells of it.
    pub ends_going_back: bool,
    /// Planted bugs.
    pub planted: Option<Planted>,
}

impl Options {
    /// Draws the options of a run.
    pub fn draw(rng: &mut Rng, planted: Option<Planted>) -> Self {
        let mut weights: Vec<_> = Fault::ALL
            .into_iter()
            .map(|fault| {
                let usual = matches!(fault, Fault::Cut | Fault::ClientCrash | Fault::ServerCrash);
                let on = rng.chance(if usual { 850 } else { 450 });
                (fault, if on { 1 + rng.below(if usual { 12 } else { 5 }) } else { 0 })
            })
            .collect();
        // What one side forgets the other must still hold: a run has histories going back on one side only.
        let spared = rng.below(2);
        for (fault, weight) in &mut weights {
            let client = *fault == Fault::ClientRollback;
            let server = matches!(fault, Fault::ServerRestore | Fault::ServerSwap);
            if (client && spared == 0) || (server && spared == 1) {
                *weight = 0;
            } else if client || server {
                *weight = (*weight).min(1);
            }
        }
        let pick = |rng: &mut Rng, of: &[u64]| of[rng.below(of.len() as u64) as usize];
        Self {
            clients: 3 + rng.below(2) as usize,
            documents: 1 + rng.below(3) as usize,
            chaos: Duration::from_secs(20 + rng.below(20)),
            edit_gap_us: pick(rng, &[700_000, 1_200_000, 1_800_000]),
            fault_gap_us: pick(rng, &[400_000, 800_000, 1_600_000]),
            weights,
            delay_us: pick(rng, &[200, 5_000, 40_000, 150_000]),
            sync_us: pick(rng, &[100, 2_000, 10_000, 60_000]),
            slow_bytes_per_second: pick(rng, &[300, 2_000, 20_000]),
            subscriber_bytes_max: pick(rng, &[1 << 10, 4 << 10, 256 << 10]) as usize,
            tail_bytes_max: pick(rng, &[512, 4 << 10, 256 << 10]) as usize,
            read_bytes_max: pick(rng, &[512, 4 << 10, 512 << 10]) as usize,
            value_bytes_max: 600,
            staged_bytes_max: 16 << 20,
            frame_bytes_max: 64 << 10,
            rates: (Rate { burst: 1, per_s: 0 }, Rate { burst: 1, per_s: 0 }),
            holds: false,
            presence: false,
            ends_going_back: false,
            planted,
        }
    }

    /// Draws what came after the first seeds had become scenarios, so that it leaves alone what they draw.
    pub fn draw_later(&mut self, seed: u64) {
        let mut rng = Rng::from_number(seed ^ LATER_SALT);
        for fault in Fault::LATER {
            let on = rng.chance(if fault == Fault::Delete { 200 } else { 400 });
            let most = if fault == Fault::Delete { 1 } else { 4 };
            self.weights.push((fault, if on { 1 + rng.below(most) } else { 0 }));
        }
        self.staged_bytes_max = if rng.chance(500) { 16 << 10 } else { 16 << 20 };
        self.frame_bytes_max = if rng.chance(400) { 1 << 10 } else { 64 << 10 };
        self.presence = rng.chance(500);
        self.ends_going_back = rng.chance(700);
        if rng.chance(300) {
            self.rates = (Rate { burst: 1, per_s: 1 }, Rate { burst: 1 + rng.below(8) as u32, per_s: 2 });
        }
        self.holds = rng.chance(400);
    }

    /// Draws a fault, if there is any.
    pub fn fault(&self, rng: &mut Rng) -> Option<Fault> {
        let total: u64 = self.weights.iter().map(|(_, w)| w).sum();
        let mut at = rng.below(total);
        self.weights
            .iter()
            .find(|(_, weight)| {
                let hit = at < *weight;
                at = at.saturating_sub(*weight);
                hit
            })
            .map(|(fault, _)| *fault)
    }

    /// Whether a fault exists in this run.
    pub fn has(&self, fault: Fault) -> bool {
        self.weights.iter().any(|(f, w)| *f == fault && *w > 0)
    }
}
