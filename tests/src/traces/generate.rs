//! Histories by a seeded generator: bursts of typing with corrections, and for two authors a delay until each sees the other.

use sync_core::rng::Rng;

use super::{Concurrent, Edit, Patch, Sequential, Transaction};

const WORDS: [&str; 12] =
    ["the ", "river ", "walks ", "über ", "a ", "quiet ", "stone, ", "and ", "nobody ", "answers.\n", "says ", "→ "];

/// What one author does next in a text of `len` characters of its own: types at its caret, corrects, or goes elsewhere.
struct Typist {
    rng: Rng,
    caret: usize,
    word: Vec<char>,
}

impl Typist {
    fn new(rng: Rng) -> Self {
        Self { rng, caret: 0, word: Vec::new() }
    }

    fn next(&mut self, len: usize) -> Patch {
        if self.caret > 0 && self.rng.chance(120) {
            self.caret -= 1;
            return Patch { position: self.caret, deleted: 1, inserted: String::new() };
        }
        if self.word.is_empty() {
            if self.rng.chance(60) {
                self.caret = self.rng.below(len as u64 + 1) as usize;
            }
            let word = WORDS[self.rng.below(WORDS.len() as u64) as usize];
            self.word = word.chars().rev().collect();
        }
        let character = self.word.pop().expect("no word is empty");
        self.caret += 1;
        Patch { position: self.caret - 1, deleted: 0, inserted: character.into() }
    }
}

fn apply(text: &mut Vec<char>, patch: &Patch) {
    text.splice(patch.position..patch.position + patch.deleted, patch.inserted.chars());
}

/// A history by one author.
pub fn generate_sequential(seed: u64, edits: usize) -> Sequential {
    let mut typist = Typist::new(Rng::from_number(seed));
    let mut text = Vec::new();
    let mut txns = Vec::with_capacity(edits);
    for _ in 0..edits {
        let patch = typist.next(text.len());
        apply(&mut text, &patch);
        txns.push(Edit { patches: vec![patch] });
    }
    Sequential { start_content: String::new(), end_content: text.into_iter().collect(), txns }
}

/// A history by two authors, each of whom sees the other's edits a little later. One writes above a line, one below it, so that they
/// never insert at the same place.
pub fn generate_concurrent(seed: u64, edits: usize) -> Concurrent {
    let mut rng = Rng::from_number(seed);
    let mut typists = [Typist::new(rng.fork()), Typist::new(rng.fork())];
    let line = Patch { position: 0, deleted: 0, inserted: "\n".into() };
    let mut txns = vec![Transaction { parents: vec![], agent: 0, patches: vec![line] }];
    let mut texts = [Vec::new(), Vec::new()];
    // Per author: last own transaction, last of the other that it has seen, and how long the upper text was there.
    let mut last = [0, 0];
    let mut seen = [0, 0];
    let mut upper_seen = 0;
    let mut upper_at = vec![0];
    let mut agent = 0;
    while txns.len() < edits.max(1) {
        if rng.chance(100) {
            agent = 1 - agent;
        }
        let mut parents = vec![last[agent]];
        let behind = rng.below(20) as usize;
        let other = (0..txns.len().saturating_sub(behind)).rev().find(|i| txns[*i].agent != agent);
        if let Some(other) = other.filter(|o| *o > seen[agent] && *o > last[agent]) {
            seen[agent] = other;
            upper_seen = if agent == 1 { upper_at[other] } else { upper_seen };
            let own_is_ancestor = agent == 1 && last[1] == 0 || knows(&txns, other, last[agent]);
            parents = if own_is_ancestor { vec![other] } else { vec![last[agent], other] };
        }
        let mut patch = typists[agent].next(texts[agent].len());
        apply(&mut texts[agent], &patch);
        patch.position += if agent == 1 { upper_seen + 1 } else { 0 };
        parents.sort_unstable();
        last[agent] = txns.len();
        txns.push(Transaction { parents, agent, patches: vec![patch] });
        upper_at.push(texts[0].len());
    }
    let [upper, lower] = texts.map(|t| t.into_iter().collect::<String>());
    Concurrent { end_content: format!("{upper}\n{lower}"), num_agents: 2, txns }
}

/// Whether `ancestor` is among the ancestors of `of`; looks no further back than `ancestor` itself.
fn knows(txns: &[Transaction], of: usize, ancestor: usize) -> bool {
    let mut todo = vec![of];
    let mut visited = std::collections::BTreeSet::new();
    while let Some(index) = todo.pop() {
        if index == ancestor {
            return true;
        }
        if visited.insert(index) {
            todo.extend(txns[index].parents.iter().filter(|p| **p >= ancestor));
        }
    }
    false
}
