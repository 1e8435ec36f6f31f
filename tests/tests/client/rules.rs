//! Rules as a program sets them: they answer on each client by itself, alike, and write nothing.

use automerge::transaction::Transactable as _;
use automerge::{ObjType, ROOT, ReadDoc as _};
use sync_client::conflict::{Conflict, Value};
use sync_client::resolver::{
    BuiltIn, Fault, NoAnswer, Policy, PolicyError, Question, Resolver, Rule, Show, Stands, check_resolver,
};
use sync_client::{Document, InitValue, Ruled};

use crate::pair::Pair;

/// Waits until both hold the same, and say so.
async fn agree(left: &Document, right: &Document) {
    for document in [left, right] {
        let (_, edit) = document.change(|_| Ok(())).expect("nothing is edited");
        document.acknowledged(edit).await.expect("it is open");
    }
    let heads = |document: &Document| document.read(|d| d.get_heads()).expect("loaded");
    let mut events = (left.subscribe(), right.subscribe());
    while heads(left) != heads(right) {
        tokio::select! {
            event = events.0.next() => event.expect("it is open"),
            event = events.1.next() => event.expect("it is open"),
        };
    }
}

fn put(document: &Document, map: &str, key: &str, value: impl Into<automerge::ScalarValue>) {
    let edit = document.change(|tx| {
        let (_, map) = tx.get(ROOT, map)?.expect("it was made");
        tx.put(&map, key, value)
    });
    edit.expect("the edit is made");
}

/// Two who disagree about two things in a shop.
async fn apart() -> Pair {
    let pair = Pair::open("shop").await;
    let [left, right] = &pair.documents;
    for root in ["stock", "orders"] {
        left.init(root, InitValue::Map).expect("made");
    }
    put(left, "stock", "apples", 10);
    put(left, "orders", "7", "draft");
    agree(left, right).await;
    pair.apart(
        |left| {
            put(left, "stock", "apples", 7);
            put(left, "orders", "7", "paid");
        },
        |right| {
            put(right, "orders", "7", "lost");
            put(right, "stock", "apples", 12);
        },
    );
    agree(left, right).await;
    pair
}

fn at<'a>(ruled: &'a [Ruled], root: &str) -> &'a Ruled {
    let is_there = |conflict: &Conflict| format!("{:?}", conflict.path[0]).contains(root);
    ruled.iter().find(|ruled| is_there(&ruled.conflict)).expect("it is listed")
}

fn shown(document: &Document, root: &str, key: &str) -> Option<Value> {
    let Value::Map(roots) = document.projected().expect("loaded") else { panic!("a document is a map") };
    let Some(Value::Map(entries)) = roots.get(root) else { panic!("{root} is a map") };
    entries.get(key).cloned()
}

fn scalar(value: impl Into<automerge::ScalarValue>) -> Value {
    Value::Scalar(value.into())
}

/// The least of what the sides took away.
struct Careful;

impl Resolver for Careful {
    fn name(&self) -> &str {
        "careful"
    }

    fn version(&self) -> u32 {
        2
    }

