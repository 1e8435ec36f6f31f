//! Clocks that are wrong and jump, on either side, and processes that sleep: wall time decides nothing about what is kept or sent.
//!
//! The clock is made false by Debian's `faketime` library, put before the C library; it reads the offset from a file, so that it can jump while the program runs.

use std::path::{Path, PathBuf};

use rejoin_tests::editor::Editor;
use rejoin_tests::serving::Serving;
use tempfile::TempDir;

use crate::SILENCE;
use crate::hosts::is_root;
use crate::story::Story;

/// Where Debian's package puts the library, below the architecture's folder.
const LIBRARY: &str = "faketime/libfaketime.so.1";

fn library(test: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join(LIBRARY)).find(|path| path.is_file());
    if found.is_none() {
        assert!(!is_root(), "cargo xtask setup installs the faketime package where it is root, and it is not there");
        println!("{test}: there is no faketime library and no root to install it, so no clock is wrong in this run");
    }
    found
}

/// A clock that is wrong by what its file says.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn wrong_by(library: &Path, dir: &Path, name: &str, offset: &str) -> Self {
        let clock = Self { file: dir.join(name), library: library.to_owned() };
        clock.jump(offset);
        clock
    }

    /// From now on it is wrong by another offset, such as `-1h`.
    fn jump(&self, offset: &str) {
        // Whole or not at all, since the program reads it at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).and_then(|()| std::fs::rename(&new, &self.file)).expect("writes");
    }

    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.to_string_lossy().into_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_string_lossy().into_owned()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // Time that only runs forward does so here too, as it would in life.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    fn give_editor(&self, editor: &mut Editor) {
        self.settings().iter().for_each(|(key, value)| editor.environment(key, value));
    }

    fn give_server(&self, server: &mut Serving) {
        self.settings().iter().for_each(|(key, value)| server.environment(key, value));
    }
}

/// A server and a story not begun, each with a clock.
struct World {
    dir: TempDir,
    server: Serving,
    story: Story,
    clocks: [Clock; 3],
}

impl World {
    fn prepare(test: &str, offsets: [&str; 3]) -> Option<Self> {
        let library = library(test)?;
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["server", "ann", "bob"];
        let clocks = [0, 1, 2].map(|i| Clock::wrong_by(&library, dir.path(), names[i], offsets[i]));
        let mut server = Serving::new(&[], ([127, 0, 0, 1], 0).into(), &dir.path().join("data"), &[]);
        clocks[0].give_server(&mut server);
        server.start();
        let mut story = Story::prepare([&server.url(), &server.url()], [&[], &[]]);
        clocks[1].give_editor(&mut story.ann);
        clocks[2].give_editor(&mut story.bob);
        story.ann.start();
        story.bob.start();
        story.settle();
        Some(Self { dir, server, story, clocks })
    }
}

#[test]
fn clocks_an_hour_apart_and_jumping_change_nothing() {
    let Some(mut world) = World::prepare("wrong clocks", ["+1h", "-1h", "+0"]) else { return };
    assert!(world.dir.path().join("data").is_dir());
    // Both ways over each other's time, each of the three once.
    for (who, offset) in [(0, "-2h"), (1, "+3h"), (2, "-400d"), (0, "+400d"), (1, "-1d")] {
        world.clocks[who].jump(offset);
        world.story.settle();
    }
    world.server.kill();
    world.clocks[0].jump("-30d");
    world.story.both_edit();
    world.server.start();
    world.story.agree();
}

#[test]
fn the_clock_of_these_tests_is_wrong() {
    let Some(library) = library("the false clock") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Clock::wrong_by(&library, dir.path(), "date", "+400d");
    let year = |settings: &[(&str, String)]| -> i32 {
        let mut date = std::process::Command::new("date");
        let said = date.arg("+%Y").envs(settings.iter().map(|(k, v)| (k, v))).output().expect("date runs").stdout;
        String::from_utf8_lossy(&said).trim().parse().expect("a year")
    };
    assert!(year(&clock.settings()) > year(&[]));
}

#[test]
fn an_editor_that_sleeps_for_longer_than_the_server_waits_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = Serving::new(&[], ([127, 0, 0, 1], 0).into(), dir.path(), &[]);
    server.start();
    let mut story = Story::begin([&server.url(), &server.url()], [&[], &[]]);
    story.ann.signal("STOP");
    for _ in 0..3 {
        story.bob.edit(&format!("while-ann-sleeps-{}", story.bob.ledger().written.len()));
    }
    std::thread::sleep(SILENCE * 2);
    story.bob.all_acknowledged();
    story.ann.signal("CONT");
    story.settle();
    server.signal("STOP");
    story.both_edit();
    std::thread::sleep(SILENCE * 2);
    server.signal("CONT");
    story.agree();
}
