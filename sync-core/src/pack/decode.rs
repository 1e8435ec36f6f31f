//! Reading packs.
//!
//! Trusts nothing: every number is checked before it is used, and nothing is re-created beyond the limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::bufread::DeflateDecoder;

use super::chunk::{Columns, Fields};
use super::columns::{COLUMNS_MAX, Layout, Layouts, make_absolute};
use super::leb::Reader;
use super::{ACTOR_BYTES_MAX, Names, PackContext, PackError, Piece, digest, flags, read_start};
use crate::change::{Change, ChangeError, Counts, ScanError};
use crate::id::{ActorId, ChangeHash};
use crate::limits::{ChangeLimits, PackLimits};

/// A pack's parts before its changes are made.
struct Opened<'a> {
    count: usize,
    numbers: Numbers<'a>,
    expected: &'a [u8],
    body: Cow<'a, [u8]>,
}

fn open<'a>(bytes: &'a [u8], context: &'a dyn PackContext, limits: &PackLimits) -> Result<Opened<'a>, PackError> {
    let mut r = Reader::new(bytes);
    let (deflated, count) = read_start(&mut r)?;
    let count = count as usize;
    if count > limits.changes_max {
        return Err(PackError::TooLarge("changes"));
    }
    let base = r.small()?;
    let numbers = Numbers { base, context, introduced: read_actors(&mut r, base, context, limits)? };
    let expected = r.take(8)?;
    let body = if deflated { inflate(r.rest(), limits.inflated_bytes_max)?.into() } else { Cow::Borrowed(r.rest()) };
    if body.len() > limits.inflated_bytes_max {
        return Err(PackError::TooLarge("bytes"));
    }
    Ok(Opened { count, numbers, expected, body })
}

pub(super) fn names(bytes: &[u8], context: &dyn PackContext, limits: &PackLimits) -> Result<Names, PackError> {
    let Opened { count, numbers, body, .. } = open(bytes, context, limits)?;
    let mut names = Names::default();
    let mut seqs: BTreeMap<u32, u32> = BTreeMap::new();
    for plan in read_body(&body, count, limits)? {
        let actor = numbers.actor(plan.author)?.clone();
        let last = seqs.entry(plan.author).or_default();
        let before = *last;
        *last = plan.seq.or(before.checked_add(1)).ok_or(PackError::Malformed("a seq is out of range"))?;
        if plan.is_whole() {
            let whole = Change::parse(plan.whole, &limits.change).map(|change| change.deps().to_vec());
            names.hashes.extend(whole.unwrap_or_default());
        }
        let own = plan.flags & flags::DEPS == flags::DEPS_OWN && before.checked_add(1) != Some(*last);
        names.places.extend([*last, last.wrapping_sub(u32::from(own))].map(|seq| (actor.clone(), seq)));
        for dep in &plan.deps {
            if let Dep::At(number, seq) = dep {
                names.places.insert((numbers.actor(*number)?.clone(), *seq));
            }
        }
    }
    Ok(names)
}

/// A pack's changes, how many actors it takes as known, and those that it introduces.
pub(super) fn pieces<P: Piece>(
    bytes: &[u8],
    context: &dyn PackContext,
    limits: &PackLimits,
) -> Result<(Vec<P>, u32, Vec<ActorId>), PackError> {
    let Opened { count, numbers, expected, body } = open(bytes, context, limits)?;
    let base = numbers.base;
    let plans = read_body(&body, count, limits)?;
    let mut maker = Maker {
        numbers,
        limits,
        layouts: Layouts::usual(),
        authors: BTreeMap::new(),
        start_op: 0,
        time: 0,
        changes: Vec::with_capacity(count),
        raw_bytes: 0,
        counts: Counts::default(),
    };
    for plan in plans {
        maker.change(plan)?;
    }
    if digest(&maker.changes) != expected {
        return Err(PackError::DigestMismatch);
    }
    Ok((maker.changes, base, maker.numbers.introduced))
}

fn read_actors(
    r: &mut Reader<'_>,
    base: u32,
    context: &dyn PackContext,
    limits: &PackLimits,
) -> Result<Vec<ActorId>, PackError> {
    let count = r.length()?;
    if count > limits.change.actors_max {
        return Err(PackError::TooLarge("actors"));
    }
    let mut actors = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..count {
        let bytes = r.take_prefixed()?;
        if bytes.len() > ACTOR_BYTES_MAX {
            return Err(PackError::TooLarge("an actor"));
        }
        let actor = ActorId::from(bytes);
        let known = context.number(&actor).is_some_and(|number| number < base);
        if known || !seen.insert(actor.clone()) {
            return Err(PackError::Malformed("it introduces an actor twice"));
        }
        actors.push(actor);
    }
    Ok(actors)
}

