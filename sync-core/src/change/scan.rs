//! Bounds on a change chunk's raw bytes, checked before automerge expands its run-length columns.
//!
//! automerge expands first and asks later: 69 bytes can hold five million operations. So operations, predecessors, actor numbers,
//! counters and lengths are counted here run by run. What the operations mean is the validator's business, the checksum automerge's.

mod reader;

use super::form::{Form, Held};
use crate::limits::{ACTOR_BYTES_MAX, ChangeLimits, OP_COUNTER_MAX, SAFE_INTEGER_MAX};
use reader::{Reader, Rows, booleans, runs};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;
/// automerge's action numbers end here.
const ACTION_MAX: u64 = 7;
/// Types of values, as they stand beside a value's length.
const NULL: u64 = 0;
const TRUE: u64 = 2;
const UINT: u64 = 3;

/// Why a chunk was refused before it was parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The chunk is longer than allowed.
    #[error("{bytes} bytes, at most {max} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// It does not begin like an automerge chunk.
    #[error("no automerge chunk")]
    Magic,
    /// It is a document, a deflated change or a bundle: only plain changes are taken.
    #[error("chunk type {0} is no plain change")]
    ChunkType(u8),
    /// It ends before a part that it announces.
    #[error("ends within {0}")]
    Truncated(&'static str),
    /// More follows than it announces.
    #[error("{0} bytes too many")]
    Leftover(usize),
    /// A number has more than 64 bits, or is written in more bytes than it takes.
    #[error("a number in {0} is malformed")]
    Number(&'static str),
    /// There is more of something than allowed.
    #[error("{count} {what}, at most {max} allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there is, at least.
        count: u64,
        /// The bound.
        max: u64,
    },
    /// A number lies outside its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The actors it names are not sorted, or one is named twice.
    #[error("its actors are out of order")]
    ActorOrder,
    /// A column that automerge 0.12 does not write, or in the wrong order, or empty.
    #[error("column {0} is unknown, out of order or empty")]
    Column(u64),
    /// A column has more or fewer rows than there are operations or predecessors.
    #[error("{column} has {rows} rows instead of {expected}")]
    Rows {
        /// The column.
        column: &'static str,
        /// Its rows.
        rows: u64,
        /// What they should be.
        expected: u64,
    },
    /// A column has no value where one is needed.
    #[error("a value is missing in {0}")]
    Null(&'static str),
}

/// What a chunk has many of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) predecessors: u64,
}

/// Refuses a chunk that could not be parsed in bounded time and memory.
pub(crate) fn scan(bytes: &[u8], limits: &ChangeLimits) -> Result<Form, ScanError> {
    if bytes.len() > limits.change_bytes_max {
        return Err(ScanError::TooLong { bytes: bytes.len(), max: limits.change_bytes_max });
    }
    let mut reader = Reader::new(bytes);
    if reader.take(4, "magic")? != MAGIC {
        return Err(ScanError::Magic);
    }
    reader.take(4, "checksum")?;
    match reader.take(1, "chunk type")?[0] {
        CHANGE_CHUNK => {}
        other => return Err(ScanError::ChunkType(other)),
    }
    let length = reader.unsigned("length")?;
    let mut body = Reader::new(reader.take(length, "chunk")?);
    if !reader.is_empty() {
        return Err(ScanError::Leftover(reader.remaining()));
    }
    let actors = header(&mut body, limits)?;
    let columns = Columns::read(&mut body)?;
    columns.check(actors, limits)
}

/// Checks everything before the columns and gives the number of actors named.
fn header(body: &mut Reader<'_>, limits: &ChangeLimits) -> Result<u64, ScanError> {
    let deps = body.at_most(limits.deps_max as u64, "deps")?;
    body.take(deps * 32, "deps")?;
    let own = actor(body)?;
    let seq = body.unsigned("seq")?;
    if seq == 0 || u32::try_from(seq).is_err() {
        return Err(ScanError::OutOfRange("seq"));
    }
    let start_op = body.unsigned("start_op")?;
    if start_op == 0 || start_op > OP_COUNTER_MAX {
        return Err(ScanError::OutOfRange("start_op"));
    }
    if body.signed("time")?.unsigned_abs() > SAFE_INTEGER_MAX {
        return Err(ScanError::OutOfRange("time"));
    }
    let message = body.at_most(limits.message_bytes_max as u64, "message bytes")?;
    body.take(message, "message")?;
    let others = body.at_most(limits.actors_max as u64, "actors")?;
    let mut before: Option<&[u8]> = None;
    for _ in 0..others {
        let other = actor(body)?;
        if other == own || before.is_some_and(|b| b >= other) {
            return Err(ScanError::ActorOrder);
        }
        before = Some(other);
    }
    Ok(others + 1)
}

