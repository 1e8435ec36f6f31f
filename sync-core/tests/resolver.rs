//! Rules: what the built-in ones answer, where they hold, and that each is a function of the set of sides. `rules.json` is read by the tests of
//! `@rejoin/client` too, so that the halves can't drift apart.

use std::sync::atomic::{AtomicU32, Ordering};

use automerge::ScalarValue;
use serde_json::Value as Json;
use sync_core::conflict::{Candidate, Conflict, ConflictId, ConflictKind, ConflictState, PathPart, Steps, Value};
use sync_core::id::{ActorId, ChangeHash};
use sync_core::resolver::{
    Broken, BuiltIn, Fault, NoAnswer, Placed, Policies, Policy, Question, Resolver, Rule, Show, Side, Stands,
    check_resolver, project,
};
use sync_core::rng::Rng;

fn table() -> Json {
    serde_json::from_str(include_str!("rules.json")).expect("it is JSON")
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Scalar(ScalarValue::Null),
        Json::Bool(value) => Value::Scalar((*value).into()),
        Json::Number(number) => {
            Value::Scalar(number.as_i64().map_or_else(|| number.as_f64().expect("a number").into(), Into::into))
        }
        Json::String(text) => Value::Scalar(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(entries) => Value::Map(entries.iter().map(|(key, entry)| (key.clone(), value(entry))).collect()),
    }
}

/// The same, with each string as a text.
fn as_text(value: Value) -> Value {
    match value {
        Value::Scalar(ScalarValue::Str(text)) => Value::Text(text.to_string()),
        other => other,
    }
}

fn change(first: &str) -> ChangeHash {
    let digit = u8::from_str_radix(first, 16).expect("a digit");
    ChangeHash([digit << 4; 32])
}

fn side(index: usize, json: &Json) -> Side {
    let actor = ActorId::from([index as u8; 16]);
    match json.get("at").and_then(Json::as_i64) {
        Some(time) => Side {
            value: json.get("value").map(value),
            actor,
            author: json.get("author").and_then(Json::as_str).map(Into::into),
            time,
            change: change(json["change"].as_str().expect("a change")),
        },
        None => Side {
            value: Some(value(json)),
            actor,
            author: Some(format!("author {index}")),
            time: 1_000 + index as i64,
            change: change(&format!("{:x}", 10 + index)),
        },
    }
}

fn question(base: Option<Value>, sides: Vec<Side>, steps: Steps) -> Question {
    Question { path: vec![PathPart::Key("a".into())], kind: ConflictKind::Register, base, sides, steps }
}

/// What sides have in common, of a case that says it: none of it means too much.
fn steps(case: &Json) -> Steps {
    let counted = |one: &Json| (value(&one["value"]), one["times"].as_i64().expect("a number"));
    match case.get("steps").and_then(Json::as_array) {
        None => Steps::FromBase,
        Some(none) if none.is_empty() => Steps::TooMany,
        Some(all) => Steps::Shared(all.iter().map(counted).collect()),
    }
}

fn texts(options: &Json) -> impl Iterator<Item = &str> {
    options["authors"].as_array().expect("authors").iter().filter_map(Json::as_str)
}

fn rule(name: &str, options: &Json) -> BuiltIn {
    let text = |key: &str| options[key].as_str().unwrap_or_default().to_owned();
    match name {
        "latest" => BuiltIn::Latest,
        "first" => BuiltIn::First,
        "max" => BuiltIn::Max,
        "min" => BuiltIn::Min,
        "union" => BuiltIn::Union,
        "concat" => BuiltIn::Concat(text("separator")),
        "sumDeltas" => BuiltIn::SumDeltas,
        "order" => BuiltIn::order(options["values"].as_array().expect("values").iter().filter_map(Json::as_str)),
        "text3way" => BuiltIn::Text3way,
        "mergeMaps" => BuiltIn::MergeMaps,
        "prefer" if options.get("role").is_some() => BuiltIn::prefer_role(text("role"), texts(options)),
        "prefer" => BuiltIn::Prefer(text("author")),
        "reject" => BuiltIn::Reject,
        other => panic!("no rule {other}"),
    }
}

/// As the table says it: numbers without their kinds, texts as strings.
fn json(value: &Value) -> Json {
    match value {
        Value::Scalar(ScalarValue::Null) => Json::Null,
        Value::Scalar(ScalarValue::Boolean(value)) => (*value).into(),
        Value::Scalar(ScalarValue::Int(number)) => (*number).into(),
        Value::Scalar(ScalarValue::F64(number)) => (*number).into(),
        Value::Scalar(ScalarValue::Str(text)) => text.as_str().into(),
        Value::Scalar(other) => panic!("{other:?} is not in the table"),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, entry)| (key.clone(), json(entry))).collect(),
    }
}

