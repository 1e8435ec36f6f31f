//! Where choices come from: a seeded generator in tests, the fuzzer's bytes under libFuzzer.

use sync_core::rng::Rng;

/// A source of choices.
pub trait Choices {
    /// A number below `bound`; 0 if `bound` is 0.
    fn below(&mut self, bound: u64) -> u64;

    /// Bits of any kind.
    fn u64(&mut self) -> u64;

    /// True in about `per_mille` of a thousand cases.
    fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// An index of a slice of `len`, which is not empty.
    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// One of several.
    fn pick<T: Clone>(&mut self, among: &[T]) -> T
    where
        Self: Sized,
    {
        among[self.index(among.len())].clone()
    }
}

impl Choices for Rng {
    fn below(&mut self, bound: u64) -> u64 {
        Rng::below(self, bound)
    }

    fn u64(&mut self) -> u64 {
        Rng::u64(self)
    }
}

/// An input as choices: few bytes each, so that a small change of the input is a small change of what is done. Behind its end all is 0.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Choices read from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Up to `max` bytes: a length byte, then they.
    pub fn bytes(&mut self, max: usize) -> &'a [u8] {
        let length = usize::from(self.byte()).min(max).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl Choices for Input<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        match bound {
            0 | 1 => 0,
            2..=256 => u64::from(self.byte()) % bound,
            _ => (u64::from(self.byte()) << 8 | u64::from(self.byte())) % bound,
        }
    }

    /// Two bytes, spread over all bits.
    fn u64(&mut self) -> u64 {
        (u64::from(self.byte()) << 8 | u64::from(self.byte())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        u64::from(self.byte()) * 1000 < per_mille * 256
    }
}
