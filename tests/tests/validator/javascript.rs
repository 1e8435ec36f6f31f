//! The validator refuses nothing of documents that @automerge/automerge makes, as its users have it, in Node.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use automerge::legacy::{Key, OpType};
use automerge::{Automerge, Change, ObjType, ROOT, ReadDoc as _, ScalarValue};
use rejoin_fuzz::gate::Gate;
use serde::Deserialize;

/// Most steps are an edit; the others merge, fork, or write a change of nothing.
const STEPS: u64 = 250;

/// What `tests/interop/documents.mjs` prints of a document.
#[derive(Deserialize)]
struct Document {
    seed: u64,
    changes: Vec<String>,
    heads: Vec<String>,
    text: String,
}

impl Document {
    fn changes(&self) -> Vec<Change> {
        let parse = |change: &String| Change::try_from(&*hex::decode(change).expect("hex")).expect("an honest change");
        self.changes.iter().map(parse).collect()
    }
}

/// Documents of the seeds from `first` on.
fn documents(first: u64, count: u64) -> Vec<Document> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/documents.mjs");
    let args = [first, count, STEPS].map(|number| number.to_string());
    let output =
        Command::new("node").arg(&script).args(args).output().expect("node is there, as cargo xtask setup sees");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the documents can't be made; cargo xtask setup installs what they need\n{said}");
    let lines = String::from_utf8(output.stdout).expect("JSON");
    lines.lines().map(|line| serde_json::from_str(line).expect("a document in a line")).collect()
}

/// What an operation is, in a word.
fn kind(action: &OpType, insert: bool) -> String {
    let what = match action {
        OpType::Make(kind) => return format!("make {kind}"),
        OpType::Delete => "delete",
        OpType::Increment(_) => "increment",
        OpType::MarkBegin(..) => "mark",
        OpType::MarkEnd(_) => "end of mark",
        OpType::Put(ScalarValue::Bytes(_)) => "bytes",
        OpType::Put(ScalarValue::Str(_)) => "string",
        OpType::Put(ScalarValue::Int(_)) => "int",
        OpType::Put(ScalarValue::Uint(_)) => "uint",
        OpType::Put(ScalarValue::F64(_)) => "float",
        OpType::Put(ScalarValue::Counter(_)) => "counter",
        OpType::Put(ScalarValue::Timestamp(_)) => "date",
        OpType::Put(ScalarValue::Boolean(_)) => "boolean",
        OpType::Put(ScalarValue::Null) => "null",
        OpType::Put(ScalarValue::Unknown { .. }) => "unknown",
    };
    if insert { format!("insert {what}") } else { what.into() }
}

/// Every kind that the library writes (it has none for an unsigned number in a list); a test of fewer would say less than it claims.
const KINDS: [&str; 26] = [
    "make map",
    "make list",
    "make text",
    "insert mark",
    "insert end of mark",
    "delete",
    "increment",
    "bytes",
    "string",
    "int",
    "uint",
    "float",
    "counter",
    "date",
    "boolean",
    "null",
    "insert bytes",
    "insert string",
    "insert int",
    "insert float",
    "insert counter",
    "insert date",
    "insert boolean",
    "insert null",
    "in a list",
    "in a map",
];

#[test]
fn documents_of_the_javascript_library_pass_and_read_the_same() {
    let first = super::rounds("REJOIN_JAVASCRIPT_FROM", 1);
    let (mut kinds, mut changes, mut actors) = (BTreeSet::new(), 0, 0);
    for document in documents(first, super::rounds("REJOIN_JAVASCRIPT_ROUNDS", 16)) {
        let made = document.changes();
        Gate::default().admit_all(&made);
        changes += made.len();
        actors += made.iter().map(|change| change.actor_id()).collect::<BTreeSet<_>>().len();
        for operation in made.iter().flat_map(|change| change.decode().operations) {
            kinds.insert(kind(&operation.action, operation.insert));
            kinds.insert(if matches!(operation.key, Key::Map(_)) { "in a map" } else { "in a list" }.into());
        }
        let mut replica = Automerge::new();
        replica.apply_changes(made).expect("changes in a causal order");
        let mut heads: Vec<String> = replica.get_heads().iter().map(ToString::to_string).collect();
        heads.sort();
        assert_eq!(heads, document.heads, "seed {}", document.seed);
        let text = match replica.get(ROOT, "text").expect("a map") {
            Some((value, id)) if value.to_objtype() == Some(ObjType::Text) => replica.text(id).expect("a text"),
            other => format!("{other:?}"),
        };
        assert_eq!(text, document.text, "seed {}", document.seed);
    }
    println!("from JavaScript: {changes} changes of {actors} actors, none refused");
    let missing: Vec<_> = KINDS.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "no document has {missing:?}, but only {kinds:?}");
}
