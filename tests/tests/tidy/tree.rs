//! The project's files as the rules see them.

use std::fs;
use std::path::{Path, PathBuf};

/// A file with its path from the root, `/`-separated.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// One fault at a line.
    pub(crate) fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// A file from its parts.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace").into()
}

/// A file that must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Folders that the build of the npm package makes.
const MADE: [&str; 4] =
    ["packages/client/dist", "packages/client/modules", "packages/client/build", "packages/client/src/wasm"];

/// All files with an extension, sorted; not those that a build or a package manager made.
pub(crate) fn sources(extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root()).expect("the walk starts at the root").to_path_buf();
    found
        .iter()
        .map(|path| Source {
            path: relative(path).to_string_lossy().replace('\\', "/"),
            text: fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a readable entry");
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let made = name.starts_with("target")
            || matches!(&*name, ".git" | "node_modules" | "rejoin-data" | "__pycache__")
            || MADE.iter().any(|made| folder.join(&*name).ends_with(made));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !made => walk(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}
