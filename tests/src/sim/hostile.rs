//! Hostile writers: well-formed changes that would break a document, pushed through a real session and room, and floods.
//!
//! A hostile writer reads nothing and soon falls silent. What it pushes must be refused, must enter no log, and must harm nobody.

use std::collections::BTreeMap;

use automerge::ExpandedChange;
use serde_json::{Value, json};
use sync_core::change::Change;
use sync_core::id::{ActorId, BatchId, ClientId, DocumentHandle, DocumentName};
use sync_core::pack;
use sync_core::protocol::{Blob, ClientMessage, Hello, Open, Push, ServerMessage, VERSION};
use sync_core::scope::Access;
use sync_core::session;

use crate::sim::ledger::{Context, LogMirror};
use crate::sim::world::World;

/// Pushes of a flood, each of [`FLOOD_BYTES`] and more.
const FLOOD_PUSHES: u32 = 40;
const FLOOD_BYTES: usize = 560;

/// What hostile connections pushed that must not be taken, by connection and batch.
pub(crate) type Refused = BTreeMap<(u64, BatchId), &'static str>;

/// How one push is meant.
struct Attack {
    kind: &'static str,
    changes: Vec<Change>,
    /// Whether the last change must be refused.
    poison: bool,
}

fn change(actor: &ActorId, seq: u32, start: u64, deps: &[String], ops: Value) -> Option<Change> {
    let json = json!({"actor": actor.to_hex_string(), "seq": seq, "startOp": start, "time": 0, "message": null,
        "deps": deps, "ops": ops});
    let expanded: ExpandedChange = serde_json::from_value(json).ok()?;
    Change::from_automerge(automerge::Change::from(expanded)).ok()
}

fn set(key: &str, pred: &[String]) -> Value {
    json!([{"action": "set", "obj": "_root", "key": key, "value": 1, "pred": pred}])
}

impl LogMirror {
    fn heads(&self) -> Vec<String> {
        self.log.table().heads().map(ToString::to_string).collect()
    }

    /// One poisoned change, on top of all that the log holds.
    fn poison(&self, number: u64, actor: &ActorId) -> Option<Attack> {
        let heads = self.heads();
        let next = self.changes.iter().map(Change::max_op).max()? + 1;
        let victim = self.changes.iter().find(|c| c.operations() > 0)?;
        let there = format!("{}@{}", victim.start_op(), victim.actor().to_hex_string());
        let nowhere = format!("{}@{}", next + 5, victim.actor().to_hex_string());
        let one = |kind, change: Option<Change>| Some(Attack { kind, changes: vec![change?], poison: true });
        let with = |ops: Value| change(actor, 1, next, &heads, ops);
        match number {
            0 => one("a predecessor at another key", with(set("elsewhere", &[there]))),
            1 => one("a predecessor that does not exist", with(set("nowhere", &[nowhere]))),
            2 => one("counters that are used", change(actor, 1, 1, &heads, set("low", &[]))),
            3 => one("a forged fixed change", change(&forged(actor), 1, next, &heads, set("forged", &[]))),
            4 => {
                let first = change(actor, 1, next, &heads, set("first", &[]))?;
                let second = change(actor, 2, next + 9, &heads, set("second", &[]))?;
                Some(Attack {
                    kind: "a change that has not seen the one before",
                    changes: vec![first, second],
                    poison: true,
                })
            }
            5 => one(
                "an object that does not exist",
                with(json!([{"action": "set", "obj": nowhere, "key": "k", "value": 1, "pred": []}])),
            ),
            6 => one("a deletion of nothing", with(json!([{"action": "del", "obj": "_root", "key": "k", "pred": []}]))),
            7 => one("a gap in the seqs", change(actor, 5, next, &heads, set("gap", &[]))),
            _ => one("a table", with(json!([{"action": "makeTable", "obj": "_root", "key": "t", "pred": []}]))),
        }
    }

    /// A change that is in order, one of many.
    fn spam(&self, actor: &ActorId, seq: u32, before: Option<&Change>) -> Option<Change> {
        let next = self.changes.iter().map(Change::max_op).max()? + u64::from(seq);
        let deps = before.map_or_else(|| self.heads(), |before| vec![before.hash().to_string()]);
        let value = "x".repeat(FLOOD_BYTES);
        let op = json!([{"action": "set", "obj": "_root", "key": format!("spam{seq}"), "value": value, "pred": []}]);
        change(actor, seq, next, &deps, op)
    }
}

