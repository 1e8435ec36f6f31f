//! Poison in bytes: run-length bombs, columns that do not fit each other, chunks that automerge would not write.

use automerge::Change;
use serde_json::json;
use sync_core::change::{ChangeError, ScanError};
use sync_core::limits::ChangeLimits;
use sync_core::validator::Refusal;

use super::{B, Case, Refused, Table, change, set};
use rejoin_fuzz::chunk::{Chunk, body, unsigned, wrap};

/// One operation that sets a key of the root, taken apart.
fn simple(t: &Table) -> Chunk {
    Chunk::parse(change(B, 1, 14, &[&t.first], json!([set("_root", "x", &[])])).raw_bytes())
}

/// A run of `count` times one byte's value.
pub(super) fn run(count: u64, value: u8) -> Vec<u8> {
    let mut out = signed(count);
    out.push(value);
    out
}

/// A positive number in signed form: a leading zero bit keeps it positive.
fn signed(mut rest: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while rest >= 0x40 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

/// Some operations, each as a run of its own count, in all columns that need it.
fn bomb(t: &Table, operations: u64) -> Vec<u8> {
    simple(t).with(0x42, &run(operations, 1)).with(0x56, &run(operations, 0)).with(0x70, &run(operations, 0)).build()
}

pub(super) fn bombs(t: &mut Table) {
    let many = |what, count, max| ScanError::TooMany { what, count, max };
    for operations in [200_001, 5_000_000, 50_000_000, i64::MAX as u64] {
        let bytes = bomb(t, operations);
        assert!(bytes.len() < 150, "{} bytes", bytes.len());
        t.column("a bomb of operations", bytes, many("operations", operations, 200_000));
    }
    let whole = simple(t);
    let mut case = |what: &str, columns: &[(u64, &[u8])], error| t.columns_of(&whole, what, columns, error);
    let million = run(1_000_000, 0);
    let preds: [(u64, &[u8]); 3] = [(0x70, &[1, 0xc0, 0x84, 0x3d]), (0x71, &million), (0x73, &million)];
    case("a bomb of predecessors", &preds, many("predecessors", 1_000_000, 200_000));
    let overflowing = [&[1][..], &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]].concat();
    case("predecessors beyond 64 bits", &[(0x70, &overflowing)], many("predecessors", u64::MAX, 200_000));
    case("a bomb of keys", &[(0x15, &[0xc0, 0x84, 0x3d, 1, b'x'])], many("keys", 1_000_000, 1));
    case("a bomb of nulls among keys", &[(0x15, &[0, 0xc0, 0x84, 0x3d])], many("keys", 1_000_000, 1));
    case("a bomb of flags", &[(0x34, &[0xc0, 0x84, 0x3d])], many("insert", 1_000_000, 1));
    case("a bomb of value lengths", &[(0x56, &million)], many("value lengths", 1_000_000, 1));
    case("a bomb of mark names", &[(0xa5, &[0xc0, 0x84, 0x3d, 1, b'x'])], many("mark names", 1_000_000, 1));
    case(
        "a bomb of object counters",
        &[(0x01, &run(1_000_000, 0)), (0x02, &million)],
        many("object actors", 1_000_000, 1),
    );
    case("a bomb of key counters", &[(0x13, &million)], many("key counters", 1_000_000, 1));
    case("a bomb of expand flags", &[(0x94, &[0xc0, 0x84, 0x3d])], many("expand", 1_000_000, 1));
    case("a run of nothing", &[(0x42, &[0, 0])], ScanError::Number("operations"));
    case("a run longer than any number", &[(0x42, &[255; 11])], ScanError::Number("operations"));
}