    fn resolve(&self, question: &Question) -> Result<Option<Value>, NoAnswer> {
        BuiltIn::Min.resolve(question)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_answer_on_each_client_alike_and_write_nothing() {
    crate::in_time(async {
        let pair = apart().await;
        let [left, right] = &pair.documents;
        let refused = Policy::new("stock/app*", BuiltIn::Max).expect_err("it can't match");
        assert!(matches!(refused, PolicyError::Star { .. }), "{refused}");
        let heads = left.read(|d| d.get_heads()).expect("loaded");
        assert!(left.ruled_conflicts().expect("loaded").iter().all(Ruled::is_open));
        let rules = || {
            [
                Policy::new("stock/*", BuiltIn::SumDeltas).expect("it can match"),
                Policy::new("orders/*", BuiltIn::order(["draft", "paid", "shipped"])).expect("it can match"),
                Policy::new("**", BuiltIn::Max).expect("it can match"),
            ]
        };
        for document in [left, right] {
            document.set_policies(rules()).expect("it is open");
            let ruled = document.ruled_conflicts().expect("loaded");
            assert_eq!(ruled.len(), 2);
            let stock = at(&ruled, "stock").ruling.as_ref().expect("it is open");
            assert_eq!((stock.policy.as_str(), stock.is_projected), ("sumDeltas@1", true));
            assert_eq!(stock.answer, Some(Stands::Value(scalar(9))));
            let order = at(&ruled, "orders");
            let fault = order.ruling.as_ref().and_then(|ruling| ruling.fault.clone());
            assert!(order.is_open());
            assert_eq!(fault, Some(("order@1".into(), Fault::NoAnswer(NoAnswer::NotInOrder))));
            assert_eq!(shown(document, "stock", "apples"), Some(scalar(9)));
        }
        let held = |d: &automerge::Automerge| d.get(ROOT, "orders").expect("a map").expect("made").0.is_object();
        assert!(left.read(held).expect("loaded"));
        assert_eq!(shown(left, "orders", "7"), shown(right, "orders", "7"));
        // Another handle of the document has the same rules; other rules answer otherwise at once.
        let again = pair.clients[0].document("shop").await.expect("opens");
        assert_eq!(again.policies().all().len(), 3);
        check_resolver(&Careful, 1, 100, |rng| Some(scalar(rng.below(9) as i64))).expect("it is one");
        again
            .set_policies([Policy::new("stock/**", Rule::custom(Careful)).expect("it can match")])
            .expect("it is open");
        assert_eq!(
            at(&left.ruled_conflicts().expect("loaded"), "stock").ruling.as_ref().expect("open").policy,
            "careful@2"
        );
        assert_eq!(shown(left, "stock", "apples"), Some(scalar(7)));
        left.set_policies([Policy::new("**", Rule::human(Show::Base)).expect("it can match")]).expect("it is open");
        assert!(left.ruled_conflicts().expect("loaded").iter().all(Ruled::is_open));
        assert_eq!(shown(left, "stock", "apples"), Some(scalar(10)));
        assert_eq!(shown(left, "orders", "7"), Some(scalar("draft")));
        assert_eq!(left.read(|d| d.get_heads()).expect("loaded"), heads, "nothing was written");
        pair.clients[0].close().await.expect("closes");
        assert!(left.set_policies([]).is_err());
        pair.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_answered_is_open_no_more_once_somebody_writes_there() {
    crate::in_time(async {
        let pair = apart().await;
        let [left, right] = &pair.documents;
        left.set_policies([Policy::new("stock/*", BuiltIn::SumDeltas).expect("it can match")]).expect("it is open");
        put(right, "stock", "apples", 8);
        agree(left, right).await;
        let ruled = left.ruled_conflicts().expect("loaded");
        assert_eq!(at(&ruled, "stock").ruling, None);
        assert_eq!(shown(left, "stock", "apples"), Some(scalar(8)));
        left.change(|tx| tx.put_object(ROOT, "more", ObjType::List).map(|_| ())).expect("edited");
        let Value::Map(roots) = left.projected().expect("loaded") else { panic!("a document is a map") };
        assert_eq!(roots.get("more"), Some(&Value::List(Vec::new())));
        pair.close().await;
    })
    .await;
}

/// [`Careful`] as it was in another version.
struct Version(u32);

impl Resolver for Version {
    fn name(&self) -> &str {
        "careful"
    }

    fn version(&self) -> u32 {
        self.0
    }

    fn resolve(&self, question: &Question) -> Result<Option<Value>, NoAnswer> {
        BuiltIn::Min.resolve(question)
    }
}

fn stock_by(rule: impl Into<Rule>) -> Policy {
    Policy::new("stock/*", rule).expect("it can match")
}

/// The rule for the stock as this client sees it, and whether it answers.
fn stock(document: &Document) -> (String, bool) {
    let ruled = document.ruled_conflicts().expect("loaded");
    let ruling = at(&ruled, "stock").ruling.clone().expect("it is open");
    (ruling.policy, ruling.is_projected)
}

fn answers(rule: &str) -> (String, bool) {
    (rule.into(), true)
}

fn mismatch() -> (String, bool) {
    ("policy-mismatch".into(), false)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_travel_with_an_edit_and_where_another_one_is_declared_people_decide() {
    crate::in_time(async {
        let pair = apart().await;
        let [left, right] = &pair.documents;
        let meanwhile = shown(right, "stock", "apples");
        left.set_policies([stock_by(BuiltIn::SumDeltas)]).expect("it is open");
        right.set_policies([stock_by(BuiltIn::Max)]).expect("it is open");
        // Nobody has declared anything, and nothing is written by reading.
        assert_eq!((stock(left), stock(right)), (answers("sumDeltas@1"), answers("max@1")));
        put(left, "orders", "8", "draft");
        agree(left, right).await;
        assert_eq!((stock(left), stock(right)), (answers("sumDeltas@1"), mismatch()));
        let ruled = right.ruled_conflicts().expect("loaded");
        let fault = at(&ruled, "stock").ruling.as_ref().and_then(|ruling| ruling.fault.clone());
        assert_eq!(fault, Some(("max@1".into(), Fault::Mismatch("sumDeltas@1".into()))));
        assert!(at(&ruled, "stock").is_open());
        assert_eq!(shown(right, "stock", "apples"), meanwhile, "what is shown where people decide");
        // Another rule does not push the declared one aside by itself; the same ones and more do.
        put(right, "orders", "9", "draft");
        agree(left, right).await;
        assert_eq!(stock(left), answers("sumDeltas@1"));
        let more = Policy::new("orders/*", BuiltIn::Latest).expect("it can match");
        right.set_policies([stock_by(BuiltIn::SumDeltas), more]).expect("it is open");
        put(right, "orders", "9", "paid");
        agree(left, right).await;
        let order = left.ruled_conflicts().expect("loaded");
        assert_eq!(
            at(&order, "orders").ruling.as_ref().expect("open").policy,
            "policy-mismatch",
            "left has none there"
        );
        assert_eq!((stock(left), stock(right)), (answers("sumDeltas@1"), answers("sumDeltas@1")));
        // A later version follows an older one, not the other way round.
        left.set_policies([stock_by(Rule::custom(Version(2)))]).expect("it is open");
        assert_eq!(stock(left), mismatch());
        assert!(left.declare_policies().expect("written") && !left.declare_policies().expect("it is there"));
        right.set_policies([stock_by(Rule::custom(Version(3)))]).expect("it is open");
        agree(left, right).await;
        assert_eq!((stock(left), stock(right)), (answers("careful@2"), mismatch()));
        put(right, "orders", "9", "shipped");
        put(left, "orders", "8", "paid");
        agree(left, right).await;
        put(left, "orders", "8", "shipped");
        agree(left, right).await;
        assert_eq!((stock(left), stock(right)), (mismatch(), answers("careful@3")));
        pair.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sets_declared_apart_one_holds_on_both_and_no_conflict_is_listed_of_it() {
    crate::in_time(async {
        let pair = apart().await;
        let [left, right] = &pair.documents;
        left.set_policies([stock_by(BuiltIn::SumDeltas)]).expect("it is open");
        right.set_policies([stock_by(BuiltIn::Max)]).expect("it is open");
        let declare = |document: &Document| document.declare_policies().expect("written");
        assert_eq!(pair.apart(declare, declare), (true, true));
        agree(left, right).await;
        let (ours, theirs) = (stock(left), stock(right));
        let one_holds = [ours.clone(), theirs.clone()].iter().filter(|ruling| **ruling == mismatch()).count();
        assert_eq!(one_holds, 1, "{ours:?} {theirs:?}");
        assert_eq!(left.ruled_conflicts().expect("loaded").len(), 2, "the stock and the order");
        pair.close().await;
    })
    .await;
}
