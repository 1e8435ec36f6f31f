//! Reading and writing the numbers of packs and change chunks: LEB128, shortest form only.

use super::PackError;

/// A cursor over bytes from outside.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(PackError::Malformed("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length and that many bytes.
    pub(crate) fn take_prefixed(&mut self) -> Result<&'a [u8], PackError> {
        let len = self.length()?;
        self.take(len)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, PackError> {
        Ok(self.take(1)?[0])
    }

    fn groups(&mut self) -> Result<&'a [u8], PackError> {
        let len = self
            .rest
            .iter()
            .take(10)
            .position(|b| b & 0x80 == 0)
            .ok_or(PackError::Malformed("a number does not end"))?;
        self.take(len + 1)
    }

    /// An unsigned number in its shortest form.
    pub(crate) fn unsigned(&mut self) -> Result<u64, PackError> {
        let bytes = self.groups()?;
        let mut value = 0u64;
        for (i, b) in bytes.iter().enumerate() {
            value |= u64::from(b & 0x7f) << (7 * i);
        }
        // A last group of zeros says nothing, and of a tenth only the lowest bit fits in.
        let last = bytes[bytes.len() - 1];
        let canonical = (bytes.len() == 1 || last != 0) && (bytes.len() < 10 || last == 1);
        if canonical { Ok(value) } else { Err(PackError::Malformed("a number is not in its shortest form")) }
    }

    /// A signed number in its shortest form.
    pub(crate) fn signed(&mut self) -> Result<i64, PackError> {
        let bytes = self.groups()?;
        let mut value = 0i64;
        for (i, b) in bytes.iter().enumerate() {
            value |= i64::from(b & 0x7f) << (7 * i);
        }
        let bits = 7 * bytes.len();
        if bits < 64 && bytes[bytes.len() - 1] & 0x40 != 0 {
            value |= -1 << bits;
        }
        // A last group says nothing if it repeats the sign of the one before; a tenth holds the sign alone.
        let last = bytes[bytes.len() - 1];
        let repeats = bytes.len() > 1 && last == if bytes[bytes.len() - 2] & 0x40 == 0 { 0 } else { 0x7f };
        let canonical = !repeats && (bytes.len() < 10 || last == 0 || last == 0x7f);
        if canonical { Ok(value) } else { Err(PackError::Malformed("a number is not in its shortest form")) }
    }

    pub(crate) fn small(&mut self) -> Result<u32, PackError> {
        u32::try_from(self.unsigned()?).map_err(|_| PackError::Malformed("a number exceeds 32 bits"))
    }

    pub(crate) fn length(&mut self) -> Result<usize, PackError> {
        usize::try_from(self.unsigned()?).map_err(|_| PackError::Malformed("it ends early"))
    }
}

/// Appends an unsigned number.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub(crate) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = value as u8 & 0x7f;
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Appends a length and the bytes.
pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(u in any::<u64>(), s in any::<i64>()) {
            let mut out = Vec::new();
            for shift in [0, 7, 30, 63] {
                put_unsigned(&mut out, u >> shift);
                put_signed(&mut out, s >> shift);
            }
            let mut reader = Reader::new(&out);
            for shift in [0, 7, 30, 63] {
                prop_assert_eq!(reader.unsigned(), Ok(u >> shift));
                prop_assert_eq!(reader.signed(), Ok(s >> shift));
            }
            prop_assert!(reader.is_empty());
        }
    }

    proptest! {
        /// What is taken for a number's shortest form is what would be written, and nothing else is.
        #[test]
        fn only_the_written_form_is_read(bytes in prop::collection::vec(prop::sample::select(EDGES), 1..12)) {
            let mut written = Vec::new();
            if let Ok(value) = Reader::new(&bytes).unsigned() {
                put_unsigned(&mut written, value);
                prop_assert!(bytes.starts_with(&written));
            } else if let Some(end) = bytes.iter().take(10).position(|b| b & 0x80 == 0) {
                let value = bytes[..=end].iter().rev().fold(0u128, |value, b| value << 7 | u128::from(b & 0x7f));
                put_unsigned(&mut written, value as u64);
                prop_assert_ne!(&written, &bytes[..=end]);
            }
            written.clear();
            if let Ok(value) = Reader::new(&bytes).signed() {
                put_signed(&mut written, value);
                prop_assert!(bytes.starts_with(&written));
            } else if let Some(end) = bytes.iter().take(10).position(|b| b & 0x80 == 0) {
                let value = bytes[..=end].iter().rev().fold(0u128, |value, b| value << 7 | u128::from(b & 0x7f));
                let value = if bytes[end] & 0x40 == 0 { value as i64 } else { (value as i128 | -1 << (7 * (end + 1))) as i64 };
                put_signed(&mut written, value);
                prop_assert_ne!(&written, &bytes[..=end]);
            }
        }
    }

    /// Groups at which forms differ.
    const EDGES: &[u8] = &[0, 1, 2, 0x3f, 0x40, 0x41, 0x7e, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xfe, 0xff];

    #[test]
    fn longer_forms_are_refused() {
        assert!(Reader::new(&[0x80, 0x00]).unsigned().is_err());
        assert!(Reader::new(&[0xff, 0x7f]).signed().is_err());
        assert!(Reader::new(&[0xff; 11]).unsigned().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).unsigned().is_err());
    }
}
