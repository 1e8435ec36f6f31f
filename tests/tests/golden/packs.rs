//! Packs of the interoperability test's changes: each is relative to what a receiver holds. Owns the choice of them, not their bytes.

use std::ops::Range;

/// Which changes a pack holds, after which, and with how many actors taken as known.
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many of the changes the receiver holds.
    pub(crate) held: usize,
    /// Which it brings.
    pub(crate) brings: Range<usize>,
    /// Whether the receiver's actor numbers are used.
    pub(crate) with_base: bool,
}

/// All packs.
pub(crate) fn cases() -> Vec<Case> {
    let case = |name, held, brings, with_base| Case { name, held, brings, with_base };
    vec![
        case("empty", 0, 0..0, false),
        case("first", 0, 0..1, false),
        case("one-character", 40, 40..41, true),
        case("a-push", 40, 40..50, false),
        case("a-range", 30, 30..91, true),
        case("everything", 0, 0..91, false),
    ]
}
