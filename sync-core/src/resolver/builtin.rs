//! What the built-in rules answer.
//!
//! Owns the answers alone, in step with `packages/client/src/conflicts/builtin.ts`. What JavaScript sees alike is alike here: a whole number
//! however it is kept, and a text beside a string.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;

use super::merge::merge3;
use super::{NoAnswer, Question, Resolver, Rule, Show, Side};
use crate::conflict::{Steps, Value};

/// Whole numbers beyond this are no numbers in JavaScript, and sums beyond are not exact.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// A built-in rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuiltIn {
    /// The value that was written last, by the times in the changes: authors' clocks, corrected by the server's where they are far off.
    Latest,
    /// The value that was written first, by the same times.
    First,
    /// The greatest number or string.
    Max,
    /// The least number or string.
    Min,
    /// Everything that is in any of the lists or maps, once.
    Union,
    /// All texts, one behind the other, with this between each two.
    Concat(String),
    /// What was there before, and everybody's steps from it, each once: of 10, written as 7 here and 12 there, 9.
    SumDeltas,
    /// The value that stands furthest back in this order.
    Order(Vec<String>),
    /// The text that has everybody's edits, if they don't overlap.
    Text3way,
    /// A map of all keys; one in which several differ is left to people.
    MergeMaps,
    /// What this author wrote, as changes name their authors; of several the last.
    Prefer(String),
    /// What anybody of a role wrote; of several the last. Who has the role is said here, and so part of what a document declares: a change
    /// names its author, and no token goes with it.
    PreferRole {
        /// What the role is called.
        role: String,
        /// Who has it, as changes name their authors.
        authors: Vec<String>,
    },
    /// What was there before, whoever wrote anything.
    Reject,
}

impl BuiltIn {
    /// [`BuiltIn::Order`] of these values.
    pub fn order<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        Self::Order(values.into_iter().map(Into::into).collect())
    }

    /// [`BuiltIn::PreferRole`] of these authors.
    pub fn prefer_role<S: Into<String>>(role: impl Into<String>, authors: impl IntoIterator<Item = S>) -> Self {
        Self::PreferRole { role: role.into(), authors: authors.into_iter().map(Into::into).collect() }
    }
}

impl Rule {
    /// Left to people; meanwhile what automerge picked shows.
    pub fn people() -> Self {
        Self::human(Show::Winner)
    }
}

type Answer = Result<Option<Value>, NoAnswer>;

impl Resolver for BuiltIn {
    fn name(&self) -> &str {
        match self {
            Self::Latest => "latest",
            Self::First => "first",
            Self::Max => "max",
            Self::Min => "min",
            Self::Union => "union",
            Self::Concat(_) => "concat",
            Self::SumDeltas => "sumDeltas",
            Self::Order(_) => "order",
            Self::Text3way => "text3way",
            Self::MergeMaps => "mergeMaps",
            Self::Prefer(_) | Self::PreferRole { .. } => "prefer",
            Self::Reject => "reject",
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Concat(separator) => vec![separator.clone()],
            Self::Order(values) => values.clone(),
            Self::Prefer(author) => vec![author.clone()],
            Self::PreferRole { role, authors } => [&["role".into(), role.clone()], &authors[..]].concat(),
            _ => Vec::new(),
        }
    }

    fn resolve(&self, question: &Question) -> Answer {
        let sides = &question.set()[..];
        let (first, last) = sides.first().zip(sides.last()).ok_or(NoAnswer::NoSides)?;
        match self {
            Self::Latest => Ok(last.value.clone()),
            Self::First => Ok(first.value.clone()),
            Self::Max => extreme(sides, Ordering::Greater),
            Self::Min => extreme(sides, Ordering::Less),
            Self::Union => union(sides),
            Self::Concat(separator) => concat(sides, separator),
            Self::SumDeltas => sum_deltas(sides, question),
            Self::Order(values) => furthest(sides, values),
            Self::Text3way => text3way(sides, question.base.as_ref()),
            Self::MergeMaps => merge_maps(sides, question.base.as_ref()),
            Self::Prefer(author) => last_by(sides, std::slice::from_ref(author)).ok_or(NoAnswer::NotByThem),
            Self::PreferRole { role, authors } => {
                last_by(sides, authors).ok_or_else(|| NoAnswer::NotInRole(role.clone()))
            }
            Self::Reject => Ok(question.base.clone()),
        }
    }
}

