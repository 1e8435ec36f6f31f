//! Frames: a WebSocket message holds one or more messages; a message larger than a frame travels in parts.

use bytes::Bytes;

use crate::protocol::Blob;

/// Room in a frame for a part's own header.
const PART_HEADER_BYTES: usize = 32;

/// A piece of a message that is larger than a frame. Parts of one message follow each other in order; other messages may come between.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Part {
    /// Index of this piece, from 0. A piece 0 begins a new message.
    #[n(0)]
    pub index: u32,
    /// Number of pieces.
    #[n(1)]
    pub total: u32,
    /// The piece.
    #[n(2)]
    pub bytes: Blob,
}

/// Why parts can't be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A part is missing, repeated or out of order.
    #[error("part {index} of {total} is out of order")]
    OutOfOrder {
        /// The part's index.
        index: u32,
        /// The number of pieces it claims.
        total: u32,
    },
    /// The message would be larger than negotiated.
    #[error("a message of parts is larger than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
}

/// Cuts an encoded message into the bodies of parts, each of which fits a frame. `None` if the message itself fits.
pub fn split(message: &Bytes, frame_bytes_max: usize) -> Option<Vec<Part>> {
    if message.len() <= frame_bytes_max {
        return None;
    }
    let piece = frame_bytes_max.saturating_sub(PART_HEADER_BYTES).max(1);
    let total = message.len().div_ceil(piece) as u32;
    let parts = (0..total).map(|index| {
        let start = index as usize * piece;
        let end = (start + piece).min(message.len());
        Part { index, total, bytes: Blob(message.slice(start..end)) }
    });
    Some(parts.collect())
}

/// Puts the parts of one message at a time together.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    next: u32,
    total: u32,
}

impl Assembler {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes buffered.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next part; gives the whole message with the last one. Buffers what has come, never what is announced.
    pub fn push(&mut self, part: &Part, message_bytes_max: usize) -> Result<Option<Vec<u8>>, FrameError> {
        let Part { index, total, bytes } = part;
        if *index == 0 {
            *self = Self { bytes: Vec::new(), next: 0, total: *total };
        }
        if *index != self.next || *total != self.total || index >= total {
            return Err(FrameError::OutOfOrder { index: *index, total: *total });
        }
        if self.bytes.len() + bytes.0.len() > message_bytes_max {
            return Err(FrameError::TooLarge { max: message_bytes_max });
        }
        self.bytes.extend_from_slice(&bytes.0);
        self.next += 1;
        if self.next < self.total {
            return Ok(None);
        }
        Ok(Some(std::mem::take(self).bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_together_again() {
        let message = Bytes::from((0..100_000u32).map(|i| i as u8).collect::<Vec<_>>());
        let parts = split(&message, 4096).expect("larger than a frame");
        let mut assembler = Assembler::new();
        let mut whole = None;
        for part in &parts {
            assert_eq!(whole, None);
            assert!(part.bytes.0.len() + PART_HEADER_BYTES <= 4096);
            whole = assembler.push(part, 1 << 20).expect("in order");
        }
        assert_eq!(whole.as_deref(), Some(&message[..]));
        assert_eq!(split(&message, 100_000), None);
    }

    #[test]
    fn disorder_and_size_are_refused() {
        let part = |index, total, len| Part { index, total, bytes: Blob(Bytes::from(vec![0; len])) };
        let mut a = Assembler::new();
        assert!(a.push(&part(1, 2, 1), 10).is_err());
        assert_eq!(a.push(&part(0, 2, 1), 10), Ok(None));
        assert!(a.push(&part(0, 0, 1), 10).is_err());
        assert_eq!(a.push(&part(0, 3, 6), 10), Ok(None));
        assert_eq!(a.push(&part(1, 3, 6), 10), Err(FrameError::TooLarge { max: 10 }));
    }
}
