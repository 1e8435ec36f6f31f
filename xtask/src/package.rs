//! The npm package `@rejoin/client`: built, packed and measured.
//!
//! Owns how the browser module, its glue and the TypeScript around it become a package. What is in them is theirs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::run::{self, Failure};
use crate::setup::node;
use crate::{likeness, server, setup, wasm};

/// What a browser may have to load, module and scripts, compressed.
const GZIPPED_KB_MAX: usize = 625;
const COMPILE_LIMIT: Duration = Duration::from_secs(120);

/// The package's folder, from the root.
pub(crate) const FOLDER: &str = "packages/client";

/// The folder of what writes its reference.
pub(crate) const REFERENCE: &str = "packages/client/reference";

fn folder() -> PathBuf {
    run::root().join(FOLDER)
}

/// The compiled modules, each a file of its own, with their types: what the bundles are made of, and what tests of parts import.
const MODULES: &str = "modules";

/// What a program or a page names of the package, and the module that is its beginning.
const ENTRIES: [(&str, &str); 8] = [
    ("index", "index"),
    ("conflicts", "conflicts/element"),
    ("textarea", "textarea"),
    ("codemirror", "codemirror"),
    ("react", "react"),
    ("inspector", "inspector"),
    ("worker", "worker"),
    ("rule-worker", "conflicts/rule-worker"),
];

/// Builds what the package holds into its `dist`.
pub(crate) fn build() -> Result<(), Failure> {
    let (generated, modules, dist) = (folder().join("src/wasm"), folder().join(MODULES), folder().join("dist"));
    wasm::build(&generated)?;
    clear(&modules)?;
    clear(&dist)?;
    tsc("tsconfig.json")?;
    for name in ["{}.js", "{}.d.ts"].map(|name| name.replace("{}", wasm::NAME)) {
        copy(&generated.join(&name), &modules.join("wasm").join(&name))?;
    }
    bundle()?;
    for types in files(&modules)?.iter().filter(|file| file.to_str().is_some_and(|name| name.ends_with(".d.ts"))) {
        copy(types, &dist.join(types.strip_prefix(&modules).unwrap_or(types)))?;
    }
    let module = format!("{}_bg.wasm", wasm::NAME);
    settle(&generated.join(&module), &dist.join(&module))?;
    // The modules by themselves find it beside their glue.
    copy(&dist.join(&module), &modules.join("wasm").join(&module))?;
    measure(&dist)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
    fs::copy(from, to).map_err(|error| failed(to, &error))?;
    Ok(())
}

/// Puts the modules together, so that a page has few files to ask for, one after another, and takes out what only a reader needs;
/// comments stay with the types. What several entries share is a file of its own, and their names are what they import from outside.
fn bundle() -> Result<(), Failure> {
    // A script or a program, by whether npm was let to put one in the other's place.
    let mut command = Command::new(folder().join("node_modules/.bin/esbuild"));
    command.current_dir(folder()).args(ENTRIES.map(|(name, module)| format!("{name}={MODULES}/{module}.js")));
    command.args(["--bundle", "--splitting", "--packages=external", "--outdir=dist"]);
    command.args(["--minify", "--format=esm", "--target=es2022", "--charset=utf8", "--log-level=warning"]);
    run::quietly("esbuild", &mut command, COMPILE_LIMIT)
}

/// Puts functions that are alike together, takes out those that are there twice, and drops the names, which tell a page's user nothing.
///
/// The order takes a tenth off what is loaded, since compression looks back 32 KB only. Measured, `-Oz` adds a sixteenth instead: what it folds
/// together compressed better apart. So only what takes something off is asked for.
fn settle(module: &Path, out: &Path) -> Result<(), Failure> {
    const SHRINK: [&str; 11] = [
        "-g",
        "--dce",
        "--vacuum",
        "--duplicate-function-elimination",
        "--simplify-locals-nostructure",
        "--merge-blocks",
        "--remove-unused-brs",
        "--vacuum",
        "--reorder-locals",
        "--duplicate-function-elimination",
        "--remove-unused-module-elements",
    ];
    const ORDER: [&str; 2] = ["--reorder-functions-by-name", "--strip-debug"];
    // What Rust's compiler uses for this target, and nothing newer.
    const FEATURES: [&str; 6] = [
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
    ];
    let optimise = |from: &Path, to: &Path, passes: &[&str]| {
        let mut command = Command::new("node");
        command.current_dir(folder()).arg("node_modules/binaryen/bin/wasm-opt").args(FEATURES);
        command.arg(from).arg("-o").arg(to).args(passes);
        run::quietly("wasm-opt", &mut command, COMPILE_LIMIT)
    };
    let between = out.with_extension("named");
    optimise(module, &between, &SHRINK)?;
    let shrunk = fs::read(&between).map_err(|error| failed(&between, &error))?;
    fs::write(&between, likeness::ranked(&shrunk)?).map_err(|error| failed(&between, &error))?;
    optimise(&between, out, &ORDER)?;
    fs::remove_file(&between).map_err(|error| failed(&between, &error))
}

