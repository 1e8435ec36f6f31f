//! Reads the numbers, runs and strings of a change chunk without allocating.
//!
//! Owns LEB128 and automerge's run-length columns, and which form of one automerge writes. Knows nothing of what a column means.

use super::ScanError;

/// The bytes still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], ScanError> {
        let count = usize::try_from(count).map_err(|_| ScanError::Truncated(what))?;
        let (head, tail) = self.0.split_at_checked(count).ok_or(ScanError::Truncated(what))?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, ScanError> {
        let (head, tail) = self.0.split_first().ok_or(ScanError::Truncated(what))?;
        self.0 = tail;
        Ok(*head)
    }

    /// An unsigned number, in as few bytes as it takes.
    pub(super) fn unsigned(&mut self, what: &'static str) -> Result<u64, ScanError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(ScanError::Number(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let overlong = shift > 0 && byte == 0;
                return if overlong { Err(ScanError::Number(what)) } else { Ok(value) };
            }
        }
        Err(ScanError::Number(what))
    }

    /// A signed number, in as few bytes as it takes.
    pub(super) fn signed(&mut self, what: &'static str) -> Result<i64, ScanError> {
        let mut value = 0i64;
        let mut before = 0u8;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(what)?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(ScanError::Number(what));
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0;
                if negative && shift + 7 < 64 {
                    value |= -1 << (shift + 7);
                }
                let extends = (byte == 0 && before & 0x40 == 0) || (byte == 0x7f && before & 0x40 != 0);
                return if shift > 0 && extends { Err(ScanError::Number(what)) } else { Ok(value) };
            }
            before = byte;
        }
        Err(ScanError::Number(what))
    }

    /// A number of at most `max`.
    pub(super) fn at_most(&mut self, max: u64, what: &'static str) -> Result<u64, ScanError> {
        let count = self.unsigned(what)?;
        if count > max { Err(ScanError::TooMany { what, count, max }) } else { Ok(count) }
    }
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// How many rows it has.
    pub(super) count: u64,
    /// How many of them are no nulls, or true.
    pub(super) values: u64,
    /// Whether automerge's encoder would write these rows in the same bytes. It leaves a column of nulls out.
    pub(super) plain: bool,
    /// Which numbers below 64 are among the values, as bits, if somebody looked.
    pub(super) seen: u64,
}

impl Rows {
    /// A column that is left out.
    pub(super) const NONE: Self = Self { count: 0, values: 0, plain: true, seen: 0 };

    fn add(&mut self, count: u64, what: &'static str, max: u64) -> Result<(), ScanError> {
        self.count = self.count.saturating_add(count);
        if self.count > max { Err(ScanError::TooMany { what, count: self.count, max }) } else { Ok(()) }
    }
}

/// Walks a run-length column, giving each run's value (`None` for nulls) and length to `visit`, and counts its rows.
/// Stops before it has counted more than `max`.
pub(super) fn runs<'a, T: PartialEq + Copy>(
    column: &'a [u8],
    what: &'static str,
    max: u64,
    mut value: impl FnMut(&mut Reader<'a>) -> Result<T, ScanError>,
    mut visit: impl FnMut(Option<T>, u64) -> Result<(), ScanError>,
) -> Result<Rows, ScanError> {
    let mut reader = Reader::new(column);
    let mut rows = Rows::NONE;
    // automerge's encoder makes runs and literals as long as they can be: no value stands beside an equal one but in a run of both, and
    // neither nulls nor literals beside their like.
    let (mut before, mut kind) = (None, 1);
    while !reader.is_empty() {
        let header = reader.signed(what)?;
        let count = if header == 0 { reader.unsigned(what)? } else { header.unsigned_abs() };
        if count == 0 {
            return Err(ScanError::Number(what));
        }
        rows.add(count, what, max)?;
        rows.plain &= header > 1 || (header < 1 && header.signum() != kind);
        kind = header.signum();
        if header == 0 {
            before = None;
            visit(None, count)?;
            continue;
        }
        rows.values += count;
        let (times, each) = if header > 0 { (1, count) } else { (count, 1) };
        for _ in 0..times {
            let value = value(&mut reader)?;
            rows.plain &= before != Some(value);
            before = Some(value);
            visit(before, each)?;
        }
    }
    rows.plain &= column.is_empty() || rows.values > 0;
    Ok(rows)
}