/// Columns that do not fit each other, or hold what no column holds.
pub(super) fn columns(t: &mut Table) {
    let whole = simple(t);
    let mut case = |what: &str, columns: &[(u64, &[u8])], error| t.columns_of(&whole, what, columns, error);
    let many = |what, count, max| ScanError::TooMany { what, count, max };
    let rows = |column, rows, expected| ScanError::Rows { column, rows, expected };
    case("no flags", &[(0x34, &[0])], rows("insert", 0, 1));
    case("more bytes of values than lengths", &[(0x57, &[1, 2])], rows("values", 2, 1));
    case("fewer bytes of values than lengths", &[(0x57, &[])], rows("values", 0, 1));
    case("no actions", &[(0x42, &[])], many("keys", 1, 0));
    case("no predecessor counts", &[(0x70, &[])], rows("predecessor counts", 0, 1));
    case("predecessors without counters", &[(0x70, &[0x7f, 1]), (0x71, &[1, 0])], rows("predecessor counters", 0, 1));
    case("predecessors without actors", &[(0x70, &[0x7f, 1]), (0x73, &[0x7f, 1])], rows("predecessor actors", 0, 1));
    let range = ScanError::OutOfRange;
    case("an action above the known", &[(0x42, &[0x7f, 8])], range("operations"));
    case("an object actor outside the table", &[(0x01, &[0x7f, 1]), (0x02, &[0x7f, 1])], range("object actors"));
    case("a key actor outside the table", &[(0x11, &[0x7f, 9])], range("key actors"));
    case(
        "an object counter above all",
        &[(0x01, &[0x7f, 0]), (0x02, &[0x7f, 0x81, 0x80, 0x80, 0x80, 8])],
        range("object counters"),
    );
    case("a negative key counter", &[(0x13, &[0x7f, 0x7f])], range("key counters"));
    case("a key counter above all", &[(0x13, &[0x7f, 0x81, 0x80, 0x80, 0x80, 8])], range("key counters"));
    let delta: [(u64, &[u8]); 3] = [(0x70, &[0x7f, 2]), (0x71, &[2, 0]), (0x73, &[0x7e, 3, 0x7c])];
    case("a counter that goes below zero on the way", &delta, range("predecessor counters"));
    let wraps = [&[0x7e][..], &[255, 255, 255, 255, 255, 255, 255, 255, 255, 0], &[1]].concat();
    let wraps: [(u64, &[u8]); 3] = [(0x70, &[0x7f, 2]), (0x71, &[2, 0]), (0x73, &wraps)];
    case("a counter that wraps on the way", &wraps, range("predecessor counters"));
    let run_out: [(u64, &[u8]); 3] = [(0x70, &[0x7f, 3]), (0x71, &[3, 0]), (0x73, &[3, 0x80, 0x80, 0x80, 0x80, 4])];
    case("a run of steps that leaves the range", &run_out, range("predecessor counters"));
    case("an unknown column", &[(0x62, &[0x7f, 1])], ScanError::Column(0x62));
    case("a column of another version", &[(0x1b5, &[0x7f, 1])], ScanError::Column(0x1b5));
    case("a deflated column", &[(0x0a, &[0x7f, 1])], ScanError::Column(0x0a));
    case("nothing for an action", &[(0x42, &[0, 1])], ScanError::Null("operations"));
    case("nothing for a value's length", &[(0x56, &[0, 1])], ScanError::Null("value lengths"));
    case(
        "nothing for a predecessor",
        &[(0x70, &[0x7f, 1]), (0x71, &[0, 1]), (0x73, &[0x7f, 1])],
        ScanError::Null("predecessor actors"),
    );
    let lengths = ScanError::TooMany { what: "value bytes", count: 1 << 58, max: 2 << 20 };
    case("a value of 256 petabytes", &[(0x56, &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40])], lengths);
    let overlong = ScanError::Number("operations");
    case("a number in more bytes than it takes", &[(0x42, &[0x7f, 0x81, 0])], overlong);
    case("a column cut within a run", &[(0x42, &[0x7f])], ScanError::Truncated("operations"));
    case("a string cut short", &[(0x15, &[0x7f, 9, b'x'])], ScanError::Truncated("keys"));
}

pub(super) fn chunks(t: &mut Table) {
    let first = t.first.clone();
    let whole = simple(t);
    disorder(t, &whole);
    tables_of_actors(t, &first);
    framing(t, &whole.build());
    other_bytes(t, &whole);
}

fn disorder(t: &mut Table, whole: &Chunk) {
    let mut twisted = whole.clone();
    twisted.columns.reverse();
    let spec = twisted.columns[1].0;
    t.column("columns in reverse", twisted.build(), ScanError::Column(spec));
    let mut doubled = whole.clone();
    doubled.columns.insert(1, doubled.columns[0].clone());
    let spec = doubled.columns[0].0;
    t.column("a column twice", doubled.build(), ScanError::Column(spec));
    let mut empty = whole.clone();
    empty.columns.insert(0, (0x01, Vec::new()));
    t.column("an empty column", empty.build(), ScanError::Column(0x01));
    let mut many = whole.clone();
    many.columns = (0..1_000).map(|n| (n << 4, vec![1])).collect();
    t.column("a thousand columns", many.build(), ScanError::TooMany { what: "columns", count: 1_000, max: 14 });
}

/// A header written by hand, with the one operation of [`simple`].
struct Head<'a> {
    deps: &'a [[u8; 32]],
    start_op: u64,
    others: &'a [&'a [u8]],
}

fn head(head: &Head<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    unsigned(&mut out, head.deps.len() as u64);
    head.deps.iter().for_each(|dep| out.extend(dep));
    out.extend([1, 0xbb, 1]);
    unsigned(&mut out, head.start_op);
    out.extend([0, 0]);
    unsigned(&mut out, head.others.len() as u64);
    for other in head.others {
        unsigned(&mut out, other.len() as u64);
        out.extend(*other);
    }
    out
}

