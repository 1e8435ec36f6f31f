//! The log's header and frames as they lie in the file.

use crate::sum::{Order, Sum, one_bit_gives};

/// Bytes of the log's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes of a page at most.
pub(crate) const PAGE_BYTES_MAX: usize = 65_536;

const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES_MIN: usize = 512;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Bytes of a frame that holds a page of so many.
pub(crate) fn bytes(page_bytes: usize) -> usize {
    FRAME_HEADER_BYTES + page_bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What a log says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) page_bytes: usize,
    /// The checksum on which the first frame follows.
    pub(crate) sum: Sum,
    order: Order,
    /// Drawn anew each time the log begins at its start again: frames with another mark are left from before.
    mark: [u32; 2],
}

impl Header {
    /// Reads the header, if it is one.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let order = match word(bytes, 0) {
            MAGIC => Order::Little,
            magic if magic == MAGIC | 1 => Order::Big,
            _ => return None,
        };
        let page_bytes = word(bytes, 8) as usize;
        let is_size = (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes) && page_bytes.is_power_of_two();
        let sum = Sum(word(bytes, 24), word(bytes, 28));
        let fits = Sum::default().after(order, &bytes[..24]) == sum;
        (is_size && fits && word(bytes, 4) == VERSION).then(|| Self {
            page_bytes,
            sum,
            order,
            mark: [word(bytes, 16), word(bytes, 20)],
        })
    }

    /// Every kind of log there is, for one that does not say.
    pub(crate) fn guesses() -> impl Iterator<Item = Self> {
        let sizes = (0..).map(|power| PAGE_BYTES_MIN << power).take_while(|bytes| *bytes <= PAGE_BYTES_MAX);
        sizes.flat_map(|page_bytes| {
            [Order::Little, Order::Big].map(|order| Self { page_bytes, sum: Sum::default(), order, mark: [0; 2] })
        })
    }
}

/// A page's new content, and what it is checked by.
pub(crate) struct Frame<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Frame<'a> {
    /// A frame of a log; `bytes` are as many as its pages ask for.
    pub(crate) fn new(bytes: &'a [u8], header: &Header) -> Self {
        Self { bytes, order: header.order }
    }

    /// Whether it has the log's mark.
    pub(crate) fn is_of(&self, header: &Header) -> bool {
        [word(self.bytes, 8), word(self.bytes, 12)] == header.mark
    }

    /// Whether it ends a transaction.
    pub(crate) fn commits(&self) -> bool {
        word(self.bytes, 4) != 0
    }

    /// The checksum that stands in it.
    pub(crate) fn sum(&self) -> Sum {
        Sum(word(self.bytes, 16), word(self.bytes, 20))
    }

    /// The checksum that it should have behind one of `before`. The mark is no part of it.
    pub(crate) fn sum_after(&self, before: Sum) -> Sum {
        before.after(self.order, &self.bytes[..8]).after(self.order, &self.bytes[FRAME_HEADER_BYTES..])
    }

    /// Whether it fits behind `before` once one of its bits is the other.
    pub(crate) fn is_one_bit_off(&self, before: Sum) -> bool {
        let computed = self.sum_after(before);
        let checked = [&self.bytes[..8], &self.bytes[FRAME_HEADER_BYTES..]].concat();
        computed.is_one_bit_off(self.sum()) || one_bit_gives(self.order, &checked, computed, self.sum())
    }
}
