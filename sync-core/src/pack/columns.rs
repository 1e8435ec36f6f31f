//! What most changes have in common: which columns they have, what stands in them, and how their counters follow from the start operation.
//!
//! Owns the table of usual layouts and the dictionary that grows over a pack.

use std::borrow::Cow;

use super::PackError;
use super::chunk::Columns;
use super::leb::{Reader, put_signed};

/// Most columns of a change that is packed by its columns; one with more is packed whole.
pub(super) const COLUMNS_MAX: usize = 32;

const KEY_ACTOR: u32 = 17;
const KEY_COUNTER: u32 = 19;
const PRED_COUNTER: u32 = 115;

pub(super) type Usual = &'static [(u32, &'static [u8])];

/// The layouts known before a pack starts, with the contents taken as their last ones. Their order is part of the format.
const USUAL: [Usual; 16] = [
    // An empty change.
    &[],
    // A character or a list element behind another one.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (17, b"\x7f\0"),
        (19, b"\x7f\x7f"),
        (52, b"\0\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\0"),
    ],
    // The first character or list element.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (19, b"\x7f\0"),
        (52, b"\0\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\0"),
    ],
    // The deletion of a character or a list element.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (17, b"\x7f\0"),
        (19, b"\x7f\x7f"),
        (52, b"\x01"),
        (66, b"\x7f\x03"),
        (86, b"\x7f\0"),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\0"),
    ],
    // A key of the root, put afresh.
    &[(21, b"\x7f\x01k"), (52, b"\x01"), (66, b"\x7f\x01"), (86, b"\x7f\x16"), (87, b" "), (112, b"\x7f\0")],
    // A key of the root, put again.
    &[
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\x7f"),
    ],
    // A key of the root, deleted.
    &[
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x03"),
        (86, b"\x7f\0"),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\x7f"),
    ],
    // A key of the root, made an object.
    &[(21, b"\x7f\x01k"), (52, b"\x01"), (66, b"\x7f\0"), (86, b"\x7f\0"), (112, b"\x7f\0")],
    // A key of a map, put afresh.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\0"),
    ],
    // A key of a map, put again.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\x7f"),
    ],
    // A key of a map, deleted or put again without bytes.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x03"),
        (86, b"\x7f\0"),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\x7f"),
    ],
    // A key of a map, made an object or put without bytes.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (21, b"\x7f\x01k"),
        (52, b"\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x02"),
        (112, b"\x7f\0"),
    ],
    // A list element put again, or characters replaced.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (17, b"\x7f\0"),
        (19, b"\x7f\x7f"),
        (52, b"\x01"),
        (66, b"\x7f\x01"),
        (86, b"\x7f\x16"),
        (87, b" "),
        (112, b"\x7f\x01"),
        (113, b"\x7f\0"),
        (115, b"\x7f\0"),
    ],
    // An object in a list behind another element.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (17, b"\x7f\0"),
        (19, b"\x7f\x7f"),
        (52, b"\0\x01"),
        (66, b"\x7f\0"),
        (86, b"\x7f\0"),
        (112, b"\x7f\0"),
    ],
    // An object as a list's first element.
    &[
        (1, b"\x7f\0"),
        (2, b"\x7f\x01"),
        (19, b"\x7f\0"),
        (52, b"\0\x01"),
        (66, b"\x7f\0"),
        (86, b"\x7f\0"),
        (112, b"\x7f\0"),
    ],
    // A mark.
    &[
        (1, b"\x02\0"),
        (2, b"\x02\x01"),
        (17, b"\x02\0"),
        (19, b"\x7e\x7f\x01"),
        (52, b"\0\x02"),
        (66, b"\x02\x07"),
        (86, b"\x7e\x02\0"),
        (112, b"\x02\0"),
        (148, b"\x01\x01"),
        (165, b"\x7f\x04bold\0\x01"),
    ],
];

/// One layout and what stood in its columns when it was last used.
#[derive(Clone, Debug)]
pub(super) enum Layout<'a> {
    /// Not used yet in this pack.
    Usual(Usual),
    /// Introduced or used in this pack.
    Last(Columns<'a>),
}

