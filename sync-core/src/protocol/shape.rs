//! The outer shape of what comes in, checked before anything is decoded: CBOR to its end, of definite lengths, not deep, not too many
//! messages. Knows no message.

use crate::limits::{MESSAGES_MAX, NESTING_MAX};
use crate::protocol::MessageError;

/// Checks all items in `bytes`, in one pass and without a copy.
pub(crate) fn check(bytes: &[u8]) -> Result<(), MessageError> {
    // How many items each open array or map still lacks.
    let mut open = [0u64; NESTING_MAX];
    let (mut depth, mut messages, mut rest) = (0, 0, bytes);
    while depth > 0 || !rest.is_empty() {
        if depth == 0 {
            messages += 1;
            if messages > MESSAGES_MAX {
                return Err(MessageError::TooMany);
            }
        }
        let items = item(&mut rest)?;
        if items > 0 {
            *open.get_mut(depth).ok_or_else(|| malformed("it is nested too deeply"))? = items;
            depth += 1;
            continue;
        }
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
    }
    Ok(())
}

/// Reads the head of an item, and what follows of a string; gives how many items it consists of.
fn item(rest: &mut &[u8]) -> Result<u64, MessageError> {
    let first = take(rest, 1)?[0];
    let argument = match first & 0x1f {
        short @ 0..=23 => u64::from(short),
        width @ 24..=27 => take(rest, 1 << (width - 24))?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
        31 => return Err(malformed("a length is indefinite")),
        _ => return Err(malformed("a reserved length")),
    };
    match first >> 5 {
        2 | 3 => {
            take(rest, usize::try_from(argument).unwrap_or(usize::MAX))?;
            Ok(0)
        }
        4 => Ok(argument),
        5 => argument.checked_mul(2).ok_or_else(|| malformed("a map has too many entries")),
        6 => Ok(1),
        _ => Ok(0),
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], MessageError> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(|| malformed("it ends within a message"))?;
    *rest = left;
    Ok(taken)
}

fn malformed(what: &str) -> MessageError {
    MessageError::Malformed(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_expensive_is_refused_before_it_is_decoded() {
        let check = |bytes: &[u8], good: bool| assert_eq!(super::check(bytes).is_ok(), good, "{bytes:02x?}");
        check(&[], true);
        check(&[0x82, 0x07, 0xa1, 0x00, 0x07], true);
        check(&[0x82, 0x07, 0xa1, 0x00], false);
        check(&[0x82, 0x07, 0xbf, 0x00, 0x07, 0xff], false);
        check(&[0x5f, 0x41, 0x00, 0xff], false);
        check(&[0x1c], false);
        check(&[0xff], false);
        check(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], false);
        check(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], false);
        check(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], false);
        check(&[0x81; 1 << 20], false);
        check(&[&[0x81; NESTING_MAX][..], &[0x80]].concat(), true);
        check(&[&[0x81; NESTING_MAX][..], &[0x81, 0x00]].concat(), false);
        check(&[0xc1; 1 << 20], false);
    }

    #[test]
    fn a_flood_of_tiny_messages_in_parts_is_refused_by_their_number() {
        assert_eq!(check(&vec![0x80; MESSAGES_MAX]), Ok(()));
        assert_eq!(check(&vec![0x80; MESSAGES_MAX + 1]), Err(MessageError::TooMany));
    }
}
