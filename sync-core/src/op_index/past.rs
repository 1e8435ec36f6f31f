//! Which operations lie in the causal past of a change: for each actor its changes' last operations, and how far it had seen each other.
//!
//! Owns causality alone. What an operation is, stands in the runs beside it.
//!
//! An actor that joins late starts from what one of its deps had seen, instead of a copy of it: otherwise a document with many
//! actors would cost their number squared.

use std::collections::BTreeMap;

use super::saved::OUT_OF_RANGE;
use crate::pack::PackError;
use crate::pack::leb::{Reader, put_unsigned};
use crate::table::Place;

/// How many actors may stand on each other's past before one keeps a copy: bounds the walk for one question.
const DEPTH_MAX: u32 = 64;

/// Consecutive changes of one actor whose last operations lie `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChangeRun {
    seq: u32,
    last_op: u32,
    stride: u32,
}

/// From its change `from` on, the actor had seen the other's changes up to `seen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    from: u32,
    seen: u32,
}

#[derive(Clone, Debug, Default)]
struct ActorPast {
    seq: u32,
    last_op: u32,
    skipped: u64,
    runs: Vec<ChangeRun>,
    base: Option<Place>,
    depth: u32,
    seen: BTreeMap<u32, Vec<Step>>,
}

/// The causal past of every change of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    actors: Vec<ActorPast>,
    highest_op: u32,
    steps: usize,
}

/// A change about to be added to the past.
pub(crate) struct Addition<'a> {
    /// Where it will stand.
    pub(crate) place: Place,
    /// Where its deps stand.
    pub(crate) deps: &'a [Place],
    /// Its last operation, or that of its ancestors if it has none.
    pub(crate) last_op: u32,
    /// The operation counters it skips above the highest known.
    pub(crate) skipped: u64,
}

impl Past {
    /// Number of actors.
    pub(crate) fn actor_count(&self) -> u32 {
        self.actors.len() as u32
    }

    /// The highest operation of the document.
    pub(crate) fn highest_op(&self) -> u32 {
        self.highest_op
    }

    /// How many changes of an actor there are.
    pub(crate) fn seq(&self, actor: u32) -> u32 {
        self.actors.get(actor as usize).map_or(0, |a| a.seq)
    }

    /// How many counters an actor has skipped so far.
    pub(crate) fn skipped(&self, actor: u32) -> u64 {
        self.actors.get(actor as usize).map_or(0, |a| a.skipped)
    }

    /// Steps kept over all actors.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Highest change of `other` among the change at `place` and its ancestors; 0 if none.
    pub(crate) fn seen(&self, place: Place, other: u32) -> u32 {
        let mut place = place;
        loop {
            if place.actor == other {
                return place.seq;
            }
            let Some(past) = self.actors.get(place.actor as usize) else { return 0 };
            let step = past.seen.get(&other).and_then(|steps| {
                let index = steps.partition_point(|step| step.from <= place.seq).checked_sub(1)?;
                steps.get(index)
            });
            match (step, past.base) {
                (Some(step), _) => return step.seen,
                (None, Some(base)) => place = base,
                (None, None) => return 0,
            }
        }
    }

    /// Last operation of an actor's changes up to `seq`; 0 if there is none.
    pub(crate) fn last_op(&self, actor: u32, seq: u32) -> u32 {
        let Some(past) = self.actors.get(actor as usize) else { return 0 };
        let index = past.runs.partition_point(|run| run.seq <= seq);
        match index.checked_sub(1).and_then(|i| past.runs.get(i)) {
            Some(run) => run.last_op + (seq - run.seq) * run.stride,
            None => 0,
        }
    }

    /// The change of an actor that holds its operation with this counter, which is there.
    pub(crate) fn seq_of(&self, actor: u32, counter: u32) -> u32 {
        let Some(past) = self.actors.get(actor as usize) else { return 0 };
        let next = past.runs.partition_point(|run| run.last_op < counter);
        let end = past.runs.get(next).map_or(past.seq + 1, |run| run.seq);
        match next.checked_sub(1).and_then(|i| past.runs.get(i)) {
            Some(run) if run.stride > 0 => (run.seq + (counter - run.last_op).div_ceil(run.stride)).min(end),
            _ => end,
        }
    }

    /// Highest change of `other` among the ancestors of the change at `place`; 0 if none.
    pub(crate) fn seen_before(&self, place: Place, other: u32) -> u32 {
        if place.actor == other { place.seq - 1 } else { self.seen(place, other) }
    }