impl<'a> Layout<'a> {
    /// Number of its columns.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Usual(columns) => columns.len(),
            Self::Last(columns) => columns.len(),
        }
    }

    /// A column's specification and what stood in it last.
    pub(super) fn column(&self, index: usize) -> (u32, &[u8]) {
        match self {
            Self::Usual(columns) => columns[index],
            Self::Last(columns) => (columns[index].0, &columns[index].1),
        }
    }

    /// All columns, to be changed.
    pub(super) fn columns(&mut self) -> &mut Columns<'a> {
        if let Self::Usual(columns) = self {
            *self = Self::Last(columns.iter().map(|(spec, bytes)| (*spec, Cow::Borrowed(*bytes))).collect());
        }
        match self {
            Self::Last(columns) => columns,
            Self::Usual(_) => unreachable!("it was replaced"),
        }
    }
}

/// The layouts usable at a point of a pack.
pub(super) struct Layouts<'a>(pub(super) Vec<Layout<'a>>);

impl Layouts<'_> {
    /// The usual ones.
    pub(super) fn usual() -> Self {
        Self(USUAL.iter().map(|usual| Layout::Usual(usual)).collect())
    }

    /// The layout with just these columns.
    pub(super) fn find(&self, columns: &Columns<'_>) -> Option<usize> {
        self.0.iter().position(|layout| {
            layout.len() == columns.len() && (0..columns.len()).all(|j| layout.column(j).0 == columns[j].0)
        })
    }

    /// Adds a layout whose columns were empty so far.
    pub(super) fn push(&mut self, specs: impl Iterator<Item = u32>) -> usize {
        self.0.push(Layout::Last(specs.map(|spec| (spec, Cow::Borrowed(&[][..]))).collect()));
        self.0.len() - 1
    }
}

/// Where the first number of a run-length column stands, and the number. `None` if it has nulls only.
fn first_number(column: &[u8]) -> Result<Option<(std::ops::Range<usize>, i64)>, PackError> {
    let mut r = Reader::new(column);
    while !r.is_empty() {
        if r.signed()? == 0 {
            r.unsigned()?;
            continue;
        }
        let start = column.len() - r.remaining();
        let value = r.signed()?;
        return Ok(Some((start..column.len() - r.remaining(), value)));
    }
    Ok(None)
}

/// Replaces the first number of a column by itself plus `by`; gives the number after that.
fn shift(column: &mut Cow<'_, [u8]>, by: Option<i64>) -> Result<Option<i64>, PackError> {
    let Some((range, value)) = first_number(column)? else { return Ok(None) };
    let out_of_range = PackError::Malformed("a counter is out of range");
    let shifted = by.and_then(|by| value.checked_add(by)).ok_or(out_of_range)?;
    let mut out = Vec::with_capacity(column.len() + 10);
    out.extend_from_slice(&column[..range.start]);
    put_signed(&mut out, shifted);
    out.extend_from_slice(&column[range.end..]);
    *column = out.into();
    Ok(Some(shifted))
}

fn position(columns: &Columns<'_>, spec: u32) -> Option<usize> {
    columns.iter().position(|(own, _)| *own == spec)
}

/// Writes the first key counter relative to the start operation, and the first predecessor relative to that key (or the start operation).
pub(super) fn make_relative(columns: &mut Columns<'_>, start_op: i64) -> Result<(), PackError> {
    let mut from = start_op;
    if position(columns, KEY_ACTOR).is_some()
        && let Some(at) = position(columns, KEY_COUNTER)
        && let Some(relative) = shift(&mut columns[at].1, start_op.checked_neg())?
    {
        // The very number that was read, so it is in range.
        from = relative.wrapping_add(start_op);
    }
    if let Some(at) = position(columns, PRED_COUNTER) {
        shift(&mut columns[at].1, from.checked_neg())?;
    }
    Ok(())
}

/// Undoes [`make_relative`].
pub(super) fn make_absolute(columns: &mut Columns<'_>, start_op: i64) -> Result<(), PackError> {
    let mut from = start_op;
    if position(columns, KEY_ACTOR).is_some()
        && let Some(at) = position(columns, KEY_COUNTER)
        && let Some(absolute) = shift(&mut columns[at].1, Some(start_op))?
    {
        from = absolute;
    }
    if let Some(at) = position(columns, PRED_COUNTER) {
        shift(&mut columns[at].1, Some(from))?;
    }
    Ok(())
}
