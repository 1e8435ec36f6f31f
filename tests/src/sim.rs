//! The simulation: real replicas, sessions and rooms in one thread under virtual time, with everything that can go wrong drawn from a seed.
//!
//! Owns the world around the machines and the checks on them. A seed is a whole run: the same seed gives the same outputs, byte for byte.

mod answers;
mod blocked;
mod checks;
mod client;
mod clocks;
mod compaction;
mod conflicts;
mod deletion;
mod disagree;
pub mod disk;
mod edits;
mod faults;
mod held;
mod hostile;
mod ledger;
mod net;
pub mod options;
mod presence;
mod rules;
mod server;
mod settled;
mod settling;
mod snoop;
mod standing;
mod tabs;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sync_core::planted::Planted;

pub use conflicts::ORACLE;
pub use disagree::COUNTED;
pub use settled::SETTLED;
pub use world::{Report, World};

/// The seeds that gate a change of the engine.
pub const GATE_SEEDS: u64 = 300;

/// Runs the world of a seed. A panic of a machine is a failed check like others.
pub fn run(seed: u64, planted: Option<Planted>) -> Report {
    run_aloud(seed, planted, false)
}

/// Like [`run`], printing what is said if `verbose`.
pub fn run_aloud(seed: u64, planted: Option<Planted>, verbose: bool) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, planted);
        world.verbose = verbose;
        world.run(seed)
    }));
    outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Report {
            seed,
            failure: Some(format!("panic: {}", said.unwrap_or("of another kind"))),
            inputs: 0,
            edits: 0,
            counts: Default::default(),
            trace: 0,
        }
    })
}

/// Runs the world of a seed with what was injected from the first day on only.
pub fn run_of_old(seed: u64) -> Report {
    World::of_old(seed).run(seed)
}

/// The line that runs one seed again.
pub fn replay(seed: u64, planted: Option<&str>) -> String {
    let planted = planted.map(|name| format!(" --planted {name}")).unwrap_or_default();
    format!("cargo xtask sim --seeds 1 --from {seed}{planted}")
}
