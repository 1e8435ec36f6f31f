//! The simulated server settles conflicts by rule, as the real one does once documents rest: it reads a document whole from its disk, writes what the
//! rules answer, and brings that to the room under a session of its own. A crash may come between any two of these steps.
//!
//! Owns when the server looks at a document, and the account of what it wrote, since its changes have no tokens. What must be true of them is told at
//! `settled`; which rules there are, at `rules`. Has chance of its own, and only some seeds settle, so that the others keep
//! their stories.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_core::change::Change;
use sync_core::desk::{ByRule, Desk, Written};
use sync_core::id::{BatchId, ChangeHash, DocumentHandle, DocumentName, Incarnation, LogSeq, SessionId};
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::log::Log;
use sync_core::op_index::OpIndex;
use sync_core::pack;
use sync_core::planted::Planting;
use sync_core::protocol::{Ack, Mode, Open, ServerMessage};
use sync_core::rng::Rng;
use sync_core::room::{Request, Then, ToSession};
use sync_core::scope::Access;
use sync_core::storage::Store;
use sync_core::time::Instant;
use sync_core::validator;

use crate::sim::disk::ServerDisk;
use crate::sim::rules::RuleSet;
use crate::sim::world::{Event, World};

/// Mixed into the seed, so that this chance is not the world's.
const ASIDE: u64 = 0x7365_7474_6c69_6e67;
/// How often, in 1,000, the server crashes while a round of settlements is on its way, and within how many steps.
const CRASH_PER_MILLE: u64 = 100;
const CRASH_WITHIN: u64 = 12;
/// How long the room may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// What was written and is on its way to the log.
#[derive(Debug)]
struct Writing {
    session: SessionId,
    document: DocumentName,
    incarnation: Incarnation,
    written: Written,
    until: Instant,
}

/// The server's settling in one run.
#[derive(Debug)]
pub(crate) struct Settling {
    rng: Rng,
    pub(crate) rules: RuleSet,
    /// The ends of the logs in which there is nothing to settle.
    done: BTreeMap<DocumentName, (Incarnation, LogSeq)>,
    writing: Option<Writing>,
    /// Every change that the server has written, with what it settles.
    pub(crate) written: BTreeMap<ChangeHash, Option<ByRule>>,
    /// What the room has acknowledged, and in which log.
    pub(crate) stored: Vec<(DocumentName, Incarnation, ChangeHash)>,
}

impl Settling {
    /// Every fifth run settles.
    pub(crate) fn draw(seed: u64) -> Option<Self> {
        let mut rng = Rng::from_number(seed ^ ASIDE);
        let rules = RuleSet::draw(&mut rng);
        let (done, written) = (BTreeMap::new(), BTreeMap::new());
        (seed % 5 == 2).then_some(Self { rng, rules, done, writing: None, written, stored: Vec::new() })
    }

    /// Draws beside the world's chance.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.rng.chance(per_mille)
    }

    /// Notes what was written: one change for each answer, and before the first perhaps the fixed one that makes the map of answers.
    fn note(&mut self, changes: &[Change], settled: &[ByRule]) -> Result<(), String> {
        let fixed = changes.len().checked_sub(settled.len()).filter(|fixed| *fixed <= 1);
        let fixed = fixed.ok_or_else(|| format!("{} changes for {} settlements", changes.len(), settled.len()))?;
        let of = std::iter::repeat_n(None, fixed).chain(settled.iter().cloned().map(Some));
        self.written.extend(changes.iter().map(Change::hash).zip(of));
        Ok(())
    }
}

/// A document as the disk has it, read whole.
fn desk(disk: &mut ServerDisk, name: &DocumentName, planted: Planting) -> Result<Option<Desk>, String> {
    let loaded = disk.load(name, LogSeq(0), usize::MAX).map_err(|e| e.to_string())?;
    let Some(incarnation) = loaded.record.and_then(|record| record.incarnation) else { return Ok(None) };
    let (mut log, mut ops, mut all) = (Log::new(incarnation), OpIndex::new(), Vec::new());
    for stored in &loaded.packs {
        let unpacked = pack::decode(&stored.bytes, log.table(), &PackLimits::stored()).map_err(|e| e.to_string())?;
        for change in unpacked.changes {
            validator::admit(&change, log.table(), &mut ops, &ChangeLimits::stored()).map_err(|e| e.to_string())?;
            log.append(&change).map_err(|e| e.to_string())?;
            all.push(change);
        }
    }
    let desk = Desk::new(name, disk.store_id(), all, log, ops).map_err(|e| e.to_string())?;
    Ok(Some(desk.planted(planted)))
}

impl World {
    /// The server comes to look at one document that has changed since, or at what became of what it wrote; and will come again.
    pub(crate) fn settle_some(&mut self) {
        let Some(settling) = &mut self.settling else { return };
        let next = Duration::from_millis(500 + settling.rng.below(3_000));
        self.after(next, Event::Settle);
        // Nobody reads what is not durable.
        if !self.server.up || self.server.is_writing() {
            return;
        }
        let Some(settling) = &mut self.settling else { return };
        if let Some(writing) = settling.writing.take_if(|writing| writing.until <= self.now) {
            self.count("settlement without an answer");
            return self.ask_room(writing.document, writing.session, Request::Leave);
        }
        let due = self.due();
        let Some(settling) = self.settling.as_mut().filter(|settling| settling.writing.is_none()) else { return };
        let Some(name) = due.get(settling.rng.below(due.len().max(1) as u64) as usize).cloned() else { return };
        if let Err(e) = self.settle_document(name) {
            self.fail(e);
        }
    }