#[test]
fn built_in_rules_answer_as_the_table_says() {
    let table = table();
    for case in table["cases"].as_array().expect("cases") {
        let sides: Vec<Side> =
            case["sides"].as_array().expect("sides").iter().enumerate().map(|(i, s)| side(i, s)).collect();
        let rule = rule(case["rule"].as_str().expect("a rule"), &case["options"]);
        let base = case.get("base").map(value);
        let texts = sides.iter().cloned().map(|side| Side { value: side.value.map(as_text), ..side }).collect();
        for asked in [question(base.clone(), sides, steps(case)), question(base.map(as_text), texts, steps(case))] {
            let given = rule.resolve(&asked);
            match case.get("fault").and_then(Json::as_str) {
                Some(fault) => assert_eq!(given.map_err(|no| no.to_string()), Err(fault.into()), "{case}"),
                None => {
                    assert_eq!(given.map(|value| value.as_ref().map(json)), Ok(case.get("answer").cloned()), "{case}")
                }
            }
        }
    }
}

fn parts(json: &Json) -> Vec<PathPart> {
    let part = |part: &Json| match part.as_u64() {
        Some(index) => PathPart::Index(index as usize),
        None => PathPart::Key(part.as_str().expect("a key").into()),
    };
    json.as_array().expect("a path").iter().map(part).collect()
}

#[test]
fn a_pattern_holds_where_each_of_its_parts_does_and_one_that_cannot_match_is_refused() {
    let table = table();
    for case in table["patterns"].as_array().expect("patterns") {
        let policy = Policy::new(case[0].as_str().expect("a pattern"), BuiltIn::Max).expect("it can match");
        assert_eq!(Some(policy.holds_at(&parts(&case[1]))), case[2].as_bool(), "{case}");
    }
    for case in table["refused"].as_array().expect("refused") {
        let error = Policy::new(case[0].as_str().expect("a pattern"), BuiltIn::Max).expect_err("it can't match");
        assert_eq!(Some(error.to_string().as_str()), case[1].as_str());
    }
    for long in [vec!["a"; 101].join("/"), "a".repeat(1_001)] {
        assert!(Policy::new(long, BuiltIn::Max).expect_err("too long").to_string().contains("longer than a path"));
    }
}

fn whole(rng: &mut Rng) -> Option<Value> {
    Some(Value::Scalar((rng.below(20) as i64 - 5).into()))
}

fn number(rng: &mut Rng) -> Option<Value> {
    let float = Value::Scalar((rng.below(100) as f64 / 7.0).into());
    if rng.chance(500) { Some(float) } else { whole(rng) }
}

fn word(rng: &mut Rng) -> String {
    ["draft", "paid", "shipped", "returned"][rng.below(4) as usize].into()
}

fn text(rng: &mut Rng) -> Option<Value> {
    let text = (0..rng.below(6)).map(|_| word(rng) + " ").collect::<String>();
    Some(if rng.chance(500) { Value::Text(text) } else { Value::Scalar(text.into()) })
}

fn list(rng: &mut Rng) -> Option<Value> {
    Some(Value::List((0..rng.below(4)).filter_map(|_| number(rng)).collect()))
}

fn map(rng: &mut Rng) -> Option<Value> {
    let entries = rng.below(3);
    let entry = |_| (word(rng), Value::Scalar((rng.below(2) as i64).into()));
    Some(Value::Map((0..entries).map(entry).collect()))
}

fn any(rng: &mut Rng) -> Option<Value> {
    match rng.below(5) {
        0 => None,
        1 => number(rng),
        2 => text(rng),
        3 => list(rng),
        _ => map(rng),
    }
}

type Values = fn(&mut Rng) -> Option<Value>;

#[test]
fn every_built_in_rule_is_a_function_of_the_set_of_sides() {
    let states: Values = |rng| Some(Value::Scalar(word(rng).into()));
    let all: [(BuiltIn, Values); 14] = [
        (BuiltIn::Latest, any),
        (BuiltIn::First, any),
        (BuiltIn::Max, number),
        (BuiltIn::Min, states),
        (BuiltIn::Union, list),
        (BuiltIn::Union, map),
        (BuiltIn::Concat(" ".into()), text),
        (BuiltIn::SumDeltas, number),
        (BuiltIn::order(["draft", "paid", "shipped", "returned"]), states),
        (BuiltIn::Text3way, text),
        (BuiltIn::MergeMaps, map),
        (BuiltIn::Prefer("author 1".into()), any),
        (BuiltIn::prefer_role("lead", ["author 0", "author 2"]), any),
        (BuiltIn::Reject, any),
    ];
    for (rule, values) in all {
        check_resolver(&rule, 7, 1_000, values).unwrap_or_else(|broken| panic!("{rule:?}: {broken}"));
        // What does not suit it must not be another answer either.
        let mixed = check_resolver(&rule, 8, 1_000, any);
        assert!(matches!(mixed, Ok(()) | Err(Broken::Silent)), "{rule:?}: {mixed:?}");
    }
}