pub(crate) fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, PackError> {
    let mut decoder = DeflateDecoder::new(deflated);
    let mut out = Vec::new();
    let read = decoder.by_ref().take(bytes_max as u64 + 1).read_to_end(&mut out);
    read.map_err(|_| PackError::Malformed("it does not inflate"))?;
    if out.len() > bytes_max {
        return Err(PackError::TooLarge("bytes once inflated"));
    }
    if decoder.total_in() != deflated.len() as u64 {
        return Err(PackError::Malformed("bytes are left over"));
    }
    Ok(out)
}

/// Numbers back to actors.
struct Numbers<'a> {
    base: u32,
    context: &'a dyn PackContext,
    introduced: Vec<ActorId>,
}

impl Numbers<'_> {
    fn actor(&self, number: u32) -> Result<&ActorId, PackError> {
        let known = match number.checked_sub(self.base) {
            None => self.context.actor(number),
            Some(index) => self.introduced.get(index as usize),
        };
        known.ok_or(PackError::UnknownActor(number))
    }
}

/// One dependency as written.
enum Dep {
    /// So many changes back in this pack.
    Back(usize),
    /// An actor's number and a seq.
    At(u32, u32),
}

/// What the body says about one change.
#[derive(Default)]
struct Plan<'a> {
    flags: u8,
    author: u32,
    seq: Option<u32>,
    deps: Vec<Dep>,
    start_op: i64,
    time: i64,
    others: Option<Vec<u32>>,
    layout: usize,
    /// The specifications of a layout that this change introduces.
    specs: Option<Vec<u32>>,
    mask: u64,
    written: Vec<(usize, &'a [u8])>,
    message: &'a [u8],
    extra: &'a [u8],
    whole: &'a [u8],
}

impl Plan<'_> {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn is_whole(&self) -> bool {
        self.has(flags::WHOLE)
    }
}

fn read_body<'a>(body: &'a [u8], count: usize, limits: &PackLimits) -> Result<Vec<Plan<'a>>, PackError> {
    let mut r = Reader::new(body);
    let mut plans: Vec<Plan<'a>> =
        r.take(count)?.iter().map(|flags| Plan { flags: *flags, ..Plan::default() }).collect();
    let mut author = 0;
    for plan in &mut plans {
        if plan.has(flags::AUTHOR) {
            author = r.small()?;
        }
        plan.author = author;
        let also = flags::DEPS | flags::MESSAGE | flags::EXTRA | flags::OTHERS;
        if plan.is_whole() && plan.has(also) {
            return Err(PackError::Malformed("a whole change has parts"));
        }
    }
    for plan in plans.iter_mut().filter(|plan| plan.has(flags::SEQ)) {
        plan.seq = Some(r.small()?);
    }
    let mut deps = 0usize;
    for plan in plans.iter_mut().filter(|plan| plan.flags & flags::DEPS == flags::DEPS_WRITTEN) {
        let len = r.length()?;
        deps = deps.saturating_add(len);
        if len > limits.change.deps_max || deps > limits.raw_bytes_max / 32 {
            return Err(PackError::TooLarge("deps"));
        }
        plan.deps = (0..len).map(|_| read_dep(&mut r)).collect::<Result<_, _>>()?;
    }
    for plan in plans.iter_mut().filter(|plan| !plan.is_whole()) {
        plan.start_op = r.signed()?;
    }
    for plan in plans.iter_mut().filter(|plan| !plan.is_whole()) {
        plan.time = r.signed()?;
    }
    for plan in plans.iter_mut().filter(|plan| plan.has(flags::OTHERS)) {
        let len = r.length()?;
        if len > limits.change.actors_max {
            return Err(PackError::TooLarge("actors"));
        }
        plan.others = Some((0..len).map(|_| r.small()).collect::<Result<_, _>>()?);
    }
    read_columns(&mut r, &mut plans)?;
    for plan in plans.iter_mut().filter(|plan| plan.has(flags::MESSAGE)) {
        plan.message = r.take_prefixed()?;
    }
    for plan in plans.iter_mut().filter(|plan| plan.has(flags::EXTRA)) {
        plan.extra = r.take_prefixed()?;
    }
    for plan in plans.iter_mut().filter(|plan| plan.is_whole()) {
        plan.whole = r.take_prefixed()?;
    }
    if r.is_empty() { Ok(plans) } else { Err(PackError::Malformed("bytes are left over")) }
}

