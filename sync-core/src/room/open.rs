//! Opening: how what a client holds relates to the log, and from where it is served.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::VectorClock;
use crate::id::{ActorId, LogSeq, SessionId};
use crate::log::Log;
use crate::planted::Planted;
use crate::protocol::{LogActors, Mode, Open, Opened, ServerMessage};
use crate::room::load::Body;
use crate::room::newcomers::Receiving;
use crate::room::{Reconcile, Room, Subscriber, Then};

impl Room {
    pub(super) fn join(&mut self, session: SessionId, open: Open, accepts: u32) {
        let Some(body) = self.phase.body() else { return };
        let mode = self.mode(body, &open);
        let position = match (mode, &open.cursor) {
            (Mode::Resume, Some(cursor)) => cursor.seq,
            _ => LogSeq(0),
        };
        let actors = (mode == Mode::Reconcile).then(|| body.reading.log.actors_at(body.durable));
        let known = actors.as_ref().map_or(0, Vec::len) as u32;
        let tells_staged = self.config.planted.has(Planted::OpenTellsStaged);
        let head = if tells_staged { body.reading.log.head() } else { body.durable };
        let opened = Opened {
            handle: open.handle,
            room: self.number,
            mode,
            incarnation: body.reading.log.incarnation(),
            head,
            digest: body.reading.log.digest_at(head).expect("the durable position is in the log"),
            actors: actors.map(LogActors),
        };
        // What comes with this opening is of the deleted log too: the client opens again once it has set its copy aside.
        if mode == Mode::Replaced {
            return self.send(session, &ServerMessage::Opened(opened), Then::Ended);
        }
        let reconcile = (mode == Mode::Reconcile).then(|| Reconcile {
            held: open.clock.as_ref().map(|clock| held(&body.reading.log, clock)).unwrap_or_default(),
            actors: known,
            until: body.durable,
            told: LogSeq(0),
        });
        let is_long = body.durable.0 >= self.config.snapshot_changes_min;
        let receiving = (mode == Mode::New && is_long).then(|| Receiving::begin(&open, accepts)).flatten();
        let subscriber = Subscriber {
            handle: open.handle,
            position,
            in_flight: 0,
            pending: 0,
            loading: false,
            awaits_have: mode == Mode::Reconcile && open.clock.is_none(),
            reconcile,
            receiving,
            missed_presence: BTreeSet::new(),
        };
        self.subscribers.insert(session, subscriber);
        if self.config.planted.has(Planted::SnapshotOfOtherLog) {
            self.read_pieces(0);
        }
        self.send(session, &ServerMessage::Opened(opened), Then::Continue);
        self.send_presence(session);
        self.catch_up(session);
    }

    pub(super) fn mode(&self, body: &Body, open: &Open) -> Mode {
        let deleted = open.cursor.is_some_and(|cursor| body.record.deleted.contains(&cursor.incarnation));
        if deleted && !self.config.planted.has(Planted::TombstoneIgnored) {
            return Mode::Replaced;
        }
        if open.clock.is_some() {
            return Mode::Reconcile;
        }
        let Some(cursor) = open.cursor.filter(|c| c.seq.0 > 0) else { return Mode::New };
        let fits = |seq: LogSeq, digest| seq <= body.durable && body.reading.log.digest_at(seq) == Some(digest);
        let digest_fits = fits(cursor.seq, cursor.digest) || self.config.planted.has(Planted::IgnoreDigest);
        let same_log = cursor.store_id == self.config.store_id && cursor.incarnation == body.reading.log.incarnation();
        let acked_fits = open.acked.is_none_or(|acked| fits(acked.seq, acked.digest));
        if same_log && digest_fits && acked_fits { Mode::Resume } else { Mode::Reconcile }
    }

    /// The client answers a reconcile with what it holds. What nobody asked for is not heard.
    pub(super) fn have(&mut self, session: SessionId, clock: &VectorClock) {
        let Some(body) = self.phase.body() else { return };
        let Some(subscriber) = self.subscribers.get_mut(&session).filter(|s| s.awaits_have) else { return };
        if let Some(reconcile) = &mut subscriber.reconcile {
            reconcile.held = held(&body.reading.log, clock);
        }
        subscriber.awaits_have = false;
        self.catch_up(session);
    }
}

/// Highest seq of each actor that a client with this clock holds just as the log does. Where the hashes differ nothing is taken as held:
/// the client gets all of that actor and sees for itself where they part.
fn held(log: &Log, clock: &VectorClock) -> BTreeMap<ActorId, u32> {
    let mut out = BTreeMap::new();
    for (actor, entry) in clock.iter() {
        let ours = log.table().seq(actor);
        let fits = entry.seq > ours || log.table().hash(actor, entry.seq).is_some_and(|h| entry.hash == h.into());
        if fits && ours > 0 {
            out.insert(actor.clone(), entry.seq.min(ours));
        }
    }
    out
}