/// A rule made of a function.
struct Bad(fn(&Question) -> Option<Value>);

impl Resolver for Bad {
    fn name(&self) -> &str {
        "bad"
    }

    fn resolve(&self, question: &Question) -> Result<Option<Value>, NoAnswer> {
        Ok((self.0)(question))
    }
}

fn sum<'a>(sides: impl Iterator<Item = &'a Side>) -> i64 {
    let whole = |side: &Side| match side.value {
        Some(Value::Scalar(ScalarValue::Int(whole))) => whole,
        _ => 0,
    };
    sides.map(whole).sum()
}

#[test]
fn a_rule_that_is_none_is_found_out() {
    let check = |rule| check_resolver(&Bad(rule), 7, 100, whole);
    let first_of_the_list = check(|question| question.sides[0].value.clone());
    assert!(matches!(first_of_the_list, Err(Broken::Order(_))), "{first_of_the_list:?}");
    let how_many = check(|question| Some(Value::Scalar((question.sides.len() as i64).into())));
    assert!(matches!(how_many, Err(Broken::Twice(_))), "{how_many:?}");
    let twice_the_sum = check(|question| Some(Value::Scalar((2 * sum(question.set().into_iter())).into())));
    assert!(matches!(twice_the_sum, Err(Broken::Answer(_))), "{twice_the_sum:?}");
    // Sees that a side is there already only where it stands beside itself.
    let neighbours = check(|question| {
        let mut sides = question.sides.clone();
        sides.dedup_by_key(|side| side.change);
        Some(Value::Scalar((sides.len() as i64).into()))
    });
    assert!(matches!(neighbours, Err(Broken::Groups(_))), "{neighbours:?}");
    assert_eq!(check_resolver(&BuiltIn::MergeMaps, 7, 100, whole), Err(Broken::Silent));
}

fn conflict(base: i64, sides: &[i64]) -> Conflict {
    let candidate = |(at, said): (usize, &i64)| Candidate {
        value: Some(Value::Scalar((*said).into())),
        actor: ActorId::from([at as u8; 16]),
        author: None,
        time: 1_000 + at as i64,
        change: ChangeHash([at as u8; 32]),
        shown: at == 0,
        mine: at == 1,
        object: None,
    };
    Conflict {
        id: ConflictId([1; 16]),
        version: 1,
        path: parts(&serde_json::json!(["stock", "apples", "quantity"])),
        kind: ConflictKind::Register,
        base: Some(Value::Scalar(base.into())),
        candidates: sides.iter().enumerate().map(candidate).collect(),
        steps: Steps::FromBase,
        hidden: Default::default(),
        agreeing: Default::default(),
        state: ConflictState::Open,
        spot: Default::default(),
        marking: None,
        agrees: false,
    }
}

fn stands(whole: i64) -> Option<Stands> {
    Some(Stands::Value(Value::Scalar(whole.into())))
}

#[test]
fn the_first_policy_that_holds_answers_and_where_none_does_or_one_fails_people_decide() {
    let stock = conflict(10, &[12, 7]);
    let rules = |all: Vec<(&str, Rule)>| {
        let policies = all.into_iter().map(|(pattern, rule)| Policy::new(pattern, rule).expect("it can match"));
        Policies::new(policies).rule(&stock)
    };
    let counted = rules(vec![("stock/*/quantity", BuiltIn::SumDeltas.into()), ("**", BuiltIn::Max.into())]);
    assert_eq!((counted.policy.as_str(), counted.is_projected, counted.answer), ("sumDeltas@1", true, stands(9)));
    let none = rules(vec![("orders/**", BuiltIn::Max.into())]);
    assert_eq!((none.policy.as_str(), none.is_projected, none.answer, none.fault), ("human@1", false, None, None));
    let failed = rules(vec![("**", BuiltIn::Text3way.into())]);
    assert_eq!((failed.policy.as_str(), failed.is_projected, failed.answer), ("human@1", false, None));
    assert_eq!(failed.fault, Some(("text3way@1".into(), Fault::NoAnswer(NoAnswer::NotAText))));
    for (show, answer) in [(Show::Winner, None), (Show::Base, stands(10)), (Show::Mine, stands(7))] {
        let people = rules(vec![("**", Rule::human(show))]);
        assert_eq!((people.policy.as_str(), people.is_projected, people.answer), ("human@1", false, answer));
    }
    let custom = |rule| rules(vec![("**", Rule::custom(Bad(rule)))]);
    assert_eq!(custom(|question| question.base.clone()).policy, "bad@1");
    let unsteady = custom(|question| question.sides[0].value.clone());
    assert_eq!(unsteady.fault, Some(("bad@1".into(), Fault::Unsteady)));
    assert_eq!(custom(|_| panic!("a defect")).fault, Some(("bad@1".into(), Fault::Panicked)));
    let deep = custom(|_| Some((0..1_000).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))));
    assert_eq!(deep.fault, Some(("bad@1".into(), Fault::TooDeep)));
}

