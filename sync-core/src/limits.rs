//! Every bound of the engine by name, with what happens when it is reached.

use crate::planted::Planting;

/// Longest document name, in bytes. A longer one is refused by [`crate::id::DocumentName::parse`].
pub const DOCUMENT_NAME_BYTES_MAX: usize = 256;

/// Operation counters stop here, well below where automerge's own arithmetic would overflow. A change that would pass it is refused.
pub const OP_COUNTER_MAX: u64 = 1 << 31;

/// Longest actor id, in bytes. A change that names a longer one, or an empty one, is refused before it is parsed.
pub const ACTOR_BYTES_MAX: usize = 64;

/// Longest snapshot of an op index and a log's base, in bytes once inflated. A longer one is not read: the log is, from its start.
pub const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// Largest value of a document that a view holds, in bytes before they are deflated. Of a larger one there is none.
pub const VIEW_BYTES_MAX: usize = 16 << 20;

/// Deepest nesting of a value that a view holds. Of a deeper one there is none.
pub const VIEW_DEPTH_MAX: u32 = 128;

/// Bytes of one piece of a document snapshot, so that a message with one fits a frame of the usual size.
pub const PIECE_BYTES: usize = 60 << 10;

/// Most pieces of a document snapshot. Of a document that would need more there is none.
pub const PIECES_MAX: u32 = 4_096;

/// A document of fewer changes has no snapshot for newcomers: its packs are as quick.
pub const SNAPSHOT_CHANGES_MIN: u64 = 1_024;

/// Most things learned about compacted history that a room keeps once no request needs them; beyond, all are forgotten.
pub const LEARNED_MAX: usize = 16_384;

/// Longest name of an author, in bytes. A longer one is refused where it is given, and in a change by the validator.
pub const AUTHOR_BYTES_MAX: usize = 256;

/// Times, counters and increments stay within this distance of zero, so that JavaScript can hold them exactly. Others are refused.
pub const SAFE_INTEGER_MAX: u64 = 1 << 53;

/// Most bytes of values that a list of conflicts tells: bases, sides and answers, about as they are in JSON. Conflicts beyond are told without
/// values, and say so; open ones come first.
pub const CONFLICT_VALUES_BYTES_MAX: usize = 4 << 20;

/// Most conflicts that a list over HTTP, or a page's, tells; of those beyond it says how many there are. Open ones come first.
pub const CONFLICTS_TOLD_MAX: usize = 10_000;

/// Most messages in one frame, or in what parts are put together to. More are closed with 4429: each is small where it comes from and larger where it is
/// answered. A frame of the negotiated size with the smallest messages there are, pings, holds fewer.
pub const MESSAGES_MAX: usize = 16_384;

/// Deepest nesting of arrays, maps and tags within a message, unknown fields included. Deeper ones are refused as malformed.
pub const NESTING_MAX: usize = 16;

/// Bounds on one change, checked before it is parsed or while it is validated. A change beyond one is refused with a typed reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeLimits {
    /// Most bytes of one change in automerge's uncompressed form.
    pub change_bytes_max: usize,
    /// Most operations in one change.
    pub operations_max: u64,
    /// Most predecessors over all operations of one change.
    pub predecessors_max: u64,
    /// Most dependencies of one change.
    pub deps_max: usize,
    /// How far `start_op` may lie above the highest operation known, for changes whose author holds what we lack.
    pub start_op_gap_max: u64,
    /// Most operation counters that one actor may skip in a document over all its changes, above the highest operation known.
    pub gap_total_max: u64,
    /// Deepest nesting of objects below the root.
    pub depth_max: u32,
    /// Longest map key or mark name, in bytes.
    pub key_bytes_max: usize,
    /// Longest scalar value, in bytes.
    pub value_bytes_max: usize,
    /// Longest commit message, in bytes.
    pub message_bytes_max: usize,
    /// Longest author footer, in bytes.
    pub author_bytes_max: usize,
    /// Most runs of operations walked to tell in which order the ends of a change's marks stand.
    pub order_steps_max: u32,
    /// Most steps an op index keeps about which actor had seen how much of which other.
    pub seen_steps_max: usize,
    /// Most runs of operations, objects and keys in a document's op index; each takes some 30 to 60 bytes. A change that finds it full
    /// is refused.
    pub index_entries_max: usize,
    /// Most actors in one document.
    pub actors_max: usize,
    /// Most concurrent heads of one document.
    pub heads_max: usize,
    /// The bug planted in the validator, if one is.
    pub planted: Planting,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self {
            change_bytes_max: 4 << 20,
            operations_max: 200_000,
            predecessors_max: 200_000,
            deps_max: 1_024,
            start_op_gap_max: 1 << 20,
            gap_total_max: 1 << 24,
            depth_max: 100,
            key_bytes_max: 1_024,
            value_bytes_max: 2 << 20,
            message_bytes_max: 4_096,
            author_bytes_max: AUTHOR_BYTES_MAX,
            order_steps_max: 2_000_000,
            seen_steps_max: 1_000_000,
            index_entries_max: 4_000_000,
            actors_max: 65_536,
            heads_max: 4_096,
            planted: Planting::default(),
        }
    }
}

impl ChangeLimits {
    /// The bounds for what is in a log already: it came in under the limits of its day, and must be read whatever they are now.
    pub fn stored() -> Self {
        Self {
            change_bytes_max: 1 << 30,
            operations_max: 1 << 24,
            predecessors_max: 1 << 24,
            deps_max: 1 << 20,
            key_bytes_max: 1 << 20,
            value_bytes_max: 1 << 30,
            message_bytes_max: 1 << 24,
            author_bytes_max: 1 << 20,
            actors_max: 1 << 24,
            heads_max: 1 << 24,
            start_op_gap_max: OP_COUNTER_MAX,
            gap_total_max: u64::from(u32::MAX),
            order_steps_max: u32::MAX,
            seen_steps_max: 1 << 28,
            index_entries_max: usize::MAX,
            ..Self::default()
        }
    }
}

/// Bounds on packs. A pack beyond one is refused as malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimits {
    /// Most changes in one pack.
    pub changes_max: usize,
    /// Most bytes of a pack once inflated.
    pub inflated_bytes_max: usize,
    /// Most bytes of all re-created changes of a pack.
    pub raw_bytes_max: usize,
    /// Most operations of all its changes together: in run-length columns they cost a few bytes and, to validate, a microsecond each.
    pub operations_max: u64,
    /// Most predecessors of all its changes together.
    pub predecessors_max: u64,
    /// Bounds on each change in it.
    pub change: ChangeLimits,
}

impl PackLimits {
    /// The bounds for packs of what is in a log already.
    pub fn stored() -> Self {
        Self {
            changes_max: 1 << 24,
            inflated_bytes_max: 256 << 20,
            raw_bytes_max: 1 << 30,
            operations_max: u64::MAX,
            predecessors_max: u64::MAX,
            change: ChangeLimits::stored(),
        }
    }
}

impl Default for PackLimits {
    fn default() -> Self {
        Self {
            changes_max: 20_000,
            inflated_bytes_max: 8 << 20,
            raw_bytes_max: 16 << 20,
            operations_max: 200_000,
            predecessors_max: 800_000,
            change: ChangeLimits::default(),
        }
    }
}
