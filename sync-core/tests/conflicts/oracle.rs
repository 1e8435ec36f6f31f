//! What must be listed, said anew from the operations alone: no index, no runs, every past as a set.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{ChangeHash, ObjId, ScalarValue};
use sync_core::change::Change;
use sync_core::conflict::{Conflict, PathPart, Value};

struct Known<'a> {
    op: &'a Op,
    id: OpId,
    change: &'a Change,
    past: &'a BTreeSet<ChangeHash>,
}

impl Known<'_> {
    fn saw(&self, other: &Known<'_>) -> bool {
        self.past.contains(&other.change.hash()) || self.change.hash() == other.change.hash() && other.id < self.id
    }

    fn slot(&self) -> (ObjectId, Key) {
        let key = if self.op.insert {
            Key::Seq(automerge::legacy::ElementId::Id(self.id.clone()))
        } else {
            self.op.key.clone()
        };
        (self.op.obj.clone(), key)
    }

    fn is_value(&self) -> bool {
        matches!(self.op.action, OpType::Put(_) | OpType::Make(_))
    }

    fn overwrites(&self) -> bool {
        !self.op.insert && !matches!(self.op.action, OpType::Increment(_))
    }
}

/// Panics unless every operation that does not show, and that nobody overwrote who knew of it, is in some conflict.
pub(crate) fn check(changes: &[Change], conflicts: &[Conflict], texts: &BTreeSet<ObjectId>, seed: u64) {
    let mut pasts: BTreeMap<ChangeHash, BTreeSet<ChangeHash>> = BTreeMap::new();
    let expanded: Vec<_> = changes.iter().map(|change| (change, change.automerge().decode())).collect();
    for change in changes {
        let mut past: BTreeSet<ChangeHash> = change.deps().iter().copied().collect();
        for dep in change.deps() {
            past.extend(pasts[dep].iter().copied());
        }
        pasts.insert(change.hash(), past);
    }
    let mut all = Vec::new();
    for (change, decoded) in &expanded {
        for (counter, op) in (change.start_op()..).zip(&decoded.operations) {
            all.push(Known { op, id: OpId::new(counter, change.actor()), change, past: &pasts[&change.hash()] });
        }
    }
    let oracle = Oracle { all, conflicts };
    for known in &oracle.all {
        if oracle.is_seen(known, texts)
            || oracle.is_overwritten(known)
            || oracle.is_in_nothing(known)
            || oracle.is_listed(known)
        {
            continue;
        }
        panic!("seed {seed}: {:?} {:?} is in no conflict of {conflicts:#?}", known.id, known.op);
    }
}

struct Oracle<'a> {
    all: Vec<Known<'a>>,
    conflicts: &'a [Conflict],
}

impl Oracle<'_> {
    fn winner(&self, slot: &(ObjectId, Key)) -> Option<&Known<'_>> {
        let standing = self.all.iter().filter(|known| known.is_value() && known.slot() == *slot);
        let alive = standing.filter(|known| {
            !self.all.iter().any(|other| other.overwrites() && other.op.pred.iter().any(|pred| *pred == known.id))
        });
        alive.max_by(|a, b| (a.id.counter(), a.id.actor()).cmp(&(b.id.counter(), b.id.actor())))
    }

    fn maker(&self, object: &ObjectId) -> Option<&Known<'_>> {
        let ObjectId::Id(id) = object else { return None };
        self.all.iter().find(|known| known.id == *id)
    }

    /// Makers of the object that an operation works in, and of all that hold it.
    fn holders(&self, known: &Known<'_>) -> Vec<&Known<'_>> {
        let mut out = Vec::new();
        let mut object = &known.op.obj;
        while let Some(maker) = self.maker(object) {
            out.push(maker);
            object = &maker.op.obj;
        }
        out
    }

    fn is_seen(&self, known: &Known<'_>, texts: &BTreeSet<ObjectId>) -> bool {
        let reachable =
            self.holders(known).iter().all(|maker| self.winner(&maker.slot()).is_some_and(|w| w.id == maker.id));
        if !reachable {
            return false;
        }
        if texts.contains(&known.op.obj) {
            return true;
        }
        let winner = self.winner(&known.slot());
        match &known.op.action {
            OpType::Delete => winner.is_none(),
            OpType::Increment(_) => winner.is_some_and(|winner| known.op.pred.iter().any(|pred| *pred == winner.id)),
            _ => winner.is_some_and(|winner| winner.id == known.id),
        }
    }

    fn is_overwritten(&self, known: &Known<'_>) -> bool {
        let here = known.slot();
        let later = |place: &(ObjectId, Key), known: &Known<'_>| {
            self.all.iter().any(|other| other.overwrites() && other.slot() == *place && other.saw(known))
        };
        // What steps on a counter is not overwritten by what steps on it, and a maker's slot is that of its object.
        later(&here, known)
            || self.holders(known).iter().any(|maker| {
                let place = maker.slot();
                self.all.iter().any(|other| {
                    other.overwrites()
                        && other.slot() == place
                        && other.op.pred.iter().any(|p| *p == maker.id)
                        && other.saw(known)
                })
            })
    }

    /// An object that holds nothing any more says the same as another one that does not.
    fn is_in_nothing(&self, known: &Known<'_>) -> bool {
        let makers = self.holders(known).into_iter().chain([known]);
        let mut objects = makers.filter(|maker| matches!(maker.op.action, OpType::Make(_)));
        objects.any(|maker| {
            let object = ObjectId::Id(maker.id.clone());
            let inside = self.all.iter().filter(|known| known.op.obj == object && known.is_value());
            inside.map(Known::slot).all(|slot| self.winner(&slot).is_none())
        })
    }

    fn is_listed(&self, known: &Known<'_>) -> bool {
        let held: BTreeSet<(u64, Vec<u8>)> = self
            .holders(known)
            .iter()
            .map(|maker| &maker.id)
            .chain([&known.id])
            .map(|id| (id.counter(), id.actor().to_bytes().to_vec()))
            .collect();
        // Deletions by several people are one side.
        let here = |conflict: &Conflict| match (conflict.path.last(), &known.op.key) {
            (Some(PathPart::Key(key)), Key::Map(ours)) => key == ours.as_str(),
            (last, ours) => matches!((last, ours), (Some(PathPart::Index(_)), Key::Seq(_))),
        };
        let mut sides =
            self.conflicts.iter().flat_map(|conflict| conflict.candidates.iter().map(move |side| (conflict, side)));
        sides.any(|(conflict, candidate)| {
            if let Some(ObjId::Id(counter, actor, _)) = &candidate.object
                && held.contains(&(*counter, actor.to_bytes().to_vec()))
            {
                return true;
            }
            match &known.op.action {
                OpType::Put(ScalarValue::Str(token)) => {
                    candidate.value.as_ref().is_some_and(|value| holds(value, token))
                }
                OpType::Delete => candidate.value.is_none() && here(conflict),
                OpType::Put(ScalarValue::Counter(_)) | OpType::Increment(_) => {
                    matches!(candidate.value, Some(Value::Scalar(ScalarValue::Counter(_))))
                }
                _ => false,
            }
        })
    }
}

fn holds(value: &Value, token: &str) -> bool {
    match value {
        Value::Scalar(ScalarValue::Str(held)) => held == token,
        Value::Scalar(_) => false,
        Value::Map(map) => map.values().any(|value| holds(value, token)),
        Value::List(list) => list.iter().any(|value| holds(value, token)),
        Value::Text(text) => text.contains(token),
    }
}
