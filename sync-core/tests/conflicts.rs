//! Conflicts against an oracle: of random histories, every operation whose effect does not show, and that nobody overwrote who knew of
//! it, is in some conflict; and whoever got the changes in whichever order lists the same.

mod conflicts {
    pub(crate) mod history;
    pub(crate) mod oracle;
    mod random;
    pub(crate) mod scribble;
    mod stories;
    mod sums;
    mod typing;
}
