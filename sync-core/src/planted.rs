//! Planted bugs: switches that break one promise each, so that the simulator can show it would notice.
//!
//! Without the feature `planted` none of this exists and every question answers no. No product build has the feature.

/// One bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Planted {
    /// The room acknowledges before the store has committed.
    AckBeforeCommit,
    /// The room acknowledges what the validator refused, as if it were held.
    AckRefused,
    /// The replica saves a cursor before the changes it stands for.
    CursorBeforeApply,
    /// The replica drops a rejected change from its outbox.
    DropOutboxOnReject,
    /// The replica writes again under the actor that somebody else writes as too, after its store was rolled back or copied.
    ReuseActorAfterRollback,
    /// The room shows changes to others before the store has committed.
    FanOutBeforeCommit,
    /// The room takes a cursor whose digest is not its own.
    IgnoreDigest,
    /// The replica moves its cursor to an acknowledgement over a hole.
    AckFillsHoles,
    /// The replica drops changes from its outbox as they are sent.
    OutboxClearedOnSend,
    /// The room forgets what did not fit a slow subscriber's bound.
    LostOnSlowSubscriber,
    /// The room goes on with changes in memory whose commit failed.
    KeepStagedAfterFailedCommit,
    /// The replica asks for one change less than it lacks.
    ResumeOffByOne,
}

impl Planted {
    /// All of them, with the names used on the command line.
    pub const ALL: [(Planted, &'static str); 12] = [
        (Planted::AckBeforeCommit, "ack-before-commit"),
        (Planted::AckRefused, "ack-refused"),
        (Planted::CursorBeforeApply, "cursor-before-apply"),
        (Planted::DropOutboxOnReject, "drop-outbox-on-reject"),
        (Planted::ReuseActorAfterRollback, "reuse-actor-after-rollback"),
        (Planted::FanOutBeforeCommit, "fan-out-before-commit"),
        (Planted::IgnoreDigest, "ignore-digest"),
        (Planted::AckFillsHoles, "ack-fills-holes"),
        (Planted::OutboxClearedOnSend, "outbox-cleared-on-send"),
        (Planted::LostOnSlowSubscriber, "lost-on-slow-subscriber"),
        (Planted::KeepStagedAfterFailedCommit, "keep-staged-after-failed-commit"),
        (Planted::ResumeOffByOne, "resume-off-by-one"),
    ];
}
