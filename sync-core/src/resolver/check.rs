//! Whether a resolver is one: a property test for rules of an application's own, and for the built-in ones.
//!
//! Owns what is demanded of a rule: the order of the sides, sides given twice and batches that overlap don't matter, and what it answers it
//! leaves alone. Owns no rule.

use super::builtin::same_answer;
use super::{NoAnswer, Question, Resolver, Side};
use crate::conflict::{ConflictKind, PathPart, Steps, Value};
use crate::id::ChangeHash;
use crate::rng::Rng;

/// Most sides of a question that is made up.
const SIDES_MAX: u64 = 5;

/// What a resolver does that it must not, with the question that shows it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// It answers otherwise when the sides come in another order.
    #[error("the order of the sides matters: {0:?}")]
    Order(Box<Question>),
    /// It answers otherwise when a side is given twice.
    #[error("a side that is given twice matters: {0:?}")]
    Twice(Box<Question>),
    /// It answers otherwise when the sides come in batches that overlap.
    #[error("how the sides are grouped matters: {0:?}")]
    Groups(Box<Question>),
    /// Asked about what it answered, it answers something else.
    #[error("it does not keep to its own answer: {0:?}")]
    Answer(Box<Question>),
    /// It had no answer to any question: the values don't suit it, and nothing was shown.
    #[error("it answered nothing")]
    Silent,
}

/// Asks a resolver `rounds` questions made up from `seed`, with values of `value`'s. The same seed asks the same.
///
/// # Errors
/// What it does that it must not.
pub fn check_resolver(
    resolver: &dyn Resolver,
    seed: u64,
    rounds: u32,
    mut value: impl FnMut(&mut Rng) -> Option<Value>,
) -> Result<(), Broken> {
    let mut rng = Rng::from_number(seed);
    let mut answered = false;
    for _ in 0..rounds {
        let question = make_up(&mut rng, &mut value);
        answered |= check(resolver, &question, &mut rng)?;
    }
    if answered { Ok(()) } else { Err(Broken::Silent) }
}

fn make_up(rng: &mut Rng, value: &mut impl FnMut(&mut Rng) -> Option<Value>) -> Question {
    let sides = 1 + rng.below(SIDES_MAX);
    let mut side = |rng: &mut Rng| Side {
        value: value(rng),
        actor: rng.actor(),
        author: rng.chance(800).then(|| format!("author {}", rng.below(3))),
        // Few times, so that some are the same.
        time: 1_000 + rng.below(3) as i64,
        change: ChangeHash(rng.bytes()),
    };
    let sides = (0..sides).map(|_| side(rng)).collect();
    let path = vec![PathPart::Key("key".into())];
    let steps = match rng.below(3) {
        0 => Steps::FromBase,
        1 => Steps::TooMany,
        _ => Steps::Shared((0..rng.below(6)).filter_map(|_| Some((value(rng)?, rng.below(5) as i64 - 2))).collect()),
    };
    Question { path, kind: ConflictKind::Register, base: value(rng), sides, steps }
}

/// Whether the resolver answered.
fn check(resolver: &dyn Resolver, question: &Question, rng: &mut Rng) -> Result<bool, Broken> {
    let answer = resolver.resolve(question);
    let same = |sides: Vec<Side>| same_answer(&answer, &resolver.resolve(&Question { sides, ..question.clone() }));
    let broken = |broken: fn(Box<Question>) -> Broken| Err(broken(Box::new(question.clone())));
    let sides = &question.sides;
    let turned = |by: usize| [&sides[by..], &sides[..by]].concat();
    let backwards: Vec<Side> = sides.iter().rev().cloned().collect();
    if !(0..sides.len()).all(|by| same(turned(by))) || !same(backwards) || !same(shuffled(sides, rng)) {
        return broken(Broken::Order);
    }
    if !(0..sides.len()).all(|at| same([&sides[..=at], &sides[at..]].concat())) {
        return broken(Broken::Twice);
    }
    if !(0..=sides.len()).all(|at| same([&sides[at..], &sides[..], &sides[..at]].concat())) {
        return broken(Broken::Groups);
    }
    if let Ok(value) = &answer
        && !keeps(resolver, question, value)
    {
        return broken(Broken::Answer);
    }
    Ok(answer.is_ok())
}

fn shuffled(sides: &[Side], rng: &mut Rng) -> Vec<Side> {
    let mut left = sides.to_vec();
    let mut shuffled = Vec::new();
    while !left.is_empty() {
        shuffled.push(left.swap_remove(rng.below(left.len() as u64) as usize));
    }
    shuffled
}

/// Whether the answer, written by any one of those who wrote a side, is answered by itself or left to people, and by itself for one of them.
fn keeps(resolver: &dyn Resolver, question: &Question, answer: &Option<Value>) -> bool {
    let again = |side: &Side| {
        let side = Side { value: answer.clone(), ..side.clone() };
        resolver.resolve(&Question { sides: vec![side], ..question.clone() })
    };
    let given: Result<_, NoAnswer> = Ok(answer.clone());
    let all: Vec<_> = question.sides.iter().map(again).collect();
    all.iter().all(|again| again.is_err() || same_answer(again, &given)) && all.iter().any(Result::is_ok)
}
