//! The outside ledger: what was promised to whom, written down from what the machines say and checked against what disks hold.
//!
//! Owns its own copy of the server's log, rebuilt from the packs on the server's disk, and the fate of every token. A token is a unique
//! word that an edit writes, so that its content can be followed through re-issue. Shares no code with the machines but the pack format.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Automerge, Value};
use sync_core::change::Change;
use sync_core::id::{ActorId, ChangeHash, Cursor, Digest, DocumentName, Incarnation, LogSeq};
use sync_core::limits::PackLimits;
use sync_core::log::Log;
use sync_core::pack::{self, PackContext};
use sync_core::storage::Store;

use crate::sim::disk::ServerDisk;

/// A word that one edit writes.
pub(crate) type Token = u64;

/// The key that a token is written under.
pub(crate) fn token_key(token: Token) -> String {
    format!("t{token}")
}

/// The tokens that a document shows.
pub(crate) fn tokens_in(document: &Automerge) -> BTreeSet<Token> {
    use automerge::ReadDoc;
    document.keys(automerge::ROOT).filter_map(|key| key.strip_prefix('t')?.parse().ok()).collect()
}

/// The tokens that a change writes.
pub(crate) fn tokens_of(change: &automerge::Change) -> Vec<Token> {
    let operations = change.decode().operations;
    operations
        .iter()
        .filter_map(|op| match &op.key {
            automerge::legacy::Key::Map(key) => key.strip_prefix('t')?.parse().ok(),
            automerge::legacy::Key::Seq(_) => None,
        })
        .collect()
}

/// The server's log of a document as its disk holds it.
#[derive(Debug)]
pub(crate) struct LogMirror {
    /// Places and digests.
    pub(crate) log: Log,
    /// The changes.
    pub(crate) changes: Vec<Change>,
    /// The tokens of each of them.
    pub(crate) tokens_at: Vec<Vec<Token>>,
    /// The tokens in it.
    pub(crate) tokens: BTreeSet<Token>,
}

/// Packs against a log.
pub(crate) struct Context<'a>(pub(crate) &'a Log);

impl PackContext for Context<'_> {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.0.table().actor(number)
    }
    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.0.table().number(actor)
    }
    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.0.table().hash(actor, seq)
    }
    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)> {
        let place = self.0.table().place(hash)?;
        Some((self.0.table().actor(place.actor)?.clone(), place.seq))
    }
}

/// Where a token stands.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// Its document.
    pub(crate) document: DocumentName,
    /// Which client wrote it.
    pub(crate) client: usize,
    /// The replica said that it is saved.
    pub(crate) saved: bool,
    /// The replica said that it is acknowledged.
    pub(crate) acknowledged: bool,
    /// Lost in a way that the promises leave out, or thrown away by the application.
    pub(crate) excused: bool,
}

/// What was promised.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Every token ever written.
    pub(crate) fates: BTreeMap<Token, Fate>,
    /// The tokens of each change seen.
    pub(crate) contents: BTreeMap<ChangeHash, Vec<Token>>,
    /// What each change seen stands on.
    pub(crate) deps: BTreeMap<ChangeHash, Vec<ChangeHash>>,
    /// Tokens that were in a log on the server's disk at some time.
    pub(crate) ever_logged: BTreeSet<Token>,
    /// The server's logs.
    pub(crate) logs: BTreeMap<DocumentName, LogMirror>,
    /// What deleted logs held, by document, and which log it was.
    pub(crate) dead: BTreeMap<DocumentName, BTreeMap<Token, Incarnation>>,
    /// The server's store went back at some time.
    pub(crate) restored: bool,
    /// Who has written each change by its document, actor and seq: client and process.
    pub(crate) numbers: BTreeMap<(DocumentName, ActorId, u32), (usize, u64, ChangeHash)>,
    /// Changes that a client kept as rejected since they do not fit what it held, with their documents and the reason.
    pub(crate) blocked: BTreeMap<ChangeHash, (DocumentName, String)>,
    /// Changes that no log may hold, and why.
    pub(crate) poison: BTreeMap<ChangeHash, &'static str>,
}

impl Ledger {
    /// A client has made an edit.
    pub(crate) fn write(&mut self, token: Token, document: DocumentName, client: usize) {
        let fate = Fate { document, client, saved: false, acknowledged: false, excused: false };
        self.fates.insert(token, fate);
    }

    /// Reads what the server's disk holds beyond what was read before. Every change must follow its deps and its actor's last one (P4),
    /// and every digest must be the chain over the hashes.
    pub(crate) fn read_disk(&mut self, disk: &mut ServerDisk) -> Result<(), String> {
        let documents = disk.documents(None, usize::MAX).map_err(|e| e.to_string())?;
        for (name, record) in documents {
            let incarnation = record.incarnation.ok_or("a listed document without an incarnation")?;
            let mirror = self.logs.entry(name.clone()).or_insert_with(|| LogMirror {
                log: Log::new(incarnation),
                changes: Vec::new(),
                tokens_at: Vec::new(),
                tokens: BTreeSet::new(),
            });
            if mirror.log.incarnation() != incarnation {
                return Err(format!("P1: {name} changed its incarnation"));
            }
            if record.head <= mirror.log.head() {
                continue;
            }
            let packs = disk.load(&name, mirror.log.head(), usize::MAX).map_err(|e| e.to_string())?.packs;
            for stored in packs {
                let before = mirror.changes.len();
                let fresh = mirror.take(stored.first, &stored.bytes);
                let fresh = fresh.map_err(|e| format!("{e}, in {name} at {}", stored.first))?;
                if let Some(kind) = mirror.changes[before..].iter().find_map(|c| self.poison.get(&c.hash())) {
                    return Err(format!("P3: {kind} was taken into {name}, and breaks every replica"));
                }
                if let Some(token) =
                    fresh.iter().find(|t| self.dead.get(&name).is_some_and(|dead| dead.contains_key(t)))
                {
                    return Err(format!("P2: {name} was deleted, and edit {token} came back from an old copy"));
                }
                self.ever_logged.extend(fresh);
                if mirror.log.digest() != stored.digest {
                    return Err(format!("P1: the digest of {name} at {} is not the chain's", mirror.log.head()));
                }
            }
        }
        Ok(())
    }