    /// Highest change of `other` among the ancestors of a change with these deps.
    pub(crate) fn seen_by(&self, deps: &[Place], other: u32) -> u32 {
        deps.iter().map(|dep| self.seen(*dep, other)).max().unwrap_or(0)
    }

    /// Highest operation among the ancestors of a change with these deps.
    pub(crate) fn highest_of(&self, deps: &[Place]) -> u32 {
        // A change's operations are above those of all its ancestors, and an empty one repeats theirs.
        deps.iter().map(|dep| self.last_op(dep.actor, dep.seq)).max().unwrap_or(0)
    }

    /// An upper bound on the steps that a change would add.
    pub(crate) fn steps_of(&self, place: Place, deps: &[Place]) -> usize {
        self.raised(place, deps, self.base_for(place, deps).map(|b| b.0)).len()
    }

    /// Adds a change behind its actor's last one.
    pub(crate) fn add(&mut self, addition: &Addition<'_>) {
        let Addition { place, deps, last_op, skipped } = *addition;
        let base = self.base_for(place, deps);
        let raised = self.raised(place, deps, base.map(|b| b.0));
        let index = place.actor as usize;
        if index == self.actors.len() {
            let (base, depth) = base.map_or((None, 0), |(base, depth)| (Some(base), depth));
            self.actors.push(ActorPast { base, depth, ..ActorPast::default() });
        }
        let past = &mut self.actors[index];
        debug_assert_eq!(past.seq + 1, place.seq);
        for (other, seen) in &raised {
            past.seen.entry(*other).or_default().push(Step { from: place.seq, seen: *seen });
        }
        self.steps += raised.len();
        past.extend_runs(place.seq, last_op);
        past.seq = place.seq;
        past.last_op = last_op;
        past.skipped += skipped;
        self.highest_op = self.highest_op.max(last_op);
    }

    /// The dep whose past a new actor starts from, and its depth.
    fn base_for(&self, place: Place, deps: &[Place]) -> Option<(Place, u32)> {
        if place.seq != 1 {
            return None;
        }
        let base = deps.iter().max_by_key(|dep| (self.last_op(dep.actor, dep.seq), **dep))?;
        let depth = self.actors.get(base.actor as usize)?.depth + 1;
        (depth <= DEPTH_MAX).then_some((*base, depth))
    }

    /// What a change would have seen beyond its actor's previous change, or beyond `base` if it is the first.
    fn raised(&self, place: Place, deps: &[Place], base: Option<Place>) -> BTreeMap<u32, u32> {
        let mut raised = BTreeMap::new();
        let before = match (place.seq, base) {
            (1, base) => base,
            (seq, _) => Some(Place { actor: place.actor, seq: seq - 1 }),
        };
        let known = |other: u32| before.map_or(0, |place| self.seen(place, other));
        for dep in deps.iter().filter(|dep| Some(**dep) != before && dep.actor != place.actor) {
            let since = known(dep.actor);
            if since >= dep.seq {
                continue;
            }
            for (other, seen) in self.news(*dep, since) {
                let held = raised.get(&other).copied().unwrap_or_else(|| known(other));
                if other != place.actor && seen > held {
                    raised.insert(other, seen);
                }
            }
        }
        raised
    }

    /// What the change at `place` had seen of each actor, at least where that is more than its actor's change `since` had.
    fn news(&self, place: Place, since: u32) -> BTreeMap<u32, u32> {
        let mut news = BTreeMap::from([(place.actor, place.seq)]);
        let mut next = Some(place);
        while let Some(here) = next
            && let Some(past) = self.actors.get(here.actor as usize)
        {
            for (other, steps) in &past.seen {
                // Whoever knows a change knows what its actor had seen by then.
                if since == 0 || steps.last().is_some_and(|step| step.from > since) {
                    let index = steps.partition_point(|step| step.from <= here.seq);
                    if let Some(step) = index.checked_sub(1).and_then(|i| steps.get(i)) {
                        news.entry(*other).or_insert(step.seen);
                    }
                }
            }
            next = past.base.filter(|_| since == 0);
            if let Some(base) = next {
                news.entry(base.actor).or_insert(base.seq);
            }
        }
        news
    }

