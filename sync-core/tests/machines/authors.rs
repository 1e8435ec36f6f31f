//! Changes name their author: whoever is signed in, in whichever tab, and also where they are written again.

use std::collections::BTreeMap;

use automerge::{ROOT, ReadDoc as _, transaction::Transactable};
use sync_core::change::Change;
use sync_core::conflict::Conflict;

use crate::net::Net;

/// Whom the actors of a log name, by the keys that each change sets.
fn authors(log: &[Change]) -> BTreeMap<String, Option<String>> {
    let mut named = BTreeMap::new();
    let mut said = BTreeMap::new();
    for change in log {
        if let Some(author) = change.automerge().author() {
            assert_eq!(change.seq(), 1, "it is said once, and costs the other changes nothing");
            named.insert(change.actor().clone(), String::from_utf8(author.as_bytes().to_vec()).expect("text"));
        }
        for op in change.automerge().decode().operations {
            if let automerge::legacy::Key::Map(key) = op.key {
                said.insert(key.to_string(), named.get(change.actor()).cloned());
            }
        }
    }
    said
}

fn by(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(key, author)| ((*key).into(), author.map(Into::into))).collect()
}

fn sides(conflict: &Conflict) -> BTreeMap<String, bool> {
    let sides = conflict.candidates.iter();
    sides
        .map(|side| {
            let author = side.author.clone().unwrap_or_else(|| b"nobody".to_vec());
            (String::from_utf8(author).expect("text"), side.mine)
        })
        .collect()
}

fn both(mine: &str, theirs: &str) -> BTreeMap<String, bool> {
    BTreeMap::from([(mine.into(), true), (theirs.into(), false)])
}

#[test]
fn sides_and_answers_name_their_author_on_every_device_and_after_a_restart() {
    let mut net = Net::new(2);
    let (a, b) = (net.restart_as(0, Some("Ann"), false, "doc"), net.restart_as(1, Some("Bob"), false, "doc"));
    for n in 0..3 {
        net.change(0, a, |tx| tx.put(ROOT, "status", n));
    }
    net.change(1, b, |tx| tx.put(ROOT, "status", "shipped"));
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    assert_eq!(sides(&net.listed(0, a)[0].conflict), both("Ann", "Bob"));
    assert_eq!(sides(&net.listed(1, b)[0].conflict), both("Bob", "Ann"));
    let a = net.restart_as(0, Some("Ann"), true, "doc");
    let listed = net.listed(0, a).remove(0);
    assert_eq!(sides(&listed.conflict), both("Ann", "Bob"));
    let pick = sync_core::settlement::Answer::Pick(listed.conflict.candidates[0].change);
    net.resolve(0, a, &(&listed.conflict).into(), &pick).expect("it is open");
    net.settle();
    let settled = net.listed(1, b).remove(0).settled_by.expect("it is settled");
    assert_eq!((settled.author.as_deref(), settled.time), (Some(&b"Ann"[..]), 1));
    let log = net.server_log("doc");
    let actors: std::collections::BTreeSet<_> = log.iter().map(|change| change.actor().clone()).collect();
    assert_eq!(actors.len(), 3, "Ann, Bob, and the fixed map of answers");
}

#[test]
fn each_author_has_an_actor_on_a_device_and_comes_back_to_it() {
    let mut net = Net::new(1);
    for (key, author) in
        [("a", None), ("b", Some("Ann")), ("c", Some("Ann")), ("d", Some("Bob")), ("e", Some("Ann")), ("f", None)]
    {
        let doc = net.restart_as(0, author, false, "doc");
        net.change(0, doc, |tx| tx.put(ROOT, key, 1));
        net.settle();
    }
    let doc = net.restart_as(0, None, false, "doc");
    let writers = net.writers(0, doc);
    let numbers: Vec<_> = writers.iter().map(|actor| writers.iter().position(|other| other == actor)).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(1), Some(3), Some(1), Some(0)]);
    assert!(writers.iter().all(|actor| net.replica(0).is_own(doc, actor)), "all of them are this device's");
    net.set_online(0, true);
    net.settle();
    let ann = Some("Ann");
    let all = [("a", None), ("b", ann), ("c", ann), ("d", Some("Bob")), ("e", ann), ("f", None)];
    assert_eq!(authors(&net.server_log("doc")), by(&all));
}

/// What is refused is Ann's; Bob has signed in on her device since. What stands on it is written again, and stays hers and his.
#[test]
fn what_is_written_again_stays_its_authors() {
    let mut net = Net::new(1);
    net.server.value_bytes_max(100);
    let doc = net.restart_as(0, Some("Ann"), false, "doc");
    net.change(0, doc, |tx| tx.put(ROOT, "big", "x".repeat(1000)));
    net.change(0, doc, |tx| tx.put(ROOT, "after", 1));
    net.settle();
    let doc = net.restart_as(0, Some("Bob"), false, "doc");
    net.change(0, doc, |tx| tx.put(ROOT, "later", 2));
    net.set_online(0, true);
    net.settle();
    let (ann, bob) = (Some("Ann"), Some("Bob"));
    assert_eq!(authors(&net.server_log("doc")), by(&[("after", ann), ("later", bob)]));
    let conflict = net.listed(0, doc).remove(0).conflict;
    assert_eq!(sides(&conflict), BTreeMap::from([("Ann".into(), true)]));
    net.change(0, doc, |tx| tx.put(ROOT, "last", 3));
    net.settle();
    let log = net.server_log("doc");
    assert_eq!(authors(&log), by(&[("after", ann), ("later", bob), ("last", bob)]));
    assert_eq!(log[1].actor(), log[2].actor(), "Bob goes on as he was written again");
    assert!(log.iter().all(|change| net.replica(0).is_own(doc, change.actor())));
    net.server.value_bytes_max(10_000);
    net.restart_server();
    net.settle();
    assert_eq!(net.retry_rejected(0, doc), [true]);
    net.settle();
    assert_eq!(authors(&net.server_log("doc"))["big"].as_deref(), ann);
}