fn read_dep(r: &mut Reader<'_>) -> Result<Dep, PackError> {
    let word = r.unsigned()?;
    let out_of_range = PackError::Malformed("a number exceeds 32 bits");
    let high = u32::try_from(word >> 1).map_err(|_| out_of_range)?;
    Ok(if word & 1 == 1 { Dep::Back(high as usize) } else { Dep::At(high, r.small()?) })
}

fn read_columns<'a>(r: &mut Reader<'a>, plans: &mut [Plan<'a>]) -> Result<(), PackError> {
    // How many columns each layout has.
    let mut widths: Vec<usize> = Layouts::usual().0.iter().map(Layout::len).collect();
    for plan in plans.iter_mut().filter(|plan| !plan.is_whole()) {
        plan.layout = r.length()?;
        if plan.layout == widths.len() {
            let width = r.length()?;
            if width > COLUMNS_MAX {
                return Err(PackError::TooLarge("columns"));
            }
            plan.specs = Some((0..width).map(|_| r.small()).collect::<Result<_, _>>()?);
            widths.push(width);
        }
        if plan.layout >= widths.len() {
            return Err(PackError::Malformed("unknown layout"));
        }
    }
    for plan in plans.iter_mut().filter(|plan| !plan.is_whole()) {
        plan.mask = r.unsigned()?;
        if plan.mask >> widths[plan.layout] != 0 {
            return Err(PackError::Malformed("a layout has no such column"));
        }
    }
    let mut order = Vec::new();
    for (index, plan) in plans.iter().enumerate().filter(|(_, plan)| !plan.is_whole()) {
        for column in (0..widths[plan.layout]).filter(|column| plan.mask >> column & 1 == 1) {
            order.push((plan.layout, column, index, r.length()?));
        }
    }
    order.sort_unstable_by_key(|(layout, column, index, _)| (*layout, *column, *index));
    for (_, column, index, len) in order {
        plans[index].written.push((column, r.take(len)?));
    }
    Ok(())
}

/// An author's state within the pack.
#[derive(Default)]
struct Author {
    seq: u32,
    hash: Option<ChangeHash>,
    others: Vec<u32>,
}

/// Re-creates the changes one by one.
struct Maker<'a, P> {
    numbers: Numbers<'a>,
    limits: &'a PackLimits,
    layouts: Layouts<'a>,
    authors: BTreeMap<u32, Author>,
    start_op: i64,
    time: i64,
    changes: Vec<P>,
    raw_bytes: usize,
    counts: Counts,
}

impl<'a, P: Piece> Maker<'a, P> {
    fn change(&mut self, plan: Plan<'a>) -> Result<(), PackError> {
        let actor = self.numbers.actor(plan.author)?.clone();
        let last = self.authors.get(&plan.author).map_or(0, |author| author.seq);
        let seq = match plan.seq {
            Some(seq) => seq,
            None => last.checked_add(1).ok_or(PackError::Malformed("a seq is out of range"))?,
        };
        let number = plan.author;
        let change = if plan.is_whole() {
            let len = plan.whole.len();
            self.made(len, |limits| P::from_chunk(plan.whole, limits))?
        } else {
            let fields = self.fields(plan, actor.clone(), seq)?;
            self.made(0, |limits| P::from_fields(fields, limits))?
        };
        if change.seq() != seq || *change.actor() != actor {
            return Err(PackError::Malformed("a whole change is another's"));
        }
        let author = self.authors.entry(number).or_default();
        author.seq = seq;
        author.hash = Some(change.hash());
        self.changes.push(change);
        Ok(())
    }

    /// Makes a change of at least so many bytes, within what is left of the limits.
    fn made(
        &mut self,
        bytes: usize,
        make: impl FnOnce(&ChangeLimits) -> Result<(P, Counts), ChangeError>,
    ) -> Result<P, PackError> {
        self.room_for(bytes)?;
        let index = self.changes.len();
        let (operations, predecessors) = (
            self.limits.operations_max - self.counts.operations,
            self.limits.predecessors_max - self.counts.predecessors,
        );
        let each = &self.limits.change;
        let limits = ChangeLimits {
            operations_max: each.operations_max.min(operations),
            predecessors_max: each.predecessors_max.min(predecessors),
            ..*each
        };
        let (change, counts) = make(&limits).map_err(|error| match error {
            // Beyond what the whole pack may have, though the change alone may have it.
            ChangeError::Scan(ScanError::TooMany { what: "operations", count, .. }) if count <= each.operations_max => {
                PackError::TooLarge("operations")
            }
            ChangeError::Scan(ScanError::TooMany { what: "predecessors", count, .. })
                if count <= each.predecessors_max =>
            {
                PackError::TooLarge("predecessors")
            }
            error => PackError::Change { index, error },
        })?;
        self.counts.operations += counts.operations;
        self.counts.predecessors += counts.predecessors;
        self.room_for(change.bytes().len())?;
        self.raw_bytes += change.bytes().len();
        Ok(change)
    }

