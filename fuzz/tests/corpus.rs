//! Every input of the kept corpus holds, without a fuzzer: those that once failed, and those that reach the most code.

use std::fs;
use std::path::{Path, PathBuf};

use rejoin_fuzz::targets::{TARGETS, Target};

/// Most bytes of all kept inputs, so that a clone stays small.
const BYTES_MAX: u64 = 400_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = Target::find(name).expect("a target");
    let files = files(&corpus().join(name));
    assert!(!files.is_empty(), "no kept input");
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let input = fs::read(file).expect("a readable file");
            target.run(&input).err().map(|reason| format!("{}: {reason}", file.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} inputs fail\n{}", failures.len(), files.len(), failures.join("\n"));
}

/// One test for each target, so that they run beside each other and a failure names its target.
macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replays! {
    client_messages server_messages parts clock pack archive change encodings law stored_log snapshot local_rows server replica link
}

#[test]
fn every_target_is_replayed_and_nothing_else_is_kept() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
    let mut bytes = 0;
    for folder in files(&corpus()) {
        let name = folder.file_name().expect("a named folder").to_string_lossy().into_owned();
        assert!(names.contains(&name.as_str()), "{name} is no target");
        bytes += files(&folder).iter().map(|file| fs::metadata(file).expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept");
}
