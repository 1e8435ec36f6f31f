//! The same operations in other bytes, and bytes that decoding does not keep: a change's columns rewritten run by run and row by row.

use crate::choices::Choices;
use crate::chunk::{Chunk, leb, number, unsigned};

/// A column's run, with values as they stand.
#[derive(Clone, Debug, PartialEq)]
enum Run {
    Equal(u64, Vec<u8>),
    Nulls(u64),
    Literal(Vec<Vec<u8>>),
}

const OBJECT_ACTOR: u64 = 0x01;
const OBJECT_COUNTER: u64 = 0x02;
const KEY_ACTOR: u64 = 0x11;
const INSERT: u64 = 0x34;
const ACTION: u64 = 0x42;
const META: u64 = 0x56;
const VALUE: u64 = 0x57;
const PRED_ACTOR: u64 = 0x71;
const PRED_COUNTER: u64 = 0x73;
const EXPAND: u64 = 0x94;
const NAME: u64 = 0xa5;

/// Columns that can be left out, where there is nothing in them.
const OPTIONAL: [u64; 7] = [OBJECT_ACTOR, OBJECT_COUNTER, KEY_ACTOR, 0x13, 0x15, EXPAND, NAME];

/// Rewrites a well-formed change in one way.
pub fn twist(chunk: &mut Chunk, choices: &mut impl Choices) {
    match choices.below(8) {
        0..=2 => run(chunk, choices),
        3 => row(chunk, choices),
        4 => flags(chunk, choices),
        5 => left_out(chunk, choices),
        6 => dropped(chunk, choices),
        _ => unnamed_actor(chunk, choices),
    }
}

/// One run of a column in another form.
fn run(chunk: &mut Chunk, choices: &mut impl Choices) {
    let Some((spec, data)) = column(chunk, choices) else { return };
    let mut runs = runs_of(spec, data);
    let at = choices.index(runs.len());
    let cut = |choices: &mut dyn FnMut(u64) -> u64, count: u64| 1 + choices(count - 1);
    let mut below = |bound| choices.below(bound);
    let instead = match runs[at].clone() {
        Run::Nulls(0 | 1) => vec![Run::Nulls(1), Run::Nulls(1)],
        Run::Nulls(count) => {
            let first = cut(&mut below, count);
            vec![Run::Nulls(first), Run::Nulls(count - first)]
        }
        Run::Equal(0 | 1, value) => vec![Run::Literal(vec![value])],
        Run::Equal(count, value) => match below(4) {
            0 => vec![Run::Literal(vec![value; count.min(100) as usize])],
            1 => vec![Run::Literal(vec![value.clone()]), Run::Equal(count - 1, value)],
            2 => vec![Run::Equal(count - 1, value.clone()), Run::Literal(vec![value])],
            _ => {
                let first = cut(&mut below, count);
                vec![Run::Equal(first, value.clone()), Run::Equal(count - first, value)]
            }
        },
        Run::Literal(mut values) => {
            let last = values.split_off(below(values.len() as u64) as usize);
            let middle = Run::Equal(1, last[0].clone());
            let parts = match below(3) {
                0 => vec![Run::Literal(values), Run::Literal(last)],
                1 => vec![Run::Literal(values), middle, Run::Literal(last[1..].to_vec())],
                _ => vec![Run::Literal([values, vec![last[0].clone()], last].concat())],
            };
            parts.into_iter().filter(|part| *part != Run::Literal(Vec::new())).collect()
        }
    };
    runs.splice(at..=at, instead);
    *chunk = chunk.clone().with(spec, &written(&runs));
}

/// One row with another value, in the form that automerge writes.
fn row(chunk: &mut Chunk, choices: &mut impl Choices) {
    let Some((spec, data)) = column(chunk, choices) else { return };
    let mut rows = rows_of(&runs_of(spec, data));
    if rows.is_empty() {
        return;
    }
    let at = choices.index(rows.len());
    let number = choices.below(0x80) as u8;
    rows[at] = match (spec & 7, choices.below(4)) {
        (_, 0) => None,
        (_, 1) => rows[choices.index(rows.len())].clone(),
        (5, _) => Some(vec![1, b'a' + number % 3]),
        (6, _) => Some(vec![number]),
        _ => Some(vec![number % 4]),
    };
    *chunk = chunk.clone().with(spec, &written(&plain(&rows)));
}

