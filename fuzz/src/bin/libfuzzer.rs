//! libFuzzer's entry: runs the target that `REJOIN_FUZZ_TARGET` names on each input.
#![no_main]

use std::sync::OnceLock;

use rejoin_fuzz::targets::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let name = std::env::var("REJOIN_FUZZ_TARGET").unwrap_or_default();
    Target::find(&name).unwrap_or_else(|| panic!("REJOIN_FUZZ_TARGET names no target: {name:?}"))
}

libfuzzer_sys::fuzz_target!(
    init: {
        // Takes out the hook that ends the process at any panic: the engine catches those of automerge.
        drop(std::panic::take_hook());
        TARGET.get_or_init(target);
    },
    |input: &[u8]| {
        if let Err(reason) = TARGET.get_or_init(target).run(input) {
            eprintln!("{reason}");
            std::process::abort();
        }
    }
);
