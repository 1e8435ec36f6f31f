//! Planted bugs: switches that break one promise each, so that the simulator can show it would notice.
//!
//! Without the feature `planted` none of this exists and every question answers no. No product build has the feature.

/// Which bug is planted in a run, if one is. Holds nothing without the feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planting {
    #[cfg(feature = "planted")]
    bug: Option<Planted>,
}

impl Planting {
    /// Plants a bug, or none.
    #[cfg(feature = "planted")]
    pub fn new(bug: Option<Planted>) -> Self {
        Self { bug }
    }

    /// Whether this bug is planted.
    pub fn has(self, bug: Planted) -> bool {
        #[cfg(feature = "planted")]
        return self.bug == Some(bug);
        #[cfg(not(feature = "planted"))]
        {
            let _ = bug;
            false
        }
    }
}

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
    /// The room acknowledges, with a batch that is durable, all that its writer has pushed since.
    AckNextBatch,
    /// The replica takes a failed commit of its local store for a good one.
    FailedSaveTakenAsSaved,
    /// The replica deletes a change's row from its store as it is sent.
    OutboxRowDeletedOnSend,
    /// The replica sends the last of its outbox first.
    OutboxOutOfOrder,
    /// The replica leaves out the outbox's last row when it loads a document.
    OutboxLostOnReopen,
    /// The replica takes what it sent on a lost connection as still on its way.
    NotSentAgain,
    /// The replica drops the losing branch of an equivocation instead of writing it again.
    LoserDropped,
    /// The replica drops with a refused or discarded change all that stands on it.
    DescendantsDropped,
    /// The replica begins the digest anew with each range it receives.
    DigestNotChained,
    /// The replica never gives up a connection on which it hears nothing.
    NeverSilent,
    /// The replica puts messages together without their last part.
    LastPartDropped,
    /// The room gives newcomers what it had of a log that was deleted since, and the replica takes it.
    SnapshotOfOtherLog,
    /// The replica that takes a snapshot lets go of what was written here before.
    SnapshotDropsOutbox,
    /// The replica takes a snapshot for all that the log holds by now.
    SnapshotCursorTooFar,
    /// The replica does not say its presence again after a reconnect.
    PresenceNotSaidAgain,
    /// The room answers an opening with a head that the store has not committed.
    OpenTellsStaged,
    /// The room acknowledges a change that it holds already, though not durably.
    HeldBeforeDurable,
    /// The room leaves out one change more of each actor than a reconciling client holds.
    SparseSkipsOne,
    /// The room takes the cursor of a deleted document for one of another log.
    TombstoneIgnored,
    /// The room takes the first read of a long log for all of it.
    LoadStopsEarly,
    /// The room sends to a subscriber whatever is on its way already.
    SubscriberBoundIgnored,
    /// The room takes pushes however much waits for the disk.
    StagedBoundIgnored,
    /// The room tells nobody that a session has gone.
    PresenceGhost,
    /// The room forgets that a slow subscriber missed presence.
    PresenceMissed,
    /// The session never closes a connection on which it hears nothing.
    SessionNeverSilent,
    /// The validator accepts predecessors that do not exist, or elsewhere.
    AcceptAnyPredecessor,
    /// The validator accepts operations with counters that their past has used.
    AcceptLowStart,
    /// The validator accepts any change by an actor that stands for a fixed one.
    AcceptForgedInit,
    /// The validator accepts a change that has not seen its actor's one before.
    AcceptUnlinked,
    /// The room takes compacted history that it has not read for history that it does not have.
    HistoryNotLookedUp,
    /// A compaction writes packs without what they need from before them.
    SegmentWithoutOutside,
    /// A compaction packs changes in another order than the log's.
    CompactionOutOfOrder,
    /// The replica lists conflicts without their answers.
    AnswersUnlisted,
    /// The replica takes one of two different answers to a conflict for the answer.
    DisputesUnseen,
    /// The replica keeps its index of conflicts when it writes its document anew.
    ConflictsKept,
    /// The index of conflicts, which replicas and whoever reads a log share, keeps no steps of counters.
    StepsUnindexed,
    /// The index of conflicts takes what a counter's step put out of sight for what shows.
    OutdoneInSight,
    /// The index of conflicts takes work in an object for no work in what holds it.
    NestedWorkUnindexed,
    /// The replica lists no conflicts of several values.
    RegisterUnlisted,
    /// The replica lists no conflicts of objects that several have made.
    ContainerUnlisted,
    /// The replica lists no work that a deletion has hidden.
    DeleteUpdateUnlisted,
    /// The replica lists no work in what was deleted already.
    EditInDeletedUnlisted,
    /// The replica lists no steps of counters that were overwritten.
    CounterOverwriteUnlisted,
    /// The replica lists no marks that others hide.
    MarkUnlisted,
    /// The replica lists nothing of what the server refused.
    RejectedUnlisted,
    /// A tab's store takes what a leader writes after another has taken over.
    FenceIgnored,
    /// A tab that follows says that its edits are saved before its store has committed them.
    FollowerSavedEarly,
    /// A tab tells others of changes that are not in the store.
    UnstoredToldToTabs,
    /// The replica says that it holds what is in the log, without what waits in its outbox.
    HoldsWithoutOutbox,
    /// The replica says that it is as far in the log as its last acknowledgement, over a hole.
    HoldsOverHoles,
    /// All tabs on a store write under the actor of the first one.
    TabsShareActor,
    /// The tab that leads takes no notice of the end of another one.
    TabsEndUnheard,
    /// A tab that follows takes all to be held that the tab that leads says is in the log.
    LeaderBelieved,
    /// The replica counts received changes that are to wait as held, and keeps them nowhere in memory.
    WaitingLost,
    /// The server settles by its rule what people have reopened.
    SettlesReopened,
    /// The server settles by its rule what is answered.
    SettlesAnswered,
    /// The server settles by its rule what people have answered differently.
    SettlesDisputed,
    /// The server settles by its rule where the document declares another one.
    SettlesBesideDeclared,
    /// The server leaves several values at one place to people, whatever its rule.
    LeavesToPeople,
    /// The server leaves out the last change that it has written when it hands them to the room.
    SettlementCutShort,
    /// The replica does not see which rules a document declares.
    DeclarationUnseen,
    /// The replica takes its device's clock for good, whatever the server's shows.
    SkewIgnored,
    /// The replica goes on correcting a clock that was set anew.
    SkewOutlivesClock,
}