/// What any of these authors said last.
fn last_by(sides: &[&Side], authors: &[String]) -> Option<Option<Value>> {
    let theirs = sides.iter().rfind(|side| side.author.as_ref().is_some_and(|author| authors.contains(author)));
    theirs.map(|side| side.value.clone())
}

/// A number as JavaScript holds it.
fn number(value: Option<&Value>) -> Result<f64, NoAnswer> {
    let exact = |whole: i64| (-EXACT_MAX..=EXACT_MAX).contains(&whole).then_some(whole as f64);
    let number = match value {
        Some(Value::Scalar(ScalarValue::Int(whole))) => exact(*whole),
        Some(Value::Scalar(ScalarValue::Uint(whole))) => i64::try_from(*whole).ok().and_then(exact),
        Some(Value::Scalar(ScalarValue::Counter(counter))) => exact(i64::from(counter)),
        Some(Value::Scalar(ScalarValue::F64(number))) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    };
    number.ok_or(NoAnswer::NotANumber)
}

fn text(value: Option<&Value>) -> Result<&str, NoAnswer> {
    match value {
        Some(Value::Scalar(ScalarValue::Str(text))) => Ok(text),
        Some(Value::Text(text)) => Ok(text),
        _ => Err(NoAnswer::NotAText),
    }
}

/// A text where a side is one, else a string.
fn written(text: String, sides: &[&Side]) -> Answer {
    let is_text = sides.iter().any(|side| matches!(side.value, Some(Value::Text(_))));
    Ok(Some(if is_text { Value::Text(text) } else { Value::Scalar(text.into()) }))
}

fn extreme(sides: &[&Side], beyond: Ordering) -> Answer {
    let values = || sides.iter().map(|side| side.value.as_ref());
    let compare = |a: Option<&Value>, b: Option<&Value>| match (text(a), text(b)) {
        // In the order of UTF-16, which is JavaScript's.
        (Ok(a), Ok(b)) => Ok(a.encode_utf16().cmp(b.encode_utf16())),
        _ => Ok(number(a)?.partial_cmp(&number(b)?).expect("both are finite")),
    };
    if values().any(|value| text(value).is_err()) {
        values().try_for_each(|value| number(value).map(|_| ()))?;
    }
    let mut best = None;
    for value in values() {
        if best.is_none() || compare(value, best)? == beyond {
            best = value;
        }
    }
    Ok(best.cloned())
}

fn concat(sides: &[&Side], separator: &str) -> Answer {
    let mut texts: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for side in sides {
        let text = text(side.value.as_ref())?;
        if seen.insert(text) {
            texts.push(text);
        }
    }
    written(texts.join(separator), sides)
}

fn sum_deltas(sides: &[&Side], question: &Question) -> Answer {
    let base = question.base.as_ref();
    let before = base.map_or(Ok(0.0), |base| number(Some(base)))?;
    let numbers = sides.iter().map(|side| number(side.value.as_ref())).collect::<Result<Vec<_>, _>>()?;
    if let [side] = sides {
        return Ok(side.value.clone());
    }
    let is_float = |value: Option<&Value>| matches!(value, Some(Value::Scalar(ScalarValue::F64(_))));
    let mut float = is_float(base) || sides.iter().any(|side| is_float(side.value.as_ref()));
    let add = |sum: f64, more: f64| {
        let sum = sum + more;
        if sum.abs() > EXACT_MAX as f64 { Err(NoAnswer::TooLarge) } else { Ok(sum) }
    };
    let sum = match &question.steps {
        Steps::FromBase => numbers.iter().try_fold(before, |sum, side| add(sum, side - before)),
        Steps::Shared(counted) => counted.iter().try_fold(0.0, |sum, (value, times)| {
            float |= is_float(Some(value));
            add(sum, number(Some(value))? * *times as f64)
        }),
        Steps::TooMany => Err(NoAnswer::TooManySteps),
    }?;
    Ok(Some(Value::Scalar(if float { ScalarValue::F64(sum) } else { ScalarValue::Int(sum as i64) })))
}

fn furthest(sides: &[&Side], values: &[String]) -> Answer {
    let at = sides.iter().map(|side| {
        let said = text(side.value.as_ref()).map_err(|_| NoAnswer::NotInOrder)?;
        let at = values.iter().position(|value| value == said).ok_or(NoAnswer::NotInOrder)?;
        Ok((at, side))
    });
    let all = at.collect::<Result<Vec<_>, _>>()?;
    let furthest = all.iter().map(|(at, _)| *at).max();
    Ok(all.into_iter().find(|(at, _)| Some(*at) == furthest).and_then(|(_, side)| side.value.clone()))
}

