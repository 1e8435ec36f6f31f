//! The validator against honest histories, hand-made poison, and mutated changes.
//!
//! `REJOIN_HONEST_ROUNDS` and `REJOIN_LAW_ROUNDS` widen the random parts beyond what every run does.

mod honest;
mod javascript;
mod law;
mod poison;

fn rounds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
