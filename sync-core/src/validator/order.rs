//! Document order of two elements of one text, from what each was inserted after.
//!
//! Elements inserted after the same one stand in descending order of their ids, each followed by what was inserted after it.
//! Since an element's id is above that of what it was inserted after, the way up to the common ancestor takes the higher first.

use crate::op_index::{Element, OpId};

use super::Wrong;
use super::context::Context;

/// Checks that `end` stands after `begin`.
pub(super) fn check(begin: OpId, end: OpId, context: &mut Context<'_>) -> Result<(), Wrong> {
    if is_before(begin, end, context)? { Ok(()) } else { Err(Wrong::MarkOrder) }
}

/// An element on the way up, and the element below it that the way came from.
#[derive(Clone, Copy)]
struct Way {
    at: Element,
    from: Option<OpId>,
}

fn is_before(a: OpId, b: OpId, context: &mut Context<'_>) -> Result<bool, Wrong> {
    let mut a = Way { at: Element::Id(a), from: None };
    let mut b = Way { at: Element::Id(b), from: None };
    loop {
        context.order_steps += 1;
        if context.order_steps > context.limits.order_steps_max {
            return Err(Wrong::MarkTooFar);
        }
        let (start_a, start_b) = (run_start(a.at, context)?, run_start(b.at, context)?);
        if start_a == start_b {
            return Ok(meet(a, b, context));
        }
        let (higher, start) = match (start_a, start_b) {
            (Some(start_a), Some(start_b)) if start_a.counter < start_b.counter => (&mut b, start_b),
            (Some(start_a), _) => (&mut a, start_a),
            (None, Some(start_b)) => (&mut b, start_b),
            (None, None) => return Ok(meet(a, b, context)),
        };
        let after = context.run(start).and_then(|run| run.after()).ok_or(Wrong::MarkTooFar)?;
        *higher = Way { at: after, from: Some(start) };
    }
}

/// The first element of the run that holds an element; `None` for the head.
fn run_start(element: Element, context: &Context<'_>) -> Result<Option<OpId>, Wrong> {
    match element {
        Element::Head => Ok(None),
        Element::Id(id) => {
            let run = context.run(id).ok_or(Wrong::MarkTooFar)?;
            Ok(Some(OpId { counter: run.start(), actor: id.actor }))
        }
    }
}

/// Decides where both ways have come to one run: the lower of both elements in it is the common ancestor.
fn meet(a: Way, b: Way, context: &Context<'_>) -> bool {
    let (from_a, from_b) = match (a.at, b.at) {
        (Element::Id(at_a), Element::Id(at_b)) if at_a.counter < at_b.counter => (a.from, next(at_a)),
        (Element::Id(at_a), Element::Id(at_b)) if at_a.counter > at_b.counter => (next(at_b), b.from),
        _ => (a.from, b.from),
    };
    match (from_a, from_b) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(from_a), Some(from_b)) => context.above(from_a, from_b),
    }
}

fn next(id: OpId) -> Option<OpId> {
    Some(OpId { counter: id.counter + 1, ..id })
}