fn actor<'a>(body: &mut Reader<'a>) -> Result<&'a [u8], ScanError> {
    match body.at_most(ACTOR_BYTES_MAX as u64, "actor bytes")? {
        0 => Err(ScanError::OutOfRange("actor")),
        length => body.take(length, "actor"),
    }
}

/// The columns automerge 0.12 writes, by their specification number, in order.
const SPECS: [u64; 14] = [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xa5];

/// The data of each column of [`SPECS`]; empty where it is absent.
#[derive(Default)]
struct Columns<'a>([&'a [u8]; SPECS.len()]);

impl<'a> Columns<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, ScanError> {
        let count = body.at_most(SPECS.len() as u64, "columns")?;
        let mut lengths = [0u64; SPECS.len()];
        let mut next = 0;
        for _ in 0..count {
            let spec = body.unsigned("column")?;
            let length = body.unsigned("column length")?;
            let found = SPECS.iter().skip(next).position(|s| *s == spec);
            match found {
                Some(skipped) if length > 0 => {
                    lengths[next + skipped] = length;
                    next += skipped + 1;
                }
                _ => return Err(ScanError::Column(spec)),
            }
        }
        let mut columns = Self::default();
        for (column, length) in columns.0.iter_mut().zip(lengths) {
            *column = body.take(length, "columns")?;
        }
        Ok(columns)
    }

    fn check(&self, actors: u64, limits: &ChangeLimits) -> Result<Form, ScanError> {
        let [
            obj_actor,
            obj_counter,
            key_actor,
            key_counter,
            key_string,
            insert,
            action,
            meta,
            value,
            group,
            pred_actor,
            pred_counter,
            expand,
            name,
        ] = self.0;
        let bytes_max = limits.key_bytes_max as u64;
        let actions = numbers(action, "operations", limits.operations_max, true, ACTION_MAX)?;
        let rows = actions.count;
        let objects = optional("object actors", obj_actor, rows, |c, n| numbers(c, n, rows, false, actors - 1))?;
        let counters =
            optional("object counters", obj_counter, rows, |c, n| numbers(c, n, rows, false, OP_COUNTER_MAX))?;
        let key_actors = optional("key actors", key_actor, rows, |c, n| numbers(c, n, rows, false, actors - 1))?;
        let elements = optional("key counters", key_counter, rows, |c, n| deltas(c, n, rows, false))?;
        let keys = optional("keys", key_string, rows, |c, n| strings(c, n, rows, bytes_max))?;
        let inserts = exact("insert", booleans(insert, "insert", rows)?, rows)?;
        let (metas, nulls, uints) = values(meta, value, rows, limits)?;
        let expands = optional("expand", expand, rows, |c, n| booleans(c, n, rows))?;
        let names = optional("mark names", name, rows, |c, n| strings(c, n, rows, bytes_max))?;
        let (groups, preds) = groups(group, rows, limits.predecessors_max)?;
        let pred_actors = numbers(pred_actor, "predecessor actors", preds, true, actors - 1)?;
        let pred_actors = exact("predecessor actors", pred_actors, preds)?;
        let pred_counters = deltas(pred_counter, "predecessor counters", preds, true)?;
        let pred_counters = exact("predecessor counters", pred_counters, preds)?;
        let every = [actions, objects, counters, key_actors, elements, keys];
        let further = [inserts, metas, names, groups, pred_actors, pred_counters];
        // Its own actor need not be named. Of more actors than there are bits nothing is proven.
        let named = 1 | objects.seen | key_actors.seen | pred_actors.seen;
        let all_named = 1u64.checked_shl(actors as u32).is_some_and(|end| end - 1 == named);
        Ok(Form {
            counts: Counts { operations: rows, predecessors: preds },
            // Flags that are all false are left out, as nulls are.
            plain: all_named
                && every.iter().chain(&further).all(|rows| rows.plain)
                && expands.plain
                && (expand.is_empty() || expands.values > 0),
            held: Held {
                objects: objects.values,
                object_counters: counters.values,
                key_actors: key_actors.values,
                elements: elements.values,
                keys: keys.values,
                nulls,
                uints,
                expands: expands.values,
                names: names.values,
            },
        })
    }
}

fn exact(column: &'static str, rows: Rows, expected: u64) -> Result<Rows, ScanError> {
    if rows.count == expected { Ok(rows) } else { Err(ScanError::Rows { column, rows: rows.count, expected }) }
}

