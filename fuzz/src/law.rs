//! The law: what the validator accepts applies on every replica, in every causal order, reads, edits, saves, loads, bundles
//! and gives back the same bytes.

use std::collections::BTreeSet;

use automerge::transaction::Transactable;
use automerge::{
    AutoCommit, AutoSerde, Automerge, Bundle, Change, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc as _,
};
use sync_core::rng::Rng;

use crate::choices::Choices as _;
use crate::editor::{Editor, actor};
use crate::panics::quietly;

/// Applies changes in one call, failing where automerge does or where it queues.
pub fn apply(changes: &[&Change]) -> Result<AutoCommit, String> {
    let mut doc = AutoCommit::new().with_actor(actor(u64::MAX));
    doc.apply_changes(changes.iter().map(|c| (*c).clone()).collect::<Vec<_>>()).map_err(|e| e.to_string())?;
    Ok(doc)
}

/// Reads what is at each place of an object and of those in it, as whoever looks at one place does.
fn look(doc: &AutoCommit, object: &ObjId) -> Result<(), String> {
    let kind = doc.object_type(object).map_err(|e| format!("look: {e}"))?;
    let props: Vec<Prop> = match kind {
        ObjType::Map | ObjType::Table => doc.keys(object).map(Prop::from).collect(),
        ObjType::List | ObjType::Text => (0..doc.length(object)).map(Prop::from).collect(),
    };
    for prop in props {
        for (value, inner) in doc.get_all(object, prop).map_err(|e| format!("look: {e}"))? {
            if value.is_object() {
                look(doc, &inner)?;
            }
        }
    }
    Ok(())
}

/// One replica's life. Gives what it reads after a load.
fn live(mut doc: AutoCommit, expected: &BTreeSet<Vec<u8>>) -> Result<serde_json::Value, String> {
    doc.hydrate(ROOT, None).map_err(|e| format!("hydrate: {e}"))?;
    let held = |doc: &mut AutoCommit| -> BTreeSet<Vec<u8>> {
        doc.get_changes(&[]).iter().map(|c| c.raw_bytes().to_vec()).collect()
    };
    if held(&mut doc) != *expected {
        return Err("gives back other changes".into());
    }
    let saved = doc.save();
    let mut loaded = AutoCommit::load(&saved).map_err(|e| format!("load: {e}"))?;
    if held(&mut loaded) != *expected {
        return Err("gives back other changes once loaded".into());
    }
    let hashes: Vec<ChangeHash> = doc.get_changes(&[]).iter().map(Change::hash).collect();
    let bundle = doc.bundle(hashes).map_err(|e| format!("bundle: {e}"))?;
    let again = Bundle::try_from(bundle.bytes()).map_err(|e| format!("bundle: {e}"))?;
    let again = again.to_changes().map_err(|e| format!("bundle: {e}"))?;
    if again.iter().map(|c| c.raw_bytes().to_vec()).collect::<BTreeSet<_>>() != *expected {
        return Err("bundles other changes".into());
    }
    loaded.hydrate(ROOT, None).map_err(|e| format!("hydrate: {e}"))?;
    look(&loaded, &ROOT)?;
    let value = serde_json::to_value(AutoSerde::from(&loaded)).map_err(|e| format!("read: {e}"))?;
    for mut doc in [doc, loaded] {
        doc.put(ROOT, "edited", 1).map_err(|e| format!("edit: {e}"))?;
        let mut editor = Editor::resume(7, doc);
        editor.edit(6);
        editor.docs[0].commit();
        let saved = editor.docs[0].save();
        Automerge::load(&saved).map_err(|e| format!("load after an edit: {e}"))?;
    }
    Ok(value)
}

/// How often a history is tried in an order of chance.
const RANDOM_ORDERS: usize = 2;

/// A causal order of chance, cut into up to three batches.
fn shuffled<'a>(history: &'a [Change], rng: &mut Rng) -> Vec<Vec<&'a Change>> {
    let mut left: Vec<&Change> = history.iter().collect();
    let mut waiting: BTreeSet<ChangeHash> = history.iter().map(Change::hash).collect();
    let mut batches = vec![Vec::new()];
    while !left.is_empty() {
        let ready: Vec<usize> =
            (0..left.len()).filter(|at| !left[*at].deps().iter().any(|dep| waiting.contains(dep))).collect();
        let change = left.remove(rng.pick(&ready));
        waiting.remove(&change.hash());
        batches.last_mut().expect("never empty").push(change);
        if batches.len() < 3 && rng.chance(60) {
            batches.push(Vec::new());
        }
    }
    batches
}

/// Orders in which a history could arrive, in batches: as it stands, with one change as early and as late as can be, and by chance.
fn orders<'a>(history: &'a [Change], early: &Change, seed: u64) -> Vec<Vec<Vec<&'a Change>>> {
    let mut wanted: BTreeSet<ChangeHash> = BTreeSet::from([early.hash()]);
    wanted.extend(early.deps());
    for change in history.iter().rev() {
        if wanted.contains(&change.hash()) {
            wanted.extend(change.deps());
        }
    }
    let (before, after): (Vec<_>, Vec<_>) = history.iter().partition(|c| wanted.contains(&c.hash()));
    let (others, late): (Vec<_>, Vec<_>) = history.iter().partition(|c| c.hash() != early.hash());
    let mut all = vec![vec![history.iter().collect()], vec![before, after], vec![others, late]];
    let mut rng = Rng::from_number(seed);
    all.extend((0..RANDOM_ORDERS).map(|_| shuffled(history, &mut rng)));
    all
}

/// Lives every replica through a history that ends with `newest`, and says what breaks. `seed` draws the orders of chance.
pub fn check(history: &[Change], newest: &Change, seed: u64) -> Result<(), String> {
    let expected: BTreeSet<Vec<u8>> = history.iter().map(|c| c.raw_bytes().to_vec()).collect();
    let mut read: Option<serde_json::Value> = None;
    for (number, batches) in orders(history, newest, seed).into_iter().enumerate() {
        let value = quietly(|| {
            let (first, rest) = batches.split_first().expect("at least one batch");
            let mut doc = apply(first)?;
            for batch in rest.iter().filter(|batch| !batch.is_empty()) {
                let batch: Vec<Change> = batch.iter().map(|c| (*c).clone()).collect();
                doc.apply_changes(batch).map_err(|e| e.to_string())?;
            }
            live(doc, &expected)
        });
        let value = value.map_err(|panic| format!("order {number} panics: {panic}"))?;
        let value = value.map_err(|e| format!("order {number}: {e}"))?;
        if read.as_ref().is_some_and(|read| *read != value) {
            return Err(format!("order {number} reads otherwise"));
        }
        read = Some(value);
    }
    Ok(())
}
