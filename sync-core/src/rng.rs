//! Chance as data: a ChaCha8 generator seeded from outside. The same seed gives the same run on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::id::{ActorId, ClientId, Incarnation, StoreId};

/// The seeded generator of one machine (ChaCha, 8 rounds).
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Starts from a 32-byte seed, which the driver takes from the operating system and a test from its seed number.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Starts from a seed number, for tests and simulation.
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A child generator whose draws do not disturb this one's later draws.
    pub fn fork(&mut self) -> Self {
        Self::new(self.bytes())
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64 }
    }

    /// True with a probability of `per_mille` in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }

    /// A fresh random actor of 16 bytes.
    pub fn actor(&mut self) -> ActorId {
        ActorId::from(self.bytes::<16>())
    }

    /// A fresh random store id.
    pub fn store_id(&mut self) -> StoreId {
        StoreId(self.bytes())
    }

    /// A fresh random incarnation.
    pub fn incarnation(&mut self) -> Incarnation {
        Incarnation(self.bytes())
    }

    /// A fresh random client id.
    pub fn client_id(&mut self) -> ClientId {
        ClientId(self.bytes())
    }
}
