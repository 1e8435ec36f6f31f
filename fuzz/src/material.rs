//! What targets start from: a few fixed worlds, each with an honest history, honest changes on top of it, and hostile ones.
//!
//! Fixed by seed numbers, since the kept corpus means something only as long as they give the same bytes.

use std::cell::OnceCell;
use std::rc::Rc;

use sync_core::change::Change;
use sync_core::limits::ChangeLimits;
use sync_core::rng::Rng;
use sync_core::table::ChangeTable;

use crate::law;
use crate::mutants::World;
use crate::panics::quietly;

/// How many worlds there are.
pub const WORLDS: usize = 6;

const SEED_FIRST: u64 = 7_000;
const HISTORY_MIN: usize = 8;
const EDITS: usize = 12;
const HOSTILE: usize = 40;

/// One world, made once in a process.
pub struct Material {
    /// The world as it stands.
    pub world: World<()>,
    /// Its history, parsed.
    pub history: Vec<Change>,
    /// The history's table.
    pub table: ChangeTable,
    /// Honest changes on top of the history, each of which stands on those before it or on older ones.
    pub honest: Vec<Change>,
    /// Hostile changes on top of the history; the validator has seen none of them.
    pub hostile: Vec<Change>,
}

thread_local! {
    static MADE: [OnceCell<Rc<Material>>; WORLDS] = const { [const { OnceCell::new() }; WORLDS] };
}

/// The world with a number.
pub fn material(number: usize) -> Rc<Material> {
    MADE.with(|made| made[number % WORLDS].get_or_init(|| Rc::new(make(number % WORLDS))).clone())
}

fn make(number: usize) -> Material {
    // Worlds in which automerge itself gives up on the honest history would say nothing about ours.
    let seeds = (0..).map(|n| SEED_FIRST + number as u64 + n * WORLDS as u64);
    let sound = |world: &World<Rng>| {
        let history = &world.history;
        history.len() >= HISTORY_MIN && (0..4).all(|seed| law::check(history, &history[0], seed).is_ok())
    };
    let mut world = seeds.map(World::new).find(sound).expect("some histories are long and sound");
    let history: Vec<Change> = world.history.iter().map(|change| wrap(change.clone())).collect();
    let table = world.gate.table.clone();
    let start = world.chosen_by(());
    let hostile = (0..HOSTILE).filter_map(|_| {
        let honest = world.edit()?;
        let bytes = world.mutant(&honest);
        quietly(|| Change::parse(&bytes, &ChangeLimits::default())).ok()?.ok()
    });
    let hostile = hostile.collect();
    let mut honest = Vec::new();
    for _ in 0..EDITS {
        if let Some(change) = world.edit().filter(|change| world.gate.admit(change).is_ok()) {
            world.history.push(change.clone());
            honest.push(wrap(change));
        }
    }
    Material { world: start, history, table, honest, hostile }
}

fn wrap(change: automerge::Change) -> Change {
    Change::from_automerge(change).expect("seqs of a short history fit")
}