/// A column that is left out where it would hold nothing.
fn optional<'a>(
    name: &'static str,
    column: &'a [u8],
    rows: u64,
    count: impl FnOnce(&'a [u8], &'static str) -> Result<Rows, ScanError>,
) -> Result<Rows, ScanError> {
    if column.is_empty() { Ok(Rows::NONE) } else { exact(name, count(column, name)?, rows) }
}

/// Counts a column of numbers, each at most `largest`.
fn numbers(column: &[u8], what: &'static str, max: u64, needed: bool, largest: u64) -> Result<Rows, ScanError> {
    let mut seen = 0;
    let visit = |value, _| match value {
        Some(value) if value > largest => Err(ScanError::OutOfRange(what)),
        Some(value) => {
            seen |= 1u64.checked_shl(value as u32).unwrap_or(0);
            Ok(())
        }
        None if needed => Err(ScanError::Null(what)),
        None => Ok(()),
    };
    let rows = runs(column, what, max, |r| r.unsigned(what), visit)?;
    Ok(Rows { seen, ..rows })
}

/// Counts a column of counters written as differences, each within the range of counters.
fn deltas(column: &[u8], what: &'static str, max: u64, needed: bool) -> Result<Rows, ScanError> {
    let mut counter = 0i64;
    let visit = |delta: Option<i64>, count: u64| {
        let Some(delta) = delta else {
            return if needed { Err(ScanError::Null(what)) } else { Ok(()) };
        };
        // Within a run the counter moves one way, so that its last value bounds them all.
        let moved = i64::try_from(count).ok().and_then(|n| n.checked_mul(delta)).and_then(|m| counter.checked_add(m));
        match moved {
            Some(value) if (0..=OP_COUNTER_MAX as i64).contains(&value) => {
                counter = value;
                Ok(())
            }
            _ => Err(ScanError::OutOfRange(what)),
        }
    };
    runs(column, what, max, |r| r.signed(what), visit)
}

/// Counts a column of strings, each at most `bytes_max` long.
fn strings(column: &[u8], what: &'static str, max: u64, bytes_max: u64) -> Result<Rows, ScanError> {
    runs(
        column,
        what,
        max,
        |r| r.at_most(bytes_max, "key bytes").and_then(|length| r.take(length, what)),
        |_, _| Ok(()),
    )
}

/// Checks that the value lengths add up to the values' bytes, and counts the nulls and the unsigned numbers among the values.
fn values(meta: &[u8], value: &[u8], rows: u64, limits: &ChangeLimits) -> Result<(Rows, u64, u64), ScanError> {
    let what = "value lengths";
    let (mut total, mut nulls, mut uints, mut odd) = (0u64, 0, 0, false);
    let visit = |meta: Option<u64>, count: u64| {
        let meta = meta.ok_or(ScanError::Null(what))?;
        let length = meta >> 4;
        if length > limits.value_bytes_max as u64 {
            return Err(ScanError::TooMany { what: "value bytes", count: length, max: limits.value_bytes_max as u64 });
        }
        total = length.checked_mul(count).and_then(|l| l.checked_add(total)).ok_or(ScanError::OutOfRange(what))?;
        match meta & 0xf {
            NULL if length == 0 => nulls += count,
            // automerge reads no bytes of these, however many are announced.
            NULL..=TRUE => odd |= length > 0,
            UINT => uints += count,
            _ => {}
        }
        Ok(())
    };
    let counted = exact(what, runs(meta, what, rows, |r| r.unsigned(what), visit)?, rows)?;
    if value.len() as u64 != total {
        return Err(ScanError::Rows { column: "values", rows: value.len() as u64, expected: total });
    }
    Ok((Rows { plain: counted.plain && !odd, ..counted }, nulls, uints))
}

/// Counts the operations, and their predecessors.
fn groups(column: &[u8], rows: u64, max: u64) -> Result<(Rows, u64), ScanError> {
    let what = "predecessor counts";
    let (mut total, mut several) = (0u64, false);
    let visit = |group: Option<u64>, count: u64| {
        let group = group.ok_or(ScanError::Null(what))?;
        several |= group > 1;
        total = match group.checked_mul(count).and_then(|p| p.checked_add(total)) {
            Some(total) if total <= max => total,
            _ => return Err(ScanError::TooMany { what: "predecessors", count: group.max(total), max }),
        };
        Ok(())
    };
    let counted = exact(what, runs(column, what, rows, |r| r.unsigned(what), visit)?, rows)?;
    // Decoding sorts the predecessors of an operation, and here nobody looks at their order.
    Ok((Rows { plain: counted.plain && !several, ..counted }, total))
}