impl Planted {
    /// All of them, with the names used on the command line.
    pub const ALL: [(Planted, &'static str); 75] = [
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
        (Planted::AckNextBatch, "ack-next-batch"),
        (Planted::FailedSaveTakenAsSaved, "failed-save-taken-as-saved"),
        (Planted::OutboxRowDeletedOnSend, "outbox-row-deleted-on-send"),
        (Planted::OutboxOutOfOrder, "outbox-out-of-order"),
        (Planted::OutboxLostOnReopen, "outbox-lost-on-reopen"),
        (Planted::NotSentAgain, "not-sent-again"),
        (Planted::LoserDropped, "loser-dropped"),
        (Planted::DescendantsDropped, "descendants-dropped"),
        (Planted::DigestNotChained, "digest-not-chained"),
        (Planted::NeverSilent, "never-silent"),
        (Planted::LastPartDropped, "last-part-dropped"),
        (Planted::SnapshotOfOtherLog, "snapshot-of-other-log"),
        (Planted::SnapshotDropsOutbox, "snapshot-drops-outbox"),
        (Planted::SnapshotCursorTooFar, "snapshot-cursor-too-far"),
        (Planted::PresenceNotSaidAgain, "presence-not-said-again"),
        (Planted::OpenTellsStaged, "open-tells-staged"),
        (Planted::HeldBeforeDurable, "held-before-durable"),
        (Planted::SparseSkipsOne, "sparse-skips-one"),
        (Planted::TombstoneIgnored, "tombstone-ignored"),
        (Planted::LoadStopsEarly, "load-stops-early"),
        (Planted::SubscriberBoundIgnored, "subscriber-bound-ignored"),
        (Planted::StagedBoundIgnored, "staged-bound-ignored"),
        (Planted::PresenceGhost, "presence-ghost"),
        (Planted::PresenceMissed, "presence-missed"),
        (Planted::SessionNeverSilent, "session-never-silent"),
        (Planted::AcceptAnyPredecessor, "accept-any-predecessor"),
        (Planted::AcceptLowStart, "accept-low-start"),
        (Planted::AcceptForgedInit, "accept-forged-init"),
        (Planted::AcceptUnlinked, "accept-unlinked"),
        (Planted::HistoryNotLookedUp, "history-not-looked-up"),
        (Planted::SegmentWithoutOutside, "segment-without-outside"),
        (Planted::CompactionOutOfOrder, "compaction-out-of-order"),
        (Planted::AnswersUnlisted, "answers-unlisted"),
        (Planted::DisputesUnseen, "disputes-unseen"),
        (Planted::ConflictsKept, "conflicts-kept"),
        (Planted::StepsUnindexed, "steps-unindexed"),
        (Planted::OutdoneInSight, "outdone-in-sight"),
        (Planted::NestedWorkUnindexed, "nested-work-unindexed"),
        (Planted::RegisterUnlisted, "register-unlisted"),
        (Planted::ContainerUnlisted, "container-unlisted"),
        (Planted::DeleteUpdateUnlisted, "delete-update-unlisted"),
        (Planted::EditInDeletedUnlisted, "edit-in-deleted-unlisted"),
        (Planted::CounterOverwriteUnlisted, "counter-overwrite-unlisted"),
        (Planted::MarkUnlisted, "mark-unlisted"),
        (Planted::RejectedUnlisted, "rejected-unlisted"),
        (Planted::FenceIgnored, "fence-ignored"),
        (Planted::FollowerSavedEarly, "follower-saved-early"),
        (Planted::UnstoredToldToTabs, "unstored-told-to-tabs"),
        (Planted::HoldsWithoutOutbox, "holds-without-outbox"),
        (Planted::HoldsOverHoles, "holds-over-holes"),
        (Planted::TabsShareActor, "tabs-share-actor"),
        (Planted::TabsEndUnheard, "tabs-end-unheard"),
        (Planted::LeaderBelieved, "leader-believed"),
        (Planted::WaitingLost, "waiting-lost"),
        (Planted::SettlesReopened, "settles-reopened"),
        (Planted::SettlesAnswered, "settles-answered"),
        (Planted::SettlesDisputed, "settles-disputed"),
        (Planted::SettlesBesideDeclared, "settles-beside-declared"),
        (Planted::LeavesToPeople, "leaves-to-people"),
        (Planted::SettlementCutShort, "settlement-cut-short"),
        (Planted::DeclarationUnseen, "declaration-unseen"),
        (Planted::SkewIgnored, "skew-ignored"),
        (Planted::SkewOutlivesClock, "skew-outlives-clock"),
    ];
}
