//! The rules about each operation: what it names exists in the change's past, and fits what it does there.

use automerge::legacy::{ElementId, Key, Op, OpType};
use automerge::{ObjType, ScalarValue};

use crate::limits::SAFE_INTEGER_MAX;
use crate::op_index::{Element, Kind, Object, ObjectKind, OpId, Operation, ROOT, Slot};

use crate::planted::Planted;

use super::context::Context;
use super::{OpName, Refusal, Wrong, order};

/// Checks the operations one after another, each able to refer to those before it.
pub(super) fn check_all(operations: &[Op], context: &mut Context<'_>) -> Result<(), Refusal> {
    let mut begun: Option<(OpId, u32)> = None;
    for (index, op) in (0u32..).zip(operations) {
        let refused = |wrong| Refusal::Operation { index, wrong };
        let id = context.here();
        let (operation, makes) = check(op, context).map_err(refused)?;
        context.push(operation, makes);
        begun = match (&op.action, begun) {
            (OpType::MarkBegin(_), None) => Some((id, operation.object)),
            (OpType::MarkEnd(_), Some((begin, object))) if object == operation.object => {
                order::check(begin, id, context).map_err(refused)?;
                None
            }
            (OpType::MarkEnd(_), _) | (_, Some(_)) => return Err(refused(Wrong::MarkUnpaired)),
            (_, None) => None,
        };
    }
    match begun {
        Some(_) => Err(Refusal::Operation { index: operations.len() as u32 - 1, wrong: Wrong::MarkUnpaired }),
        None => Ok(()),
    }
}

fn check(op: &Op, context: &mut Context<'_>) -> Result<(Operation, Option<Object>), Wrong> {
    let (number, object) = context.object(&op.obj)?;
    let kind = kind(&op.action)?;
    if op.insert && matches!(kind, Kind::Delete | Kind::Increment) {
        return Err(Wrong::InsertsNothing);
    }
    if kind == Kind::Increment && object.kind == ObjectKind::Text {
        return Err(Wrong::IncrementInText);
    }
    if kind == Kind::Mark {
        if object.kind != ObjectKind::Text {
            return Err(Wrong::MarkOutsideText);
        }
        if !op.insert {
            return Err(Wrong::MarkNotInserted);
        }
    }
    let slot = slot(op, number, object, context)?;
    predecessors(op, number, slot, kind, context)?;
    let makes = makes(&op.action, object, context.limits.depth_max)?;
    // Nothing may refer to a delete or an increment: only that it is one is kept, so that they make long runs, and of deletes in texts which.
    let is_named = kind == Kind::Delete && object.kind == ObjectKind::Text;
    let nowhere = Operation { object: if is_named { number } else { ROOT }, kind, slot: Slot::Nowhere };
    let kept = Operation { object: number, kind, slot };
    Ok((if matches!(kind, Kind::Delete | Kind::Increment) { nowhere } else { kept }, makes))
}

fn kind(action: &OpType) -> Result<Kind, Wrong> {
    let counted = |value: i64, kind| {
        if value.unsigned_abs() > SAFE_INTEGER_MAX { Err(Wrong::CounterRange(value)) } else { Ok(kind) }
    };
    match action {
        OpType::Make(_) => Ok(Kind::Make),
        OpType::Delete => Ok(Kind::Delete),
        OpType::Increment(by) => counted(*by, Kind::Increment),
        OpType::Put(ScalarValue::Counter(counter)) => counted(i64::from(counter), Kind::Counter),
        OpType::Put(_) => Ok(Kind::Value),
        OpType::MarkBegin(_) | OpType::MarkEnd(_) => Ok(Kind::Mark),
    }
}

fn makes(action: &OpType, parent: Object, depth_max: u32) -> Result<Option<Object>, Wrong> {
    let OpType::Make(made) = action else { return Ok(None) };
    let depth = parent.depth + 1;
    if depth > depth_max {
        return Err(Wrong::TooDeep { depth, max: depth_max });
    }
    let kind = match made {
        ObjType::Map => ObjectKind::Map,
        // automerge 0.12 panics when it applies an operation within one.
        ObjType::Table => return Err(Wrong::MakesTable),
        ObjType::List => ObjectKind::List,
        ObjType::Text => ObjectKind::Text,
    };
    Ok(Some(Object { kind, depth }))
}

/// Where in its object the operation stands: at a key of a map, at or after an element of a sequence.
fn slot(op: &Op, number: u32, object: Object, context: &mut Context<'_>) -> Result<Slot, Wrong> {
    match (&op.key, object.kind) {
        (Key::Map(_), ObjectKind::Map) if op.insert => Err(Wrong::InsertInMap),
        (Key::Map(key), ObjectKind::Map) => Ok(Slot::Key(context.key(key))),
        (Key::Map(_), _) => Err(Wrong::KeyInSequence),
        (Key::Seq(_), ObjectKind::Map) => Err(Wrong::ElementInMap),
        (Key::Seq(ElementId::Head), _) if op.insert => Ok(Slot::After(Element::Head)),
        (Key::Seq(ElementId::Head), _) => Err(Wrong::UpdatesHead),
        (Key::Seq(ElementId::Id(name)), _) => {
            let id = context.resolve(name)?;
            let element = context.operation(id).filter(|held| held.object == number);
            match element {
                Some(Operation { slot: Slot::After(_), kind, .. }) => match (op.insert, kind) {
                    (true, _) => Ok(Slot::After(Element::Id(id))),
                    (false, Kind::Mark) => Err(Wrong::UpdatesMark(OpName::from(name))),
                    (false, _) => Ok(Slot::At(id)),
                },
                _ => Err(Wrong::NoElement(OpName::from(name))),
            }
        }
    }
}

fn predecessors(op: &Op, object: u32, slot: Slot, kind: Kind, context: &Context<'_>) -> Result<(), Wrong> {
    if op.insert {
        return if op.pred.is_empty() { Ok(()) } else { Err(Wrong::InsertWithPredecessor) };
    }
    let needed = matches!(slot, Slot::At(_)) || matches!(kind, Kind::Delete | Kind::Increment);
    if op.pred.is_empty() {
        return if needed { Err(Wrong::NoPredecessor) } else { Ok(()) };
    }
    if context.limits.planted.has(Planted::AcceptAnyPredecessor) {
        return Ok(());
    }
    let mut before: Option<OpId> = None;
    let mut counter = false;
    for name in op.pred.iter() {
        let id = context.resolve(name)?;
        if before.is_some_and(|before| !context.above(id, before)) {
            return Err(Wrong::PredecessorOrder(OpName::from(name)));
        }
        before = Some(id);
        let held = context.operation(id).ok_or_else(|| Wrong::NotPast(OpName::from(name)))?;
        if !matches!(held.kind, Kind::Value | Kind::Counter | Kind::Make) {
            return Err(Wrong::PredecessorNoValue(OpName::from(name)));
        }
        let at_element = matches!(held.slot, Slot::After(_)) && slot == Slot::At(id);
        if held.object != object || (held.slot != slot && !at_element) {
            return Err(Wrong::PredecessorElsewhere(OpName::from(name)));
        }
        counter |= held.kind == Kind::Counter;
    }
    if kind == Kind::Increment && !counter { Err(Wrong::NoCounter) } else { Ok(()) }
}
