//! Numbers, strings and bytes as lib0 writes them, which Yjs and its servers speak. Owns no message.

use crate::figures::Error;

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes behind their count; a string is its UTF-8.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to read of a frame.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next number.
    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("a number is cut short")?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long".into())
    }

    /// The next bytes, behind their count.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = usize::try_from(self.number()?)?;
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("bytes are cut short")?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 127, 128, 300, 0x7a3c_91d5, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_bytes(&mut out, b"text");
            let mut reader = Reader(&out);
            assert_eq!(reader.number().expect("a number"), number);
            assert_eq!(reader.bytes().expect("bytes"), b"text");
            assert!(reader.number().is_err());
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        assert!(Reader(&[0x80]).number().is_err());
        assert!(Reader(&[0xff; 11]).number().is_err());
        assert!(Reader(&[3, 1, 2]).bytes().is_err());
    }
}