    /// Appends the past to `out`.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for past in &self.actors {
            past.save(out);
        }
    }

    /// Reads what [`Past::save`] wrote.
    pub(super) fn restore(r: &mut Reader<'_>, actors: u32) -> Result<Self, PackError> {
        let mut past = Self::default();
        for number in 0..actors {
            let actor = ActorPast::restore(r, number, actors)?;
            past.highest_op = past.highest_op.max(actor.last_op);
            past.steps += actor.seen.values().map(Vec::len).sum::<usize>();
            past.actors.push(actor);
        }
        // Nobody has seen a change that is not there: how far its operations go can't be counted.
        let there = |other: u32, seq: u32| seq <= past.seq(other);
        let all = past.actors.iter().all(|actor| {
            let mut steps = actor.seen.iter().flat_map(|(other, steps)| steps.iter().map(|step| (*other, step.seen)));
            actor.base.is_none_or(|base| there(base.actor, base.seq)) && steps.all(|(other, seen)| there(other, seen))
        });
        if all { Ok(past) } else { Err(OUT_OF_RANGE) }
    }

    /// Bytes held, without what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        let of_actor = |past: &ActorPast| {
            let steps: usize = past.seen.values().map(|steps| 32 + steps.capacity() * size_of::<Step>()).sum();
            size_of::<ActorPast>() + past.runs.capacity() * size_of::<ChangeRun>() + steps
        };
        self.actors.iter().map(of_actor).sum()
    }
}

impl ActorPast {
    fn extend_runs(&mut self, seq: u32, last_op: u32) {
        match self.runs.last_mut() {
            Some(run) if run.seq == self.seq => run.stride = last_op - run.last_op,
            Some(run) if run.last_op + (seq - run.seq) * run.stride == last_op => {}
            _ => self.runs.push(ChangeRun { seq, last_op, stride: 0 }),
        }
    }
}

impl ActorPast {
    fn save(&self, out: &mut Vec<u8>) {
        put_unsigned(out, u64::from(self.seq));
        put_unsigned(out, u64::from(self.last_op));
        put_unsigned(out, self.skipped);
        put_unsigned(out, self.runs.len() as u64);
        let (mut seq, mut last_op) = (0, 0);
        for run in &self.runs {
            put_unsigned(out, u64::from(run.seq - seq));
            put_unsigned(out, u64::from(run.last_op - last_op));
            put_unsigned(out, u64::from(run.stride));
            (seq, last_op) = (run.seq, run.last_op);
        }
        put_unsigned(out, u64::from(self.depth));
        match self.base {
            None => put_unsigned(out, 0),
            Some(base) => {
                put_unsigned(out, u64::from(base.seq));
                put_unsigned(out, u64::from(base.actor));
            }
        }
        put_unsigned(out, self.seen.len() as u64);
        for (other, steps) in &self.seen {
            put_unsigned(out, u64::from(*other));
            put_unsigned(out, steps.len() as u64);
            let (mut from, mut seen) = (0, 0);
            for step in steps {
                put_unsigned(out, u64::from(step.from - from));
                put_unsigned(out, u64::from(step.seen - seen));
                (from, seen) = (step.from, step.seen);
            }
        }
    }

