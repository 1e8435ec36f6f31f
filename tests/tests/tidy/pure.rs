//! What sync-core may not touch, so that the same inputs give the same outputs.

use proc_macro2::{TokenStream, TokenTree};

use crate::tokens::{self, Path};
use crate::tree::Source;

const NAMES: [&str; 12] = [
    "HashMap",
    "HashSet",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "OnceCell",
    "LazyCell",
    "thread_local",
    "UNIX_EPOCH",
];
const PLACES: [&str; 7] =
    ["std::thread", "std::net", "std::fs", "std::env", "std::process", "std::time::Instant", "std::sync::atomic"];

/// Every use of an unordered collection, clock, thread, socket, file, lock or global.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let paths = tokens::paths(&source.text, &[]);
    let banned = paths.iter().filter(|path| is_banned(path)).map(|path| (path.line, path.text()));
    let statics = statics(tokens::parse(&source.text)).into_iter().map(|line| (line, "a static".into()));
    banned.chain(statics).map(|(line, what)| source.fault(line, &format!("sync-core may not use {what}"))).collect()
}

fn is_banned(path: &Path) -> bool {
    let text = path.text();
    let inside = |place: &str| text == place || text.starts_with(&format!("{place}::"));
    path.segments.iter().any(|segment| NAMES.contains(&segment.as_str()))
        || PLACES.iter().any(|place| inside(place))
        || text.ends_with("Instant::now")
}

fn statics(tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut lifetime = false;
    for token in tokens {
        match &token {
            TokenTree::Group(group) => lines.extend(statics(group.stream())),
            TokenTree::Ident(ident) if ident == "static" && !lifetime => lines.push(ident.span().start().line),
            _ => {}
        }
        lifetime = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
    }
    lines
}

#[test]
fn each_thing_that_differs_from_run_to_run_is_a_fault() {
    let faults = |text: &str| check(&Source::new("sync-core/src/x.rs", text)).len();
    assert_eq!(
        faults(
            "use std::collections::BTreeMap; use std::sync::Arc; use std::time::Duration; const A: &'static str = \"\";"
        ),
        0
    );
    assert_eq!(faults("use crate::time::Instant; fn f(now: Instant) {} // HashMap, Mutex"), 0);
    for bad in [
        "use std::collections::{BTreeMap, HashMap};",
        "use std::collections::HashSet;",
        "use std::time::{Duration, Instant};",
        "fn f() { Instant::now(); }",
        "fn f() -> SystemTime { g() }",
        "fn f() { std::thread::spawn(g); }",
        "use std::thread;",
        "use std::sync::Mutex;",
        "static mut COUNT: u32 = 0;",
        "fn f() { static SEEN: u32 = 0; }",
        "use std::fs::File;",
        "thread_local! { static A: u32 = 0 }",
        "use std::sync::atomic::AtomicU64;",
    ] {
        assert!(faults(bad) >= 1, "{bad}");
    }
}