    /// The server's process has ended: what it remembered is gone.
    pub(crate) fn settler_ends(&mut self) {
        let Some(settling) = &mut self.settling else { return };
        settling.done.clear();
        if settling.writing.take().is_some() {
            self.count("server crash while it settles");
        }
    }

    /// Documents at which the server has yet to look.
    fn due(&mut self) -> Vec<DocumentName> {
        let Some(settling) = &self.settling else { return Vec::new() };
        let all = self.server.disk.documents(None, usize::MAX).unwrap_or_default();
        let is_due = |(name, incarnation, head): &(DocumentName, Incarnation, LogSeq)| {
            settling.done.get(name) != Some(&(*incarnation, *head))
        };
        let all = all.into_iter().filter_map(|(name, record)| Some((name, record.incarnation?, record.head)));
        all.filter(is_due).map(|(name, ..)| name).collect()
    }

    /// Whether the server has something to look at, or to hear of.
    pub(crate) fn is_settling(&mut self) -> bool {
        self.settling.as_ref().is_some_and(|settling| settling.writing.is_some()) || !self.due().is_empty()
    }

    fn settle_document(&mut self, document: DocumentName) -> Result<(), String> {
        let (planted, wall) = (Planting::new(self.options.planted), self.time());
        let Some(mut desk) = desk(&mut self.server.disk, &document, planted)? else { return Ok(()) };
        let Some(settling) = &mut self.settling else { return Ok(()) };
        self.inputs += 1;
        let (incarnation, head) = desk.read();
        let round = desk.settle(wall, &settling.rules.policies()).map_err(|e| format!("{document}: {e}"))?;
        settling.note(desk.written(), &round.settled)?;
        if self.verbose {
            round.settled.iter().for_each(|one| eprintln!("{:>12} server settles {one:?}", self.now.0));
        }
        let written = desk.for_room().map_err(|e| e.to_string())?;
        round.left.iter().for_each(|_| self.count("rule without a place for its answer"));
        let Some(settling) = &mut self.settling else { return Ok(()) };
        let Some(written) = written else {
            settling.done.insert(document, (incarnation, head));
            return Ok(());
        };
        self.server.next_session += 1;
        let session = SessionId(self.server.next_session);
        let (pack, cursor) = (written.pack.clone(), Some(written.cursor));
        let until = self.now + ANSWERED_WITHIN;
        settling.writing = Some(Writing { session, document: document.clone(), incarnation, written, until });
        if self.chaos && settling.rng.chance(CRASH_PER_MILLE) {
            self.server.crash_after = Some(settling.rng.below(CRASH_WITHIN));
        }
        self.count("round of settlements");
        let open = Open {
            handle: DocumentHandle(1),
            document: document.as_str().into(),
            access: Access::Write,
            cursor,
            acked: None,
            clock: None,
            snapshot: None,
            packs: None,
        };
        let join = Request::Join { open: Box::new(open), access: Access::Write, accepts: 0 };
        self.ask_room(document.clone(), session, join);
        self.ask_room(document, session, Request::Push { batch: BatchId(1), pack });
        Ok(())
    }

    /// A room says something to a session that is no client's.
    pub(crate) fn settler_hears(&mut self, session: SessionId, message: &ToSession) {
        let writing = self.settling.as_mut().and_then(|settling| settling.writing.take_if(|w| w.session == session));
        // It has left.
        let Some(writing) = writing else { return };
        let Ok(messages) = ServerMessage::decode_all(&message.message) else {
            return self.fail("the room told the server's own session what does not decode".into());
        };
        let mut is_over = message.then != Then::Continue;
        for message in messages {
            match message {
                ServerMessage::Ack(ack) => {
                    self.stored(&writing, &ack);
                    is_over = true;
                }
                ServerMessage::Reject(reject) => {
                    if !reject.code.is_retryable() && !self.ledger.restored {
                        self.fail(format!("P3: the server's own settlement was refused: {}", reject.reason));
                    }
                    self.count("round of settlements refused for now");
                    is_over = true;
                }
                ServerMessage::Opened(opened) => is_over |= opened.mode == Mode::Replaced,
                _ => {}
            }
        }
        if is_over {
            self.ask_room(writing.document, session, Request::Leave);
        } else if let Some(settling) = &mut self.settling {
            settling.writing = Some(writing);
        }
    }

    /// S1: the room has acknowledged what the server wrote, so all of it is on the disk.
    fn stored(&mut self, writing: &Writing, ack: &Ack) {
        let last = LogSeq(ack.first.0 + u64::from(ack.count).saturating_sub(1));
        let at = |mirror: &crate::sim::ledger::LogMirror| mirror.log.hash_at(last);
        let held = self.ledger.logs.get(&writing.document).and_then(at);
        if held != Some(writing.written.change) {
            let name = &writing.document;
            return self.fail(format!("P1: a settlement of {name} was acknowledged, and is not on the disk"));
        }
        let Some(settling) = &mut self.settling else { return };
        settling.stored.push((writing.document.clone(), writing.incarnation, writing.written.change));
        self.count("round of settlements stored");
    }
}