/// What runs the package's tests, against the package as it was built last and the server program.
pub(crate) fn tests(server: &Path) -> Result<Command, Failure> {
    let tests = folder().join("build");
    clear(&tests)?;
    tsc("test/tsconfig.json")?;
    let mut files: Vec<PathBuf> = files(&tests)?.into_iter().filter(|file| is_test(file)).collect();
    files.sort();
    let mut command = Command::new("node");
    command.current_dir(folder()).args(["--test", "--test-reporter=tap"]).args(files);
    command.env(server::VARIABLE, server).env(setup::chromium::VARIABLE, setup::chromium::path());
    Ok(command)
}

/// What measures the package as it was built last in a browser, by a script of its tests, with the server program.
pub(crate) fn bench(server: &Path, script: &str) -> Result<Command, Failure> {
    clear(&folder().join("build"))?;
    tsc("test/tsconfig.json")?;
    let mut command = Command::new("node");
    command.current_dir(folder()).arg(Path::new("build").join(script)).env("REJOIN_HEARTBEAT_S", "30");
    command.env(server::VARIABLE, server).env(setup::chromium::VARIABLE, setup::chromium::path());
    Ok(command)
}

/// Removes what an earlier build has made, of files that may be gone since.
fn clear(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}

fn is_test(file: &Path) -> bool {
    file.to_str().is_some_and(|name| name.ends_with(".test.js"))
}

/// Compiles the TypeScript of a project in the package's folder, with what else the compiler is told.
fn tsc(project: &str) -> Result<(), Failure> {
    let mut command = Command::new("node");
    command.current_dir(folder()).args(["node_modules/typescript/bin/tsc", "-p", project]);
    run::quietly(&format!("tsc {project}"), &mut command, COMPILE_LIMIT)
}

/// Packs the package for npm, and says where it is.
pub(crate) fn dist() -> Result<(), Failure> {
    setup::for_browser()?;
    build()?;
    let out = run::target_dir().join("dist");
    fs::create_dir_all(&out).map_err(|error| failed(&out, &error))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(run::root().join(licence), folder().join(licence))
            .map_err(|error| failed(Path::new(licence), &error))?;
    }
    let mut pack = Command::new("npm");
    pack.current_dir(folder()).args(["pack", "--silent", "--pack-destination"]).arg(&out);
    println!("packed into {}:", out.display());
    run::shown(&mut pack)
}

/// Writes the package's reference from its types, and says where it is.
pub(crate) fn docs() -> Result<(), Failure> {
    setup::for_browser()?;
    node::ready(&[REFERENCE])?;
    build()?;
    reference()?;
    println!("written: {}", run::target_dir().join("reference/index.html").display());
    Ok(())
}

/// Warnings count as errors: a link that leads nowhere is a mistake.
pub(crate) fn reference() -> Result<(), Failure> {
    let mut typedoc = Command::new("node");
    typedoc.current_dir(run::root().join(REFERENCE)).args([
        "node_modules/typedoc/bin/typedoc",
        "--options",
        "typedoc.json",
    ]);
    typedoc.args(["--treatWarningsAsErrors", "--out"]).arg(run::target_dir().join("reference"));
    run::quietly("typedoc", &mut typedoc, COMPILE_LIMIT)
}

/// Says what a browser has to load for `index.js`, and fails beyond the bound; what the other entry points add is told apart.
fn measure(dist: &Path) -> Result<(), Failure> {
    let size = |file: &PathBuf| gzipped(file).map_err(|error| failed(file, &error));
    let first = loaded(&dist.join("index.js"))?;
    let (mut module, mut scripts) = (0, 0);
    for file in &first {
        if file.extension().is_some_and(|e| e == "wasm") { module += size(file)? } else { scripts += size(file)? }
    }
    let total = module + scripts;
    println!(
        "package: {} KB to load, gzipped ({} module, {} scripts); the bound is {GZIPPED_KB_MAX}",
        total / 1000,
        module / 1000,
        scripts / 1000
    );
    for (name, _) in ENTRIES {
        let entry = dist.join(name).with_extension("js");
        let more: usize = loaded(&entry)?.difference(&first).map(size).sum::<Result<usize, Failure>>()?;
        if more > 0 {
            println!("  {name} adds {:.1} KB", more as f64 / 1000.0);
        }
    }
    if total > GZIPPED_KB_MAX * 1000 {
        return Err(Failure::new("the package is larger than it may be"));
    }
    Ok(())
}

fn is_script(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "js")
}

/// A script and all that it names in quotes and is there, relative to it: what it imports, and what its workers and modules are.
fn loaded(entry: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let (mut found, mut next) = (BTreeSet::new(), vec![entry.to_path_buf()]);
    while let Some(file) = next.pop() {
        if is_script(&file) {
            let text = fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
            let beside = file.parent().unwrap_or(&file);
            let named = text.split(['"', '\'']).filter(|name| name.ends_with(".js") || name.ends_with(".wasm"));
            let paths = named.filter_map(|name| beside.join(name).canonicalize().ok());
            next.extend(paths.filter(|path| !found.contains(path) && *path != file));
        }
        found.insert(file);
    }
    Ok(found)
}

/// All files under a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

fn gzipped(file: &Path) -> io::Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut File::open(file)?, &mut encoder)?;
    Ok(encoder.finish()?.len())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}
