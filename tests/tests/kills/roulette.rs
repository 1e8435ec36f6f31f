//! Server and editors killed, stopped and started at random for a while; then the books are opened.
//!
//! `REJOIN_KILL_SECONDS` and `REJOIN_KILL_SEED` make it longer and another. Processes are not as repeatable as the simulation: a seed repeats the plan, not the race.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rejoin_tests::editor::Editor;
use rejoin_tests::serving::Serving;
use tempfile::TempDir;

use crate::{POLL, Sum, editor, newcomer_sees, server, shown, verified};

const SECONDS: u64 = 45;
const SEED: u64 = 1;
const EDITORS: usize = 3;

/// A quiet world has everything everywhere within this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

struct World {
    rng: ChaCha8Rng,
    data: TempDir,
    stores: Vec<TempDir>,
    server: Serving,
    editors: Vec<Editor>,
    edits: usize,
    kills: [usize; 2],
    stops: usize,
    audits: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let data = folder();
        let server = server(data.path());
        let stores: Vec<TempDir> = (0..EDITORS).map(|_| folder()).collect();
        let mut editors: Vec<Editor> = stores.iter().map(|store| editor(&server, store.path())).collect();
        editors.iter_mut().for_each(Editor::start);
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, data, stores, server, editors, edits: 0, kills: [0; 2], stops: 0, audits: 0 }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n
    }

    fn turn(&mut self) {
        let who = self.below(EDITORS as u64) as usize;
        match self.below(20) {
            0..12 => self.edit(who),
            12..15 if self.editors[who].runs() => {
                self.editors[who].kill();
                self.kills[1] += 1;
            }
            12..15 => self.editors[who].spawn(),
            15 if self.server.runs() => self.audit(),
            16 if self.server.runs() => {
                self.server.kill();
                self.kills[0] += 1;
            }
            15..17 => self.server.start(),
            17 => self.pause(who),
            18 if self.server.runs() => {
                assert!(self.server.terminate().success());
                self.stops += 1;
            }
            _ => self.revive(),
        }
        // The moment of the next blow is drawn, not waited for.
        let pause = Duration::from_millis(self.below(40));
        std::thread::sleep(pause);
    }

    fn edit(&mut self, who: usize) {
        for _ in 0..=self.below(8) {
            self.edits += 1;
            let token = format!("{who}-{}", self.edits);
            if self.editors[who].runs() {
                self.editors[who].edit(&token);
            }
        }
    }

    fn pause(&mut self, who: usize) {
        if self.editors[who].runs() && self.server.runs() {
            self.server.signal("STOP");
            let pause = Duration::from_millis(self.below(300));
            std::thread::sleep(pause);
            if self.below(2) == 0 {
                self.editors[who].kill();
                self.kills[1] += 1;
            }
            self.server.signal("CONT");
        }
    }

    /// Everybody is killed, and the server's disk alone must have what it had acknowledged: editors that came back would heal it.
    fn audit(&mut self) {
        self.server.kill();
        for editor in self.editors.iter_mut().filter(|editor| editor.runs()) {
            editor.kill();
            self.kills[1] += 1;
        }
        self.kills[0] += 1;
        self.audits += 1;
        let acknowledged = Sum::of(&self.editors).acknowledged;
        self.server.start();
        let seen: BTreeSet<String> = newcomer_sees(&self.server, &acknowledged).into_iter().collect();
        let missing: Vec<_> = acknowledged.difference(&seen).collect();
        assert_eq!(missing, Vec::<&String>::new(), "acknowledged, and not on the server's disk");
    }

    fn revive(&mut self) {
        if !self.server.runs() {
            self.server.start();
        }
        self.editors.iter_mut().filter(|editor| !editor.runs()).for_each(Editor::spawn);
    }

    /// Everybody runs undisturbed until nothing is pending anywhere and all show the same.
    fn settle(&mut self) -> Vec<String> {
        self.revive();
        let since = Instant::now();
        loop {
            let states: Vec<_> = self.editors.iter_mut().map(Editor::status).collect();
            let shown: Vec<_> = self.editors.iter_mut().map(shown).collect();
            let synced = states.iter().all(|(state, pending)| state == "Synced" && *pending == 0);
            if synced && shown.windows(2).all(|pair| pair[0] == pair[1]) {
                return shown.into_iter().next().expect("there are editors");
            }
            let lengths: Vec<_> = shown.iter().map(Vec::len).collect();
            assert!(since.elapsed() < SETTLED_WITHIN, "not settled: {states:?}, they show {lengths:?} tokens");
            std::thread::sleep(POLL);
        }
    }
}

#[test]
fn nothing_promised_is_lost_whoever_is_killed_when() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (seconds, seed) = (number("REJOIN_KILL_SECONDS", SECONDS), number("REJOIN_KILL_SEED", SEED));
    println!("REJOIN_KILL_SEED={seed} REJOIN_KILL_SECONDS={seconds}");
    let mut world = World::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        world.turn();
    }
    let shown = world.settle();
    let sum = Sum::of(&world.editors);
    let [servers, clients] = world.kills;
    println!(
        "{servers} kills ({} with all editors) and {} ends of the server, {clients} kills of editors; {} tokens written, {} reported as saved, {} as acknowledged; {} there",
        world.audits,
        world.stops,
        sum.written.len(),
        sum.saved.len(),
        sum.acknowledged.len(),
        shown.len()
    );
    assert!(
        world.audits > 0 && servers > 0 && clients > 0 && sum.acknowledged.len() > 100,
        "too little happened to prove anything"
    );
    sum.holds(&shown, "the editors");
    let seen = newcomer_sees(&world.server, &shown.iter().cloned().collect());
    assert_eq!(seen, shown, "a newcomer sees what the others see");
    assert!(world.server.terminate().success());
    verified(world.data.path());
    assert_eq!(world.stores.len(), EDITORS);
}
