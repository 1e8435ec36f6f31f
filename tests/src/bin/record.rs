//! `cargo xtask golden`: keeps a recording of today's formats, if there is none of them.
//!
//! Owns the command line only; what is recorded is in `rejoin_tests::recording`.

use rejoin_tests::recording::{all, folder, record};

fn main() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let fresh = record(scratch.path());
    if let Some(kept) = all().iter().find(|kept| kept.recording.formats == fresh.formats) {
        println!("{} has these formats already: {:?}", kept.folder.display(), fresh.formats);
        return;
    }
    let new = folder().join(format!("{:03}", all().len() + 1));
    let recording = record(&new);
    println!("{}: {:?}, {} frames", new.display(), recording.formats, recording.frames.len());
}
