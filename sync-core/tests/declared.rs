//! Rules as they are declared in a document. `declared.json` is read by the tests of `@rejoin/client` too, so that the halves can't drift apart.

use serde_json::Value as Json;
use sync_core::conflict::{PathPart, Value};
use sync_core::resolver::{
    BuiltIn, DECLARATION_BYTES_MAX, Declaration, NoAnswer, Policies, Policy, Question, Resolver, Rule, Show,
};

/// A rule of somebody's own.
struct Named(String, u32);

impl Resolver for Named {
    fn name(&self) -> &str {
        &self.0
    }

    fn version(&self) -> u32 {
        self.1
    }

    fn resolve(&self, _: &Question) -> Result<Option<Value>, NoAnswer> {
        Ok(None)
    }
}

fn table() -> Json {
    serde_json::from_str(include_str!("declared.json")).expect("it is JSON")
}

fn text(json: &Json) -> &str {
    json.as_str().expect("a string")
}

fn rule(json: &Json) -> Rule {
    let options = &json["options"];
    match text(&json["rule"]) {
        "human" => Rule::human(Show::Base),
        "max" => BuiltIn::Max.into(),
        "sumDeltas" => BuiltIn::SumDeltas.into(),
        "concat" => BuiltIn::Concat(options["separator"].as_str().unwrap_or_default().into()).into(),
        "prefer" if options.get("role").is_some() => {
            let authors = options["authors"].as_array().expect("a list").iter().map(text);
            BuiltIn::prefer_role(text(&options["role"]), authors).into()
        }
        "prefer" => BuiltIn::Prefer(text(&options["author"]).into()).into(),
        "order" => BuiltIn::order(options["values"].as_array().expect("a list").iter().map(text)).into(),
        other => Rule::custom(Named(other.into(), json["version"].as_u64().expect("a version") as u32)),
    }
}

fn policies(json: &Json) -> Policies {
    let all = json.as_array().expect("a list").iter();
    Policies::new(all.map(|one| Policy::new(text(&one["pattern"]), rule(one)).expect("it can match")))
}

fn cases(key: &str) -> Vec<Json> {
    table()[key].as_array().expect("a list").clone()
}

#[test]
fn rules_are_declared_by_the_same_text_everywhere_and_read_from_it() {
    for case in cases("texts") {
        let declaration = Declaration::of(&policies(&case["rules"]));
        let written = declaration.as_ref().map(Declaration::encode);
        assert_eq!(written.as_deref(), case["text"].as_str(), "{case}");
        assert_eq!(written.and_then(|text| Declaration::parse(&text)), declaration, "{case}");
    }
}

#[test]
fn another_rule_is_told_at_the_places_where_it_holds_and_what_is_no_declaration_says_nothing() {
    for case in cases("places") {
        let step = |step: &Json| match step.as_u64() {
            Some(index) => PathPart::Index(index as usize),
            None => PathPart::Key(text(step).into()),
        };
        let path: Vec<_> = case["path"].as_array().expect("a list").iter().map(step).collect();
        let declared = Declaration::parse(text(&case["text"]));
        let told = declared.and_then(|declared| declared.differs(&policies(&case["rules"]), &path));
        let want = case["own"].as_str().map(|own| (own.to_owned(), text(&case["declared"]).to_owned()));
        assert_eq!(told, want, "{case}");
    }
}

#[test]
fn a_set_follows_another_if_it_has_all_of_it_and_nothing_older() {
    for case in cases("due") {
        let [own, other] = [&case[0], &case[1]].map(|said| Declaration::parse(text(said)));
        let follows = other.is_some_and(|other| own.is_some_and(|own| own.follows(&other)));
        assert_eq!(Some(follows), case[2].as_bool(), "{case}");
    }
}

#[test]
fn more_rules_than_a_document_is_to_hold_are_not_declared() {
    let many = |count: usize| {
        let one = |n: usize| Policy::new(format!("{n:04}/{}", "x".repeat(90)), BuiltIn::Max).expect("it can match");
        Declaration::of(&Policies::new((0..count).map(one)))
    };
    let fits = many(100).expect("it fits").encode();
    assert!(fits.len() <= DECLARATION_BYTES_MAX);
    assert!(many(200).is_none());
    assert!(Declaration::parse(&fits.repeat(2)).is_none());
}