fn tables_of_actors(t: &mut Table, first: &Change) {
    let deps = [first.hash().0];
    let columns = simple(t).columns;
    let build = |deps: &[[u8; 32]], start_op, others: &[&[u8]]| {
        Chunk { head: head(&Head { deps, start_op, others }), columns: columns.clone(), extra: Vec::new() }.build()
    };
    assert_eq!(build(&deps, 14, &[]), simple(t).build(), "a header by hand is a header");
    t.column("start_op 0", build(&deps, 0, &[]), ScanError::OutOfRange("start_op"));
    t.column("actors in descending order", build(&deps, 14, &[&[0xcc], &[0xaa]]), ScanError::ActorOrder);
    t.column("an actor twice", build(&deps, 14, &[&[0xaa], &[0xaa]]), ScanError::ActorOrder);
    t.column("its own actor among the others", build(&deps, 14, &[&[0xbb]]), ScanError::ActorOrder);
    t.column("an empty actor among the others", build(&deps, 14, &[&[]]), ScanError::OutOfRange("actor"));
    let long = ScanError::TooMany { what: "actor bytes", count: 65, max: 64 };
    t.column("a long actor among the others", build(&deps, 14, &[&[1; 65]]), long);
    t.encoded("actors that no operation names", build(&deps, 14, &[&[0xaa]]), Refusal::NotCanonical);
    let mut both = [first.hash().0, super::document().2.hash().0];
    both.sort_by(|a, b| b.cmp(a));
    t.encoded("deps in descending order", build(&both, 14, &[]), Refusal::DepOrder);
    let many = vec![[7; 32]; 1_025];
    t.column("1,025 deps", build(&many, 14, &[]), ScanError::TooMany { what: "deps", count: 1_025, max: 1_024 });
}

fn framing(t: &mut Table, whole: &[u8]) {
    for kind in [0, 2, 3, 9] {
        t.column("a chunk of another kind", wrap(kind, body(whole)), ScanError::ChunkType(kind));
    }
    t.column("no chunk", b"no automerge chunk".to_vec(), ScanError::Magic);
    t.column("nothing", Vec::new(), ScanError::Truncated("magic"));
    t.column("magic alone", whole[..4].to_vec(), ScanError::Truncated("checksum"));
    t.column("no body", whole[..9].to_vec(), ScanError::Truncated("length"));
    t.column("the last byte missing", whole[..whole.len() - 1].to_vec(), ScanError::Truncated("chunk"));
    t.column("a byte more", [whole, &[0]].concat(), ScanError::Leftover(1));
    t.column("itself twice", [whole, whole].concat(), ScanError::Leftover(whole.len()));
    let mut overlong = vec![1, 0x80 | body(whole).len() as u8, 0];
    overlong.splice(0..0, whole[..8].iter().copied());
    overlong.extend(body(whole));
    t.column("a length in more bytes than it takes", overlong, ScanError::Number("length"));
    t.column("an empty body", wrap(1, &[]), ScanError::Truncated("deps"));
    let mut deps = Vec::new();
    unsigned(&mut deps, 1 << 60);
    t.column("deps without end", wrap(1, &deps), ScanError::TooMany { what: "deps", count: 1 << 60, max: 1_024 });
    let mut wrong_sum = whole.to_vec();
    wrong_sum[4] ^= 1;
    t.raw("a checksum of something else", wrong_sum, ChangeError::Checksum);
}

/// What automerge reads well and would write in other bytes: saved with the document, it does not come back.
fn other_bytes(t: &mut Table, whole: &Chunk) {
    let mut case = |what: &str, chunk: Chunk| t.encoded(what, chunk.build(), Refusal::NotCanonical);
    case("a literal written as a run of one", whole.clone().with(0x42, &[1, 1]));
    case("a key written as a run of one", whole.clone().with(0x15, &[1, 1, b'x']));
    case("a length written as a run of one", whole.clone().with(0x56, &[1, 0x14]));
    case("an expand flag on what is no mark", whole.clone().with(0x94, &[0, 1]));
    case("a mark's name on what is no mark", whole.clone().with(0xa5, &[0x7f, 1, b'm']));
    case("a flag for an insert in a map's place", whole.clone().with(0x94, &[1]));
    case("a column of nulls for objects", whole.clone().with(0x01, &[0, 1]).with(0x02, &[0, 1]));
    case("a column of nulls for elements", whole.clone().with(0x11, &[0, 1]).with(0x13, &[0, 1]));
}

impl Table {
    fn column(&mut self, what: &str, bytes: Vec<u8>, error: ScanError) {
        self.raw(what, bytes, ChangeError::Scan(error));
    }

    /// A change with some columns replaced.
    fn columns_of(&mut self, whole: &Chunk, what: &str, columns: &[(u64, &[u8])], error: ScanError) {
        let chunk = columns.iter().fold(whole.clone(), |chunk, (spec, data)| chunk.with(*spec, data));
        self.column(what, chunk.build(), error);
    }

    /// Bytes that automerge parses, and that are refused for what they are.
    fn encoded(&mut self, what: &str, bytes: Vec<u8>, refusal: Refusal) {
        let (name, author) = (self.name(what), (vec![0xbb], 1));
        let refused = Refused::Change(refusal);
        self.cases.push(Case { name, bytes, author, limits: ChangeLimits::default(), refused });
    }
}
