//! A document snapshot on its way from the server, in place of a long log: pieces, the view that is shown before the rest has come, and
//! taking it.
//!
//! Owns what is held of a snapshot that has not come to its end, across connections. Whatever is wrong with one, the log has everything: it is
//! asked for from its start.

use bytes::Bytes;

use crate::id::{Digest, LogSeq};
use crate::limits::{PIECE_BYTES, PIECES_MAX};
use crate::planted::Planted;
use crate::protocol::{SnapshotHeld, SnapshotPiece};
use crate::replica::{DocPhase, DocumentId, Event, Replica};
use crate::saved::Saved;
use crate::time::Instant;
use crate::view::View;

/// What is held of a document snapshot, and whether one is wanted.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The beginning of one, from this connection or one before.
    pub(super) arriving: Option<Arriving>,
    /// One did not fit: from now on the log as it stands.
    packs_only: bool,
}

impl Snapshot {
    /// What an opening says of it, if nothing is held of the document.
    pub(super) fn to_say(&self, empty: bool) -> (Option<SnapshotHeld>, Option<bool>) {
        (self.arriving.as_ref().filter(|_| empty).map(Arriving::held), self.packs_only.then_some(true))
    }

    /// What is to be shown before the rest has come, once it is whole, and where in the log that is.
    pub(super) fn view(&self) -> Option<(LogSeq, Bytes)> {
        let arriving = self.arriving.as_ref()?;
        let whole = arriving.pieces.get(..arriving.views as usize)?.concat();
        View::decode(&whole).ok().map(|_| (arriving.seq, whole.into()))
    }
}

/// The beginning of a snapshot.
#[derive(Debug)]
pub(super) struct Arriving {
    seq: LogSeq,
    digest: Digest,
    total: u32,
    views: u32,
    pieces: Vec<Bytes>,
}

impl Arriving {
    fn held(&self) -> SnapshotHeld {
        SnapshotHeld { seq: self.seq, digest: self.digest, pieces: self.pieces.len() as u32 }
    }

    fn begin(piece: &SnapshotPiece) -> Option<Self> {
        let SnapshotPiece { seq, digest, index, total, views, .. } = *piece;
        let makes_sense = index == 0 && views < total && total <= PIECES_MAX;
        makes_sense.then_some(Self { seq, digest, total, views, pieces: Vec::new() })
    }

    /// Adds the next piece. False if it is another one.
    fn add(&mut self, piece: SnapshotPiece) -> bool {
        let same =
            (piece.seq, piece.digest, piece.total, piece.views) == (self.seq, self.digest, self.total, self.views);
        let next = piece.index as usize == self.pieces.len() && piece.index < self.total;
        if !same || !next || piece.bytes.0.len() > PIECE_BYTES {
            return false;
        }
        self.pieces.push(piece.bytes.0);
        true
    }

    fn saved(&self) -> Vec<u8> {
        self.pieces[self.views as usize..].concat()
    }
}

impl Replica {
    /// What the server shows of a document of which not all has come, and where in the log that is.
    pub(super) fn view(&self, id: DocumentId) -> Option<(LogSeq, Bytes)> {
        self.documents.get(&id)?.conversation.snapshot.view()
    }

    pub(super) fn show(&mut self, id: DocumentId, view: Option<(LogSeq, Bytes)>) {
        let Some((seq, view)) = view else { return };
        self.event(Event::View { document: id, view, seq });
    }

    /// A piece has come. The view is shown as soon as it is whole, the document is taken with the last.
    pub(super) fn piece(&mut self, now: Instant, piece: SnapshotPiece) {
        let Some(id) = self.by_room(piece.room) else { return };
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let DocPhase::Ready(local) = &doc.phase else { return };
        if local.cursor.is_none_or(|cursor| cursor.seq.0 > 0) {
            return;
        }
        let arriving = &mut doc.conversation.snapshot.arriving;
        if piece.index == 0 {
            *arriving = Arriving::begin(&piece);
        }
        let added = arriving.as_mut().filter(|arriving| arriving.pieces.len() < arriving.total as usize);
        let Some(arriving) = added.and_then(|arriving| arriving.add(piece).then_some(arriving)) else {
            return self.ask_for_packs(now, id);
        };
        let (done, total, views) = (arriving.pieces.len() as u32, arriving.total, arriving.views);
        let view = (done == views).then(|| doc.conversation.snapshot.view()).flatten();
        let whole = (done == total).then(|| doc.conversation.snapshot.arriving.take()).flatten();
        if view.is_some() {
            self.tell_standing(None, id, view.clone());
        }
        self.show(id, view);
        self.event(Event::Progress { document: id, done, total });
        if let Some(whole) = whole {
            self.take_snapshot(now, id, &whole);
        }
    }

    fn take_snapshot(&mut self, now: Instant, id: DocumentId, whole: &Arriving) {
        let (shared, fresh) = (self.config.tab.is_some(), self.rng.actor());
        let planted = self.config.planted.has(Planted::SnapshotCursorTooFar);
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let DocPhase::Ready(local) = &mut doc.phase else { return };
        let saved = Saved::decode(&whole.saved()).ok();
        let saved = saved.filter(|saved| (saved.seq, saved.digest) == (whole.seq, whole.digest));
        let taken = saved.and_then(|saved| local.take_saved(&saved, &fresh, shared).ok());
        let Some(mut delta) = taken else { return self.ask_for_packs(now, id) };
        if let (true, Some((head, digest)), Some(cursor)) = (planted, doc.conversation.head, &mut local.cursor) {
            (cursor.seq, cursor.digest) = (head, digest);
            delta.writes.pop();
            delta.writes.push(local.row_write());
        }
        self.save(now, id, delta, false);
        self.check_head(now, id);
        self.note_synced(now, id);
        self.flush(now, id);
    }

    /// The snapshot is none, or does not go together with what is held here: opens again, for the log as it stands.
    fn ask_for_packs(&mut self, now: Instant, id: DocumentId) {
        self.leave(id);
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.conversation.snapshot = Snapshot { arriving: None, packs_only: true };
        }
        self.join(now, id);
    }
}