#[test]
fn no_rule_answers_marks_since_a_value_shows_no_format() {
    let policies = || Policies::new([Policy::new("**", BuiltIn::Max).expect("it can match")]);
    let two = conflict(10, &[12, 7]);
    assert_eq!(policies().rule(&two).answer, stands(12));
    let marks = policies().rule(&Conflict { kind: ConflictKind::Mark, ..two });
    assert_eq!((marks.policy.as_str(), marks.is_projected, marks.answer, marks.fault), ("human@1", false, None, None));
}

/// A rule with a name of its own that remembers.
struct Named(&'static str, u32, AtomicU32);

impl Resolver for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn version(&self) -> u32 {
        self.1
    }

    fn resolve(&self, _: &Question) -> Result<Option<Value>, NoAnswer> {
        Ok(Some(Value::Scalar(i64::from(self.2.fetch_add(1, Ordering::Relaxed)).into())))
    }
}

#[test]
fn a_rule_has_a_name_and_a_version_and_no_memory() {
    let named = |name, version| Policy::new("a", Rule::custom(Named(name, version, AtomicU32::new(0))));
    let good = named("closest-to_10", 3).expect("a name");
    assert_eq!(good.rule().title(), "closest-to_10@3");
    let asked = good.rule().ask(&conflict(1, &[1, 2]));
    assert_eq!(asked.fault, Some(("closest-to_10@3".into(), Fault::Unsteady)));
    for (name, version) in [("", 1), ("a b", 1), ("1a", 1), ("a@2", 1), ("max", 0)] {
        assert!(named(name, version).is_err(), "{name}@{version}");
    }
    assert!(named(&*"a".repeat(65).leak(), 1).is_err());
}

#[test]
fn answers_stand_in_the_places_of_their_conflicts() {
    let document = serde_json::json!({ "stock": { "a": 1, "b": [1, 2, [3], 4] }, "other": {} });
    let here = [
        (serde_json::json!(["stock", "b", 1]), None),
        (serde_json::json!(["stock", "b", 0]), None),
        (serde_json::json!(["stock", "b", 2, 0]), Some(5)),
        (serde_json::json!(["stock", "b", 9]), Some(5)),
        (serde_json::json!(["stock", "c"]), Some(6)),
        (serde_json::json!(["stock", "a"]), None),
        (serde_json::json!(["gone", "d"]), Some(1)),
    ];
    // Elements that are gone: their paths are those of others, which stay as they are.
    let gone = [
        (serde_json::json!(["stock", "b", 1]), Some(7)),
        (serde_json::json!(["stock", "b", 3]), None),
        (serde_json::json!(["stock", "b", 4]), Some(8)),
    ];
    let of = |answers: &[(serde_json::Value, Option<i64>)], is_gone: bool| {
        let one = |(path, whole): &(serde_json::Value, Option<i64>)| {
            (parts(path), is_gone, Stands::from(whole.map(|n| Value::Scalar(n.into()))))
        };
        answers.iter().map(one).collect::<Vec<_>>()
    };
    let projected = |answers: &[(Vec<PathPart>, bool, Stands)]| {
        let mut shown = value(&document);
        project(&mut shown, answers.iter().map(|(path, is_gone, stands)| Placed { path, is_gone: *is_gone, stands }));
        json(&shown)
    };
    assert_eq!(projected(&of(&here, false)), serde_json::json!({ "stock": { "b": [[5], 4], "c": 6 }, "other": {} }));
    assert_eq!(
        projected(&of(&gone, true)),
        serde_json::json!({ "stock": { "a": 1, "b": [1, 7, 2, [3], 4, 8] }, "other": {} })
    );
    let both = [of(&here, false), of(&gone, true)].concat();
    assert_eq!(projected(&both), serde_json::json!({ "stock": { "b": [7, [5], 4, 8], "c": 6 }, "other": {} }));
}