fn text3way(sides: &[&Side], base: Option<&Value>) -> Answer {
    let before = text(base).unwrap_or("");
    let texts = sides.iter().map(|side| text(side.value.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let (first, others) = texts.split_first().ok_or(NoAnswer::NoSides)?;
    let merged = others.iter().try_fold((*first).to_owned(), |merged, text| merge3(before, &merged, text));
    written(merged?, sides)
}

fn map(value: Option<&Value>) -> Option<&BTreeMap<String, Value>> {
    match value {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    }
}

fn union(sides: &[&Side]) -> Answer {
    if sides.iter().all(|side| map(side.value.as_ref()).is_some()) {
        return merge_maps(sides, None);
    }
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for side in sides {
        let Some(Value::List(items)) = &side.value else { return Err(NoAnswer::NotAlike) };
        all.extend(items.iter().filter(|item| seen.insert(plain(item))).cloned());
    }
    Ok(Some(Value::List(all)))
}

fn merge_maps(sides: &[&Side], base: Option<&Value>) -> Answer {
    let maps: Option<Vec<_>> = sides.iter().map(|side| map(side.value.as_ref())).collect();
    let maps = maps.ok_or(NoAnswer::NotAMap)?;
    let nothing = BTreeMap::new();
    let before = map(base).unwrap_or(&nothing);
    let mut keys: Vec<&String> = maps.iter().chain([&before]).flat_map(|map| map.keys()).collect();
    keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    keys.dedup();
    let mut merged = BTreeMap::new();
    for key in keys {
        let was = before.get(key);
        // What a side left as it was is no opinion; nor, of what was not there, that it is still not.
        let said: Vec<Option<&Value>> = maps.iter().map(|map| map.get(key)).filter(|said| !alike(*said, was)).collect();
        if said.iter().any(|other| !alike(*other, said[0])) {
            return Err(NoAnswer::Differ(key.clone()));
        }
        if let Some(value) = said.first().copied().unwrap_or(was) {
            merged.insert(key.clone(), value.clone());
        }
    }
    Ok(Some(Value::Map(merged)))
}

/// Whether JavaScript sees two values alike.
pub(super) fn alike(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.map(plain) == b.map(plain)
}

/// Whether two answers are the same.
pub(super) fn same_answer(a: &Answer, b: &Answer) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => alike(a.as_ref(), b.as_ref()),
        (a, b) => a == b,
    }
}

/// A value as JavaScript sees it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Plain<'a> {
    Null,
    Boolean(bool),
    /// The bits of a number that JavaScript holds exactly.
    Number(u64),
    /// One that it does not.
    Whole(i128),
    Time(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Plain<'a>>),
    Map(Vec<(&'a str, Plain<'a>)>),
}

fn plain(value: &Value) -> Plain<'_> {
    let whole = |whole: i128| match i64::try_from(whole) {
        Ok(exact) if (-EXACT_MAX..=EXACT_MAX).contains(&exact) => Plain::Number((exact as f64).to_bits()),
        _ => Plain::Whole(whole),
    };
    match value {
        Value::Text(text) => Plain::Text(text),
        Value::List(items) => Plain::List(items.iter().map(plain).collect()),
        Value::Map(entries) => Plain::Map(entries.iter().map(|(key, entry)| (key.as_str(), plain(entry))).collect()),
        Value::Scalar(scalar) => match scalar {
            ScalarValue::Bytes(bytes) | ScalarValue::Unknown { bytes, .. } => Plain::Bytes(bytes),
            ScalarValue::Str(text) => Plain::Text(text),
            ScalarValue::Int(number) => whole((*number).into()),
            ScalarValue::Uint(number) => whole((*number).into()),
            ScalarValue::Counter(counter) => whole(i64::from(counter).into()),
            ScalarValue::F64(number) if number.is_nan() => Plain::Number(f64::NAN.to_bits()),
            ScalarValue::F64(number) => Plain::Number(number.to_bits()),
            ScalarValue::Timestamp(time) => Plain::Time(*time),
            ScalarValue::Boolean(value) => Plain::Boolean(*value),
            ScalarValue::Null => Plain::Null,
        },
    }
}