/// An actor that stands for a fixed change, of which this is not the one.
fn forged(actor: &ActorId) -> ActorId {
    let mut bytes = b"init".to_vec();
    bytes.extend_from_slice(&actor.to_bytes()[..12]);
    ActorId::from(bytes)
}

impl World {
    /// A hostile writer comes, pushes and falls silent.
    pub(crate) fn attack(&mut self) {
        let names: Vec<_> =
            self.ledger.logs.iter().filter(|(_, m)| !m.changes.is_empty()).map(|(n, _)| n.clone()).collect();
        if !self.server.up || names.is_empty() {
            return;
        }
        let name = names[self.rng.below(names.len() as u64) as usize].clone();
        let actor = self.rng.actor();
        if self.rng.chance(300) {
            self.flood(&name, &actor);
            return;
        }
        let number = self.rng.below(9);
        let Some(attack) = self.ledger.logs[&name].poison(number, &actor) else { return };
        self.count("poison pushed");
        self.push_hostile(&name, vec![attack]);
    }

    fn flood(&mut self, name: &DocumentName, actor: &ActorId) {
        let mirror = &self.ledger.logs[name];
        let mut attacks: Vec<Attack> = Vec::new();
        for seq in 1..=FLOOD_PUSHES {
            let before = attacks.last().and_then(|attack| attack.changes.last());
            let Some(change) = mirror.spam(actor, seq, before) else { return };
            attacks.push(Attack { kind: "spam", changes: vec![change], poison: false });
        }
        self.count("flood");
        self.push_hostile(name, attacks);
    }

    /// Somebody who is not hostile pushes one change and falls silent.
    pub(crate) fn push_foreign(&mut self, name: &DocumentName, change: Change) {
        self.push_hostile(name, vec![Attack { kind: "foreign", changes: vec![change], poison: false }]);
    }

    fn push_hostile(&mut self, name: &DocumentName, attacks: Vec<Attack>) {
        self.next_connection += 1;
        let connection = self.next_connection;
        let handle = DocumentHandle(1);
        let hello = Hello { versions: vec![VERSION], client: ClientId(self.rng.store_id().0), token: None, accepts: 0 };
        let open = Open {
            handle,
            document: name.as_str().into(),
            access: Access::Write,
            cursor: None,
            acked: None,
            clock: None,
            snapshot: None,
            packs: None,
        };
        let mut messages = vec![ClientMessage::Hello(hello), ClientMessage::Open(open)];
        let mut known = self.ledger.logs[name].log.clone();
        for (number, attack) in (1u64..).zip(attacks) {
            let batch = BatchId(number);
            let Ok(packed) = pack::encode(&attack.changes, 0, &Context(&known)) else { return };
            for change in &attack.changes {
                // What is in order is known to the next push; of the rest nothing may ever be.
                let _ = known.append(change);
            }
            if let Some(last) = attack.changes.last().filter(|_| attack.poison) {
                self.ledger.poison.insert(last.hash(), attack.kind);
                self.hostile.insert((connection, batch), attack.kind);
            }
            messages.push(ClientMessage::Push(Push { handle, batch, pack: Blob(packed) }));
        }
        let session = self.accept(connection);
        for message in messages {
            self.session_input(session, session::Input::Frame(message.encode()));
        }
    }

    /// The server answers a hostile writer.
    pub(crate) fn answered_hostile(&mut self, connection: u64, message: &ServerMessage) {
        match message {
            ServerMessage::Ack(ack) => {
                // Of two changes the first may be in order.
                if let Some(kind) = self.hostile.get(&(connection, ack.batch)).filter(|_| ack.count > 1) {
                    self.fail(format!("P3: {kind} was acknowledged"));
                }
            }
            ServerMessage::Reject(reject) => {
                let refused = reject.batch.and_then(|batch| self.hostile.remove(&(connection, batch)));
                if refused.is_some() {
                    self.count("poison refused");
                }
            }
            _ => {}
        }
    }
}
