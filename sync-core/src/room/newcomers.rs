//! Newcomers: a document snapshot in place of the log up to its position, piece by piece as each takes it, read from the store once for all
//! that are at the same place.
//!
//! Owns who gets what of which snapshot. It loads no document. Where there is no snapshot, or none that belongs to this log, the log follows
//! from its start as ever.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::{LogSeq, SessionId, TaskId};
use crate::planted::Planted;
use crate::protocol::{Blob, Open, ServerMessage, SnapshotHeld, SnapshotPiece, accepts};
use crate::room::{Output, Room, Then, ToSession};
use crate::storage::{Pieces, SnapshotAt, StoreError, StoreTask};

/// How far a subscriber is with the snapshot.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The snapshot that it has the beginning of.
    at: Option<SnapshotAt>,
    /// The next piece.
    next: u32,
    /// Whether it takes a view.
    views: bool,
    /// What it held before this connection.
    held: Option<SnapshotHeld>,
}

impl Receiving {
    /// What a client that holds nothing is to get, if it takes snapshots and the log is long enough for one.
    pub(super) fn begin(open: &Open, accepts: u32) -> Option<Self> {
        let takes = accepts & accepts::SNAPSHOTS != 0 && open.packs != Some(true);
        let views = accepts & accepts::VIEWS != 0;
        takes.then_some(Self { at: None, next: 0, views, held: open.snapshot })
    }

    /// Begins with a snapshot, behind what is held of this very one.
    fn turn_to(&mut self, at: SnapshotAt) {
        if self.at == Some(at) {
            return;
        }
        let held = self.held.take().filter(|held| (held.seq, held.digest) == (at.seq, at.digest));
        let first = if self.views { 0 } else { at.views };
        self.next = held.map_or(0, |held| held.pieces.min(at.total)).max(first);
        self.at = Some(at);
    }
}

/// What is in memory of a snapshot while somebody receives it: the messages of the last read, shared by all.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    at: Option<SnapshotAt>,
    frames: BTreeMap<u32, Bytes>,
    task: Option<TaskId>,
}

impl Room {
    /// Delivers pieces as far as the subscriber's bound allows; behind the last one the log goes on.
    pub(super) fn hand_out(&mut self, session: SessionId) {
        loop {
            let bound = self.config.subscriber_bytes_max / 2;
            let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
            let Some(receiving) = &mut subscriber.receiving else { return };
            if subscriber.in_flight > bound {
                return;
            }
            if let Some(at) = self.newcomers.at {
                receiving.turn_to(at);
                if receiving.next >= at.total {
                    subscriber.position = at.seq;
                    subscriber.receiving = None;
                    self.forget_frames();
                    return self.catch_up(session);
                }
                if let Some(frame) = self.newcomers.frames.get(&receiving.next) {
                    receiving.next += 1;
                    subscriber.in_flight += frame.len();
                    let message = ToSession { message: frame.clone(), then: Then::Continue };
                    self.outputs.push_back(Output::Deliver(session, message));
                    continue;
                }
            }
            let from = receiving.next;
            return self.read_pieces(from);
        }
    }

    pub(super) fn read_pieces(&mut self, from: u32) {
        if self.newcomers.task.is_none() {
            let document = self.document.clone();
            let task = self.task(StoreTask::Pieces { document, from, bytes_max: self.config.read_bytes_max });
            self.newcomers.task = Some(task);
        }
    }

    /// A read of pieces is done.
    pub(super) fn pieces_read(&mut self, task: TaskId, result: Result<Pieces, StoreError>) {
        if self.newcomers.task != Some(task) {
            return;
        }
        self.newcomers.task = None;
        let Some(durable) = self.phase.body().map(|body| body.durable) else { return };
        let before = self.newcomers.at;
        let usable = result.ok().and_then(|read| Some((read.at.filter(|at| self.is_of_this_log(at, durable))?, read)));
        match usable {
            Some((at, read)) if before != Some(at) || !read.pieces.is_empty() => {
                self.newcomers.at = Some(at);
                let frame = |(index, bytes): (u32, Bytes)| (index, self.piece(&at, index, bytes));
                self.newcomers.frames = read.pieces.into_iter().map(frame).collect();
            }
            // There is none, or it ends early: the log has everything.
            _ => self.subscribers.values_mut().for_each(|subscriber| subscriber.receiving = None),
        }
        let all: Vec<_> = self.subscribers.keys().copied().collect();
        for session in all {
            self.catch_up(session);
        }
        self.forget_frames();
    }

    /// Whether a snapshot stands for a beginning of what this room has.
    fn is_of_this_log(&self, at: &SnapshotAt, durable: LogSeq) -> bool {
        let Some(body) = self.phase.body() else { return false };
        let log = &body.reading.log;
        at.incarnation == log.incarnation()
            && at.seq <= durable
            && log.digest_at(at.seq).is_none_or(|digest| digest == at.digest)
    }

    fn piece(&self, at: &SnapshotAt, index: u32, bytes: Bytes) -> Bytes {
        let SnapshotAt { seq, digest, views, total, .. } = *at;
        let piece = SnapshotPiece { room: self.number, seq, digest, index, total, views, bytes: Blob(bytes) };
        ServerMessage::Snapshot(piece).encode()
    }

    /// The log is another one: what there was of a snapshot of the one before is of no use.
    pub(super) fn forget_snapshot(&mut self) {
        if !self.config.planted.has(Planted::SnapshotOfOtherLog) {
            self.newcomers = Newcomers::default();
        }
    }

    /// Lets go of what nobody receives any more.
    pub(super) fn forget_frames(&mut self) {
        let wanted = self.subscribers.values().any(|subscriber| subscriber.receiving.is_some());
        if !wanted && !self.config.planted.has(Planted::SnapshotOfOtherLog) {
            self.newcomers = Newcomers::default();
        }
    }
}
