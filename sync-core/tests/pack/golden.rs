//! Golden vectors of packs.
