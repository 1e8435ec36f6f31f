//! Packs through their public interface: sizes, round trips, golden vectors, hostile bytes.

mod golden;
mod hostile;
mod round_trip;
mod sizes;
mod writing;
