//! The log's checksum: two sums over pairs of 32-bit words, each fed with the other.

/// A checksum, which goes on from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(pub(crate) u32, pub(crate) u32);

/// How the words of a log are laid out in bytes, said by the log's magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

fn words(order: Order, pair: &[u8]) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        match order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    };
    (word(&pair[..4]), word(&pair[4..]))
}

impl Sum {
    /// The checksum of what came before and then `bytes`, a multiple of 8.
    pub(crate) fn after(self, order: Order, bytes: &[u8]) -> Self {
        bytes.chunks_exact(8).fold(self, |Self(first, second), pair| {
            let (one, two) = words(order, pair);
            let first = first.wrapping_add(one).wrapping_add(second);
            Self(first, second.wrapping_add(two).wrapping_add(first))
        })
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0), self.1.wrapping_sub(other.1))
    }

    /// How a difference in these sums has grown a pair of words later.
    fn a_pair_later(self) -> Self {
        let first = self.0.wrapping_add(self.1);
        Self(first, self.1.wrapping_add(first))
    }

    fn times(self, factor: u32) -> Self {
        Self(self.0.wrapping_mul(factor), self.1.wrapping_mul(factor))
    }

    /// Whether one flipped bit makes this differ from `other` as it does.
    pub(crate) fn is_one_bit_off(self, other: Self) -> bool {
        (self.0 ^ other.0).count_ones() + (self.1 ^ other.1).count_ones() == 1
    }
}

/// Whether `bytes` would give `wanted` instead of `computed` if one of their bits were the other.
///
/// The sums are linear, so that a bit's part in them is known from its place alone: one pass from the end tries all bits.
pub(crate) fn one_bit_gives(order: Order, bytes: &[u8], computed: Sum, wanted: Sum) -> bool {
    let missing = wanted.minus(computed);
    let (mut of_first, mut of_second) = (Sum(1, 1), Sum(0, 1));
    for pair in bytes.rchunks_exact(8) {
        let (one, two) = words(order, pair);
        for (word, part) in [(one, of_first), (two, of_second)] {
            let flips =
                (0..32).map(|bit| if word >> bit & 1 == 0 { 1_u32 << bit } else { (1_u32 << bit).wrapping_neg() });
            if flips.into_iter().any(|change| part.times(change) == missing) {
                return true;
            }
        }
        (of_first, of_second) = (of_first.a_pair_later(), of_second.a_pair_later());
    }
    false
}
