//! Reads the numbers, runs and strings of a change chunk without allocating.
//!
//! Owns LEB128 and automerge's run-length columns. Knows nothing of what a column means.

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

/// Walks a run-length column, giving each run's value (`None` for nulls) and length to `visit`, and counts its rows.
/// Stops before it has counted more than `max`.
pub(super) fn runs<'a, T>(
    column: &'a [u8],
    what: &'static str,
    max: u64,
    mut value: impl FnMut(&mut Reader<'a>) -> Result<T, ScanError>,
    mut visit: impl FnMut(Option<T>, u64) -> Result<(), ScanError>,
) -> Result<u64, ScanError> {
    let mut reader = Reader::new(column);
    let mut rows = 0u64;
    while !reader.is_empty() {
        let header = reader.signed(what)?;
        let count = if header == 0 { reader.unsigned(what)? } else { header.unsigned_abs() };
        rows = match rows.checked_add(count) {
            Some(rows) if rows <= max && count > 0 => rows,
            Some(_) if count == 0 => return Err(ScanError::Number(what)),
            _ => return Err(ScanError::TooMany { what, count: rows.saturating_add(count), max }),
        };
        if header > 0 {
            let value = value(&mut reader)?;
            visit(Some(value), count)?;
        } else if header == 0 {
            visit(None, count)?;
        } else {
            for _ in 0..count {
                let value = value(&mut reader)?;
                visit(Some(value), 1)?;
            }
        }
    }
    Ok(rows)
}

/// Counts the rows of a column of booleans.
pub(super) fn booleans(column: &[u8], what: &'static str, max: u64) -> Result<u64, ScanError> {
    let mut reader = Reader::new(column);
    let mut rows = 0u64;
    while !reader.is_empty() {
        let count = reader.unsigned(what)?;
        rows = match rows.checked_add(count) {
            Some(rows) if rows <= max => rows,
            _ => return Err(ScanError::TooMany { what, count: rows.saturating_add(count), max }),
        };
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

    #[test]
    fn runs_are_counted_without_being_expanded() {
        let number = |r: &mut Reader<'_>| r.unsigned("n");
        let count = |bytes: &[u8], max| runs(bytes, "n", max, number, |_, _| Ok(()));
        assert_eq!(count(&[3, 9, 0x7e, 1, 2, 0, 4], 100), Ok(9));
        assert_eq!(count(&[3, 9], 2), Err(ScanError::TooMany { what: "n", count: 3, max: 2 }));
        let bomb = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 7];
        assert_eq!(count(&bomb, 100), Err(ScanError::TooMany { what: "n", count: i64::MAX as u64, max: 100 }));
        assert_eq!(booleans(&[0, 3, 4], "b", 10), Ok(7));
    }
}