    fn restore(r: &mut Reader<'_>, number: u32, actors: u32) -> Result<Self, PackError> {
        let mut past = Self { seq: r.small()?, last_op: r.small()?, skipped: r.unsigned()?, ..Self::default() };
        let add = |a: u32, b: u32| a.checked_add(b).ok_or(OUT_OF_RANGE);
        let (mut seq, mut last_op) = (0, 0);
        for _ in 0..r.length()? {
            seq = add(seq, r.small()?)?;
            last_op = add(last_op, r.small()?)?;
            past.runs.push(ChangeRun { seq, last_op, stride: r.small()? });
        }
        // Each change of a run must have a last operation that can be counted.
        let mut ends = past.runs.iter().skip(1).map(|run| run.seq).chain([add(past.seq, 1)?]);
        let fits = past.runs.iter().all(|run| {
            let changes = ends.next().and_then(|end| end.checked_sub(run.seq)).unwrap_or(0);
            let last = changes.checked_sub(1).and_then(|n| n.checked_mul(run.stride));
            last.and_then(|n| n.checked_add(run.last_op)).is_some_and(|op| op <= past.last_op)
        });
        past.depth = r.small()?;
        let base = r.small()?;
        if base > 0 {
            past.base = Some(Place { actor: r.small()?, seq: base });
        }
        // An actor stands on one that came before it, so that no walk goes in a circle.
        let stands = past.base.is_none_or(|base| base.actor < number) && past.depth <= DEPTH_MAX;
        if past.seq == 0 || !fits || !stands {
            return Err(OUT_OF_RANGE);
        }
        for _ in 0..r.length()? {
            let other = r.small().ok().filter(|other| *other < actors).ok_or(OUT_OF_RANGE)?;
            let (mut from, mut seen, mut steps) = (0, 0, Vec::new());
            for _ in 0..r.length()? {
                from = add(from, r.small()?)?;
                seen = add(seen, r.small()?)?;
                steps.push(Step { from, seen });
            }
            past.seen.insert(other, steps);
        }
        Ok(past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(actor: u32, seq: u32) -> Place {
        Place { actor, seq }
    }

    /// Builds a random history beside a model that keeps every change's ancestors as a full clock.
    fn check(seed: u64, actors: u64, changes: usize) {
        let mut rng = crate::rng::Rng::from_number(seed);
        let mut past = Past::default();
        let mut clocks: BTreeMap<Place, (BTreeMap<u32, u32>, u32)> = BTreeMap::new();
        let mut held: Vec<u32> = Vec::new();
        for _ in 0..changes {
            let actor = rng.below(actors).min(held.len() as u64) as u32;
            if actor as usize == held.len() {
                held.push(0);
            }
            let seq = held[actor as usize] + 1;
            let mut deps = if seq > 1 { vec![place(actor, seq - 1)] } else { Vec::new() };
            for other in 0..held.len() as u32 {
                let upto = held[other as usize];
                if other != actor && upto > 0 && rng.chance(300) {
                    deps.push(place(other, upto - rng.below(u64::from(upto.min(3))) as u32));
                }
            }
            let mut clock: BTreeMap<u32, u32> = BTreeMap::new();
            let mut last_op = 0;
            for dep in &deps {
                let (seen, op) = &clocks[dep];
                for (other, seq) in seen {
                    let entry = clock.entry(*other).or_default();
                    *entry = (*entry).max(*seq);
                }
                last_op = last_op.max(*op);
            }
            assert_eq!(past.highest_of(&deps), last_op);
            for other in 0..held.len() as u32 {
                assert_eq!(past.seen_by(&deps, other), clock.get(&other).copied().unwrap_or(0));
            }
            let here = place(actor, seq);
            last_op += rng.below(3) as u32;
            past.add(&Addition { place: here, deps: &deps, last_op, skipped: 0 });
            clock.insert(actor, seq);
            clocks.insert(here, (clock, last_op));
            held[actor as usize] = seq;
        }
        for (here, (clock, last_op)) in &clocks {
            assert_eq!(past.last_op(here.actor, here.seq), *last_op);
            for other in 0..held.len() as u32 {
                assert_eq!(past.seen(*here, other), clock.get(&other).copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn the_past_is_what_a_full_clock_per_change_says() {
        for seed in 0..60 {
            check(seed, 1 + seed % 9, 120);
        }
        check(1000, 200, 400);
    }

    #[test]
    fn a_thousand_actors_that_join_one_after_another_cost_little() {
        let mut past = Past::default();
        for actor in 0..1000 {
            let deps: Vec<Place> = (actor > 0).then(|| place(actor - 1, 1)).into_iter().collect();
            past.add(&Addition { place: place(actor, 1), deps: &deps, last_op: actor + 1, skipped: 0 });
        }
        assert_eq!(past.seen(place(999, 1), 0), 1);
        assert!(past.steps() < 20_000, "{} steps", past.steps());
    }

    /// How far the operations of a change go that somebody had seen and that is not there was counted until the number overflowed.
    #[test]
    fn what_has_seen_or_stands_on_a_change_that_is_not_there_is_not_restored() {
        let honest = || {
            let mut past = Past::default();
            past.add(&Addition { place: place(0, 1), deps: &[], last_op: 1, skipped: 0 });
            past.add(&Addition { place: place(0, 2), deps: &[place(0, 1)], last_op: 5, skipped: 0 });
            past.add(&Addition { place: place(1, 1), deps: &[], last_op: 9, skipped: 0 });
            past
        };
        let restores = |past: &Past| {
            let mut saved = Vec::new();
            past.save(&mut saved);
            Past::restore(&mut Reader::new(&saved), 2).is_ok()
        };
        for (seq, whole) in [(2, true), (3, false), (u32::MAX, false)] {
            let mut past = honest();
            past.actors[1].base = Some(place(0, seq));
            assert_eq!(restores(&past), whole, "standing on {seq}");
            let mut past = honest();
            past.actors[1].seen.insert(0, vec![Step { from: 1, seen: seq }]);
            assert_eq!(restores(&past), whole, "having seen {seq}");
        }
    }
}