    fn room_for(&self, bytes: usize) -> Result<(), PackError> {
        let fits = self.raw_bytes.saturating_add(bytes) <= self.limits.raw_bytes_max;
        if fits { Ok(()) } else { Err(PackError::TooLarge("bytes of changes")) }
    }

    fn fields(&mut self, mut plan: Plan<'a>, actor: ActorId, seq: u32) -> Result<Fields<'a>, PackError> {
        let out_of_range = PackError::Malformed("a start operation is out of range");
        self.start_op = self.start_op.checked_add(plan.start_op).filter(|op| *op > 0).ok_or(out_of_range)?;
        let out_of_range = PackError::Malformed("a time is out of range");
        self.time = self.time.checked_add(plan.time).ok_or(out_of_range)?;
        // Before anything is copied: a pack may name one long column many times.
        self.room_for(self.size(&plan))?;
        let deps = self.deps(&plan, &actor, seq)?;
        let others = self.others(&mut plan)?;
        let mut columns = self.columns(&plan)?;
        make_absolute(&mut columns, self.start_op)?;
        Ok(Fields {
            deps,
            actor,
            seq: u64::from(seq),
            start_op: self.start_op as u64,
            time: self.time,
            message: plan.message,
            others,
            columns,
            extra: plan.extra,
        })
    }

    /// No more bytes than the change will have.
    fn size(&self, plan: &Plan<'_>) -> usize {
        let kept = self.layouts.0.get(plan.layout).map_or(0, |layout| {
            (0..layout.len()).filter(|j| plan.mask >> j & 1 == 0).map(|j| layout.column(j).1.len()).sum()
        });
        let written = plan.written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let others = match &plan.others {
            Some(others) => others.len(),
            None => self.authors.get(&plan.author).map_or(0, |author| author.others.len()),
        };
        32 * plan.deps.len() + others + kept + written + plan.message.len() + plan.extra.len()
    }

    fn deps(&self, plan: &Plan<'_>, actor: &ActorId, seq: u32) -> Result<Vec<ChangeHash>, PackError> {
        match plan.flags & flags::DEPS {
            flags::DEPS_NONE => Ok(Vec::new()),
            flags::DEPS_BEFORE => Ok(vec![self.back(1)?]),
            flags::DEPS_OWN => {
                let before = seq.checked_sub(1).ok_or(PackError::Malformed("a seq is out of range"))?;
                let own = self.authors.get(&plan.author).filter(|author| author.seq == before).and_then(|a| a.hash);
                Ok(vec![own.map_or_else(|| self.held(actor, before), Ok)?])
            }
            _ => {
                let resolve = |dep: &Dep| match dep {
                    Dep::Back(distance) => self.back(*distance),
                    Dep::At(number, seq) => self.held(self.numbers.actor(*number)?, *seq),
                };
                let mut deps = plan.deps.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
                deps.sort_unstable();
                Ok(deps)
            }
        }
    }

    fn back(&self, distance: usize) -> Result<ChangeHash, PackError> {
        let index = self.changes.len().checked_sub(distance).filter(|_| distance > 0);
        index.map(|i| self.changes[i].hash()).ok_or(PackError::Malformed("a dep lies before the pack"))
    }

    fn held(&self, actor: &ActorId, seq: u32) -> Result<ChangeHash, PackError> {
        let held = self.numbers.context.hash(actor, seq);
        held.ok_or_else(|| PackError::MissingDep { actor: actor.clone(), seq })
    }

    fn others(&mut self, plan: &mut Plan<'_>) -> Result<Vec<ActorId>, PackError> {
        let author = self.authors.entry(plan.author).or_default();
        if let Some(others) = plan.others.take() {
            author.others = others;
        }
        author.others.iter().map(|number| self.numbers.actor(*number).cloned()).collect()
    }

    fn columns(&mut self, plan: &Plan<'a>) -> Result<Columns<'a>, PackError> {
        if let Some(specs) = &plan.specs {
            self.layouts.push(specs.iter().copied());
        }
        let layout = self.layouts.0.get_mut(plan.layout).ok_or(PackError::Malformed("unknown layout"))?;
        let columns = layout.columns();
        for (column, bytes) in &plan.written {
            columns[*column].1 = Cow::Borrowed(bytes);
        }
        Ok(columns.clone())
    }
}