/// Counts the rows of a column of booleans: falses and trues in turn. Only the first count can be 0, and not alone, as automerge writes it.
pub(super) fn booleans(column: &[u8], what: &'static str, max: u64) -> Result<Rows, ScanError> {
    let mut reader = Reader::new(column);
    let mut rows = Rows::NONE;
    let mut value = false;
    while !reader.is_empty() {
        let count = reader.unsigned(what)?;
        let first = !value && rows.count == 0;
        rows.add(count, what, max)?;
        rows.plain &= count > 0 || (first && !reader.is_empty());
        rows.values += if value { count } else { 0 };
        value = !value;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_shortest_form_only() {
        let unsigned = |bytes: &[u8]| Reader::new(bytes).unsigned("n");
        let signed = |bytes: &[u8]| Reader::new(bytes).signed("n");
        assert_eq!(unsigned(&[0x7f]), Ok(127));
        assert_eq!(unsigned(&[0x80, 1]), Ok(128));
        assert_eq!(unsigned(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Ok(u64::MAX));
        assert_eq!(unsigned(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), Err(ScanError::Number("n")));
        assert_eq!(unsigned(&[0x80, 0]), Err(ScanError::Number("n")));
        assert_eq!(unsigned(&[0x80]), Err(ScanError::Truncated("n")));
        assert_eq!(signed(&[0x7f]), Ok(-1));
        assert_eq!(signed(&[0x40]), Ok(-64));
        assert_eq!(signed(&[0xc0, 0]), Ok(64));
        assert_eq!(signed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]), Ok(i64::MIN));
        assert_eq!(signed(&[0xff, 0x7f]), Err(ScanError::Number("n")));
        assert_eq!(signed(&[0x80, 0]), Err(ScanError::Number("n")));
    }

    fn numbers(column: &[u8], max: u64) -> Result<Rows, ScanError> {
        runs(column, "n", max, |r| r.unsigned("n"), |_, _| Ok(()))
    }

    #[test]
    fn runs_are_counted_without_being_expanded() {
        let count = |bytes: &[u8], max| numbers(bytes, max).map(|rows| (rows.count, rows.values));
        assert_eq!(count(&[3, 9, 0x7e, 1, 2, 0, 4], 100), Ok((9, 5)));
        assert_eq!(count(&[3, 9], 2), Err(ScanError::TooMany { what: "n", count: 3, max: 2 }));
        let bomb = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 7];
        assert_eq!(count(&bomb, 100), Err(ScanError::TooMany { what: "n", count: i64::MAX as u64, max: 100 }));
        let flags = booleans(&[0, 3, 4], "b", 10).expect("few");
        assert_eq!((flags.count, flags.values), (7, 3));
    }

    #[test]
    fn of_a_columns_forms_one_is_plain() {
        let plain = |bytes: &[u8]| numbers(bytes, 100).expect("well-formed").plain;
        for column in
            [&[][..], &[0x7f, 1], &[0x7e, 1, 2], &[2, 1, 2, 2], &[2, 1, 0x7f, 2, 3, 1], &[0, 1, 0x7f, 1, 0, 2]]
        {
            assert!(plain(column), "{column:?}");
        }
        assert!(plain(&[0x7f, 1, 0, 1, 0x7f, 1, 0, 1, 2, 1, 0, 1, 2, 1]), "nulls part what is equal");
        let others: [(&str, &[u8]); 10] = [
            ("a run of one", &[1, 1]),
            ("a run in two", &[2, 1, 2, 1]),
            ("a run as a literal", &[0x7e, 1, 1]),
            ("a literal in two", &[0x7f, 1, 0x7f, 2]),
            ("a run that begins in the literal before it", &[0x7f, 1, 2, 1]),
            ("a run that ends in the literal behind it", &[2, 1, 0x7f, 1]),
            ("equal neighbours in a literal", &[0x7d, 1, 2, 2]),
            ("nulls in two", &[0, 1, 0, 1, 0x7f, 1]),
            ("nothing but nulls", &[0, 3]),
            ("a run of one behind a run", &[2, 1, 1, 2]),
        ];
        for (what, column) in others {
            assert!(!plain(column), "{what}: {column:?}");
        }
        let flags = |bytes: &[u8]| booleans(bytes, "b", 100).expect("few").plain;
        let plain: [&[u8]; 5] = [&[], &[2], &[0, 2], &[2, 1], &[0, 1, 1, 0x80 >> 1]];
        assert!(plain.iter().all(|column| flags(column)));
        let others: [&[u8]; 6] = [&[0], &[0, 0], &[2, 0], &[0, 0, 1], &[1, 0, 1], &[0, 2, 0]];
        assert!(others.iter().all(|column| !flags(column)));
    }
}