/// Flags with counts of zero, or all false.
fn flags(chunk: &mut Chunk, choices: &mut impl Choices) {
    let spec = [INSERT, EXPAND][choices.index(2)];
    let rows = row_count(chunk);
    let mut counts: Vec<u64> = Vec::new();
    match chunk.columns.iter().find(|(other, _)| *other == spec) {
        Some((_, data)) => {
            let mut rest = &data[..];
            while !rest.is_empty() {
                counts.push(number(&mut rest));
            }
        }
        None => counts.push(rows),
    }
    let at = choices.index(counts.len());
    match choices.below(4) {
        0 => counts.push(0),
        1 => counts = [0, rows].into(),
        2 => drop(counts.splice(at..=at, [counts[at] / 2, 0, counts[at] - counts[at] / 2])),
        _ => drop(counts.splice(0..0, [0, 0])),
    }
    let mut data = Vec::new();
    counts.iter().for_each(|count| unsigned(&mut data, *count));
    *chunk = chunk.clone().with(spec, &data);
}

/// A column that automerge leaves out, with nothing in it, or one that it writes, left out.
fn left_out(chunk: &mut Chunk, choices: &mut impl Choices) {
    let spec = OPTIONAL[choices.index(OPTIONAL.len())];
    let rows = row_count(chunk);
    let data = match chunk.columns.iter().any(|(other, _)| *other == spec) {
        true => Vec::new(),
        false if spec == EXPAND => plain_number(rows),
        false => written(&[Run::Nulls(rows)]),
    };
    *chunk = chunk.clone().with(spec, &data);
}

/// Something that decoding drops or sorts.
fn dropped(chunk: &mut Chunk, choices: &mut impl Choices) {
    let count = row_count(chunk) as usize;
    if count == 0 {
        return;
    }
    let at = choices.index(count);
    let rows = |spec: u64| {
        let column = chunk.columns.iter().find(|(other, _)| *other == spec);
        let mut rows = column.map_or(Vec::new(), |(_, data)| rows_of(&runs_of(spec, data)));
        rows.resize(count, None);
        rows
    };
    let with = |chunk: &Chunk, spec: u64, value: &[u8]| {
        let mut rows = rows(spec);
        rows[at] = Some(value.to_vec());
        chunk.clone().with(spec, &written(&plain(&rows)))
    };
    let metas = rows(META);
    let is_delta = |spec: u64| spec == PRED_COUNTER;
    *chunk = match choices.below(8) {
        // An actor beside a head.
        0 => with(chunk, KEY_ACTOR, &[0]),
        // The root by a counter.
        1 => with(&with(chunk, OBJECT_ACTOR, &[0]), OBJECT_COUNTER, &[0]),
        2 => with(chunk, OBJECT_COUNTER, &[0]),
        // A value, or a name, where it may not belong.
        3 => {
            let value = chunk.columns.iter().find(|(spec, _)| *spec == VALUE);
            let before: u64 = metas[..at].iter().flatten().map(|meta| number(&mut &meta[..]) >> 4).sum();
            let mut data = value.map_or(Vec::new(), |(_, data)| data.clone());
            data.insert((before as usize).min(data.len()), 7);
            let meta = metas[at].as_ref().map_or(0, |meta| number(&mut &meta[..]));
            let meta = if choices.chance(500) { meta.wrapping_add(0x10) } else { 0x13 + choices.below(7) };
            with(chunk, META, &plain_number(meta)).with(VALUE, &data)
        }
        4 => with(chunk, NAME, &[1, b'm']),
        // A number of the other type.
        5 => {
            let meta = metas[at].as_ref().map_or(0, |meta| number(&mut &meta[..]));
            with(chunk, META, &plain_number(if meta & 0xf == 4 { meta - 1 } else { meta }))
        }
        6 => with(chunk, ACTION, &[choices.below(8) as u8]),
        // Predecessors in another order.
        _ => {
            let mut chunk = chunk.clone();
            for spec in [PRED_ACTOR, PRED_COUNTER] {
                let Some((_, data)) = chunk.columns.iter().find(|(other, _)| *other == spec) else { continue };
                let mut rows = rows_of(&runs_of(spec, data));
                if is_delta(spec) {
                    undo_deltas(&mut rows);
                }
                rows.reverse();
                if is_delta(spec) {
                    redo_deltas(&mut rows);
                }
                chunk = chunk.with(spec, &written(&plain(&rows)));
            }
            chunk
        }
    };
}

