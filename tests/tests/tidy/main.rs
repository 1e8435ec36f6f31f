//! The house rules, held by a test: layers and purity of sync-core, sizes, heads, no ignored tests, no unfinished words, live links.
//!
//! Owns no rule of its own making: they stand in CONTRIBUTING.md and ARCHITECTURE.md, and the table of layers is read from there.

mod docs;
mod layers;
mod pure;
mod shape;
mod tokens;
mod tree;

use tree::Source;

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn over_rust(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    let sources = tree::sources("rs");
    assert!(sources.len() > 20, "the walk found {} Rust files only", sources.len());
    sources.iter().flat_map(rule).collect()
}

fn over_core(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    over_rust(|source| if source.path.starts_with("sync-core/src/") { rule(source) } else { Vec::new() })
}

#[test]
fn core_modules_import_only_from_lower_layers() {
    let table = layers::Table::parse(&tree::read("ARCHITECTURE.md")).expect("ARCHITECTURE.md has the table of layers");
    let differences = table.differences(&tree::read("sync-core/src/lib.rs"));
    none([table.faults(), differences, over_core(|source| table.check(source))].concat());
}

#[test]
fn core_has_no_clock_thread_socket_lock_or_global() {
    none(over_core(pure::check));
}

#[test]
fn planted_bugs_stay_out_of_what_users_run() {
    let manifests = ["sync-server/Cargo.toml", "sync-client/Cargo.toml", "sync-wasm/Cargo.toml"];
    none(manifests.iter().flat_map(|path| docs::planted(&Source::new(path, &tree::read(path)))).collect());
}

#[test]
fn files_are_short_and_say_what_they_own() {
    none(over_rust(|source| [shape::file_length(source), shape::head(source)].concat()));
}

#[test]
fn scripts_are_short_and_say_what_they_own() {
    let extensions = ["ts", "js", "mjs"];
    let sources: Vec<Source> = extensions.iter().flat_map(|extension| tree::sources(extension)).collect();
    assert!(sources.len() > 10, "the walk found {} scripts only", sources.len());
    none(
        sources
            .iter()
            .flat_map(|s| [shape::file_length(s), shape::script_head(s), shape::unfinished(s)].concat())
            .collect(),
    );
    none(sources.iter().flat_map(shape::skipped_in_scripts).collect());
}

#[test]
fn functions_are_short() {
    none(over_rust(shape::function_length));
}

#[test]
fn no_test_is_ignored() {
    none(over_rust(shape::ignored));
    none(tree::sources("py").iter().flat_map(shape::skipped_in_python).collect());
}

#[test]
fn nothing_is_marked_unfinished() {
    let extensions = ["rs", "py", "toml", "md", "yml", "cddl"];
    none(
        extensions.iter().flat_map(|extension| tree::sources(extension)).flat_map(|s| shape::unfinished(&s)).collect(),
    );
}

#[test]
fn links_in_documents_lead_somewhere() {
    let pages = tree::sources("md");
    assert!(pages.len() >= 5, "the walk found {} pages only", pages.len());
    none(pages.iter().flat_map(docs::links).collect());
}

#[test]
fn the_files_a_reader_looks_for_are_there() {
    none(docs::missing(&tree::root()));
}

#[test]
fn licences_of_dependencies_are_allowed() {
    let metadata = docs::metadata();
    none(docs::licences(&metadata, &tree::read("deny.toml")));
}