    /// Forgets the logs and reads them anew: after a restore, where the log may be shorter.
    pub(crate) fn read_restored(&mut self, disk: &mut ServerDisk) -> Result<(), String> {
        self.logs.clear();
        self.dead.clear();
        self.restored = true;
        self.read_disk(disk)
    }

    /// After a restart of a store that was not restored: all that was read before must still be there (P1).
    pub(crate) fn survived(&mut self, disk: &mut ServerDisk) -> Result<(), String> {
        for (name, mirror) in &self.logs {
            let loaded = disk.load(name, LogSeq(0), usize::MAX).map_err(|e| e.to_string())?;
            let head = loaded.record.map_or(LogSeq(0), |r| r.head);
            if head < mirror.log.head() {
                return Err(format!("P1: {name} ended at {} before the crash and at {head} after", mirror.log.head()));
            }
        }
        self.read_disk(disk)
    }

    /// An acknowledgement or a delivery of changes up to `last` leaves the server: the disk must hold that (P1).
    pub(crate) fn shown(
        &self,
        name: &DocumentName,
        last: LogSeq,
        digest: Option<Digest>,
        what: &str,
    ) -> Result<(), String> {
        let at = self.logs.get(name).and_then(|m| m.log.digest_at(last));
        match (at, digest) {
            (None, _) if last.0 > 0 => Err(format!("P1: {what} of {name} up to {last}, which is not on the disk")),
            (Some(held), Some(said)) if held != said => {
                Err(format!("P1: {what} of {name} at {last}, digest {said}, the disk's is {held}"))
            }
            _ => Ok(()),
        }
    }

    /// A client says that it holds all up to a cursor: it must show that (P4). Cursors of other logs say nothing here.
    pub(crate) fn holds(&self, name: &str, cursor: &Cursor, shown: &BTreeSet<Token>) -> Result<(), String> {
        let mirror = self.logs.iter().find(|(n, _)| n.as_str() == name).map(|(_, m)| m);
        let Some(mirror) = mirror.filter(|m| m.log.digest_at(cursor.seq) == Some(cursor.digest)) else { return Ok(()) };
        let claimed = mirror.tokens_at.iter().take(cursor.seq.0 as usize).flatten();
        match claimed.into_iter().find(|token| !shown.contains(token)) {
            Some(token) => {
                Err(format!("P4: the cursor {} of {name} covers edit {token}, which is not shown", cursor.seq))
            }
            None => Ok(()),
        }
    }

    /// Whether the server's log of its document holds a token.
    pub(crate) fn in_log(&self, token: Token) -> bool {
        let fate = &self.fates[&token];
        self.logs.get(&fate.document).is_some_and(|m| m.tokens.contains(&token))
    }
}

impl LogMirror {
    fn take(&mut self, first: LogSeq, bytes: &[u8]) -> Result<Vec<Token>, String> {
        let mut fresh = Vec::new();
        if first != self.log.head().plus(1) {
            return Err(format!("P1: a pack begins at {first} where the log ends at {}", self.log.head()));
        }
        let unpacked = pack::decode(bytes, &Context(&self.log), &PackLimits::stored());
        for change in unpacked.map_err(|e| format!("P4: a stored pack does not unpack: {e}"))?.changes {
            self.log.append(&change).map_err(|e| format!("P4: the log holds a change out of order: {e}"))?;
            let tokens = tokens_of(change.automerge());
            fresh.extend(tokens.iter().copied());
            self.tokens_at.push(tokens);
            self.changes.push(change);
        }
        self.tokens.extend(fresh.iter().copied());
        Ok(fresh)
    }

    /// The document that the log describes.
    pub(crate) fn materialise(&self) -> Result<Automerge, String> {
        let mut document = Automerge::new();
        let changes = self.changes.iter().map(|c| c.automerge().clone());
        document.apply_changes(changes).map_err(|e| format!("P3: the log does not apply: {e}"))?;
        Ok(document)
    }
}

/// A document's value as text, for comparison: every visible value with its id, every conflict, every mark.
pub(crate) fn value_of(document: &Automerge) -> String {
    let mut out = String::new();
    write_object(document, &automerge::ROOT, &mut out);
    out
}

fn write_object(document: &Automerge, object: &automerge::ObjId, out: &mut String) {
    use automerge::{ObjType, Prop, ReadDoc};
    let props: Vec<Prop> = match document.object_type(object) {
        Ok(ObjType::Text) => {
            let (text, marks) = (document.text(object), document.marks(object));
            return out.push_str(&format!("{text:?} {marks:?}\n"));
        }
        Ok(ObjType::List) => (0..document.length(object)).map(Prop::Seq).collect(),
        _ => document.keys(object).map(Prop::Map).collect(),
    };
    for prop in props {
        for (value, id) in document.get_all(object, prop.clone()).unwrap_or_default() {
            out.push_str(&format!("{prop:?} {id}: "));
            match value {
                Value::Object(_) => write_object(document, &id, out),
                Value::Scalar(scalar) => out.push_str(&format!("{scalar:?}\n")),
            }
        }
    }
}