/// One more actor in the table, which no operation names.
fn unnamed_actor(chunk: &mut Chunk, choices: &mut impl Choices) {
    // The table is the last of the head; only an empty one is easily told apart.
    if chunk.head.last() == Some(&0) {
        chunk.head.pop();
        chunk.head.extend([1, 2, 0xff, choices.below(4) as u8]);
    }
}

fn column<'a>(chunk: &'a Chunk, choices: &mut impl Choices) -> Option<(u64, &'a [u8])> {
    let columns: Vec<_> = chunk.columns.iter().filter(|(spec, _)| !matches!(spec & 7, 4 | 7)).collect();
    let (spec, data) = columns.get(choices.index(columns.len().max(1)))?;
    Some((*spec, data))
}

fn row_count(chunk: &Chunk) -> u64 {
    chunk
        .columns
        .iter()
        .find(|(spec, _)| *spec == ACTION)
        .map_or(0, |(spec, data)| rows_of(&runs_of(*spec, data)).len() as u64)
}

fn plain_number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    unsigned(&mut out, value);
    out
}

fn signed_number(bytes: &[u8]) -> i64 {
    let value = number(&mut &bytes[..]) as i64;
    let shift = 64 - 7 * bytes.len().min(9);
    value << shift >> shift
}

fn signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-64..64).contains(&value) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

fn value(spec: u64, rest: &mut &[u8]) -> Vec<u8> {
    let mut bytes = leb(rest);
    if spec & 7 == 5 {
        let (string, left) = rest.split_at((number(&mut &bytes[..]) as usize).min(rest.len()));
        *rest = left;
        bytes.extend(string);
    }
    bytes
}

fn runs_of(spec: u64, data: &[u8]) -> Vec<Run> {
    let mut rest = data;
    let mut runs = Vec::new();
    while !rest.is_empty() {
        let header = signed_number(&leb(&mut rest));
        runs.push(match header {
            0 => Run::Nulls(number(&mut rest)),
            1.. => Run::Equal(header as u64, value(spec, &mut rest)),
            _ => Run::Literal((header..0).map(|_| value(spec, &mut rest)).collect()),
        });
    }
    runs
}

fn written(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in runs {
        match run {
            Run::Nulls(count) => {
                out.push(0);
                unsigned(&mut out, *count);
            }
            Run::Equal(count, value) => {
                signed(&mut out, *count as i64);
                out.extend(value);
            }
            Run::Literal(values) => {
                signed(&mut out, -(values.len() as i64));
                out.extend(values.concat());
            }
        }
    }
    out
}

fn rows_of(runs: &[Run]) -> Vec<Option<Vec<u8>>> {
    let rows = |run: &Run| match run {
        Run::Nulls(count) => vec![None; *count as usize],
        Run::Equal(count, value) => vec![Some(value.clone()); *count as usize],
        Run::Literal(values) => values.iter().cloned().map(Some).collect(),
    };
    runs.iter().flat_map(rows).collect()
}

/// Runs as automerge makes them.
fn plain(rows: &[Option<Vec<u8>>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    if rows.iter().all(Option::is_none) {
        return runs;
    }
    for equal in rows.chunk_by(|a, b| a == b) {
        match (&equal[0], runs.last_mut(), equal.len()) {
            (None, _, count) => runs.push(Run::Nulls(count as u64)),
            (Some(value), Some(Run::Literal(values)), 1) => values.push(value.clone()),
            (Some(value), _, 1) => runs.push(Run::Literal(vec![value.clone()])),
            (Some(value), _, count) => runs.push(Run::Equal(count as u64, value.clone())),
        }
    }
    runs
}

fn undo_deltas(rows: &mut [Option<Vec<u8>>]) {
    let mut sum = 0;
    for row in rows.iter_mut().flatten() {
        sum = signed_number(row).wrapping_add(sum);
        row.clear();
        signed(row, sum);
    }
}

fn redo_deltas(rows: &mut [Option<Vec<u8>>]) {
    let mut before = 0;
    for row in rows.iter_mut().flatten() {
        let value = signed_number(row);
        row.clear();
        signed(row, value.wrapping_sub(before));
        before = value;
    }
}