#[test]
fn tabs_write_for_their_own_authors_and_the_one_that_leads_passes_them_on() {
    let mut net = Net::new(1);
    let tabs = [net.tab_as(0, 1, "Ann"), net.tab_as(0, 2, "Bob")];
    net.lead(tabs[0], 1);
    net.set_online(tabs[0], true);
    net.settle();
    for (tab, key) in tabs.into_iter().zip(["ours", "theirs"]) {
        let doc = net.open(tab, "doc");
        net.settle();
        net.change(tab, doc, |tx| tx.put(ROOT, key, 1));
        net.settle();
    }
    assert_eq!(authors(&net.server_log("doc")), by(&[("ours", Some("Ann")), ("theirs", Some("Bob"))]));
}

/// What a refused change would have made of its place, and what stands there.
#[test]
fn a_refused_change_is_told_as_what_it_would_have_made() {
    use sync_core::conflict::Value;
    let json = |value: &Option<Value>| format!("{value:?}");
    let mut net = Net::new(2);
    net.server.value_bytes_max(100);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.change(0, a, |tx| {
        let text = tx.put_object(ROOT, "text", automerge::ObjType::Text)?;
        tx.splice_text(&text, 0, 0, "hello")?;
        let list = tx.put_object(ROOT, "list", automerge::ObjType::List)?;
        tx.insert(&list, 0, "one")
    });
    net.change(0, a, |tx| tx.put(ROOT, "count", 1));
    net.settle();
    net.set_online(0, false);
    net.set_online(1, false);
    let big = "x".repeat(1000);
    net.change(0, a, |tx| {
        let (_, text) = tx.get(ROOT, "text")?.expect("made");
        tx.splice_text(&text, 5, 0, " world")?;
        let mark = automerge::marks::Mark::new("link".into(), big.as_str(), 0, 5);
        tx.mark(&text, mark, automerge::marks::ExpandMark::None)
    });
    net.change(0, a, |tx| {
        let item = tx.put_object(ROOT, "item", automerge::ObjType::Map)?;
        tx.put(&item, "name", big.as_str())
    });
    net.change(0, a, |tx| {
        let (_, list) = tx.get(ROOT, "list")?.expect("made");
        tx.insert(&list, 1, big.as_str())
    });
    net.change(0, a, |tx| tx.put(ROOT, "note", big.as_str()));
    net.change(0, a, |tx| {
        tx.put(ROOT, "more", big.as_str())?;
        tx.put(ROOT, "count", 2)
    });
    for n in 0..9 {
        net.change(1, b, |tx| tx.put(ROOT, "note", n));
    }
    net.set_online(1, true);
    net.settle();
    net.set_online(0, true);
    net.settle();
    let told: Vec<_> = net
        .listed(0, a)
        .into_iter()
        .filter(|one| one.conflict.kind == sync_core::conflict::ConflictKind::Rejected)
        .map(|one| (format!("{:?}", one.conflict.path), one.conflict.base, one.conflict.candidates[1].value.clone()))
        .collect();
    assert_eq!(told.len(), 5, "{told:?}");
    let of = |path: &str| told.iter().find(|(at, ..)| at.contains(path)).unwrap_or_else(|| panic!("{path}: {told:?}"));
    let text = |text: &str| json(&Some(Value::Text(text.into())));
    assert_eq!((json(&of("text").1), json(&of("text").2)), (text("hello"), text("hello world")));
    let scalar = |text: &str| Value::Scalar(text.into());
    let named = Value::Map(BTreeMap::from([("name".into(), scalar(&big))]));
    assert_eq!((&of("item").1, &of("item").2), (&None, &Some(named)), "the object, and no removal");
    let list = |items: &[&str]| Some(Value::List(items.iter().map(|item| scalar(item)).collect()));
    assert_eq!((&of("list").1, &of("list").2), (&list(&["one"]), &list(&["one", &big])));
    assert_eq!(of("note").2, Some(scalar(&big)), "and not what somebody else put there meanwhile");
    let several = of("[]");
    let count = |n: i64| ("count".to_owned(), Value::Scalar(n.into()));
    assert_eq!(several.1, Some(Value::Map(BTreeMap::from([count(1)]))));
    let wanted = BTreeMap::from([count(2), ("more".into(), scalar(&big))]);
    assert_eq!(several.2, Some(Value::Map(wanted)), "all that it wrote");
}
