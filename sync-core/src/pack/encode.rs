//! Writing packs.
//!
//! A change that the packed form can't express to the byte is written whole, so every change can be packed.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder};

use super::chunk::{Columns, Fields};
use super::columns::{COLUMNS_MAX, Layout, Layouts, make_absolute, make_relative};
use super::leb::{put_prefixed, put_signed, put_unsigned};
use super::{DEFLATED, PackContext, PackError, Piece, VERSION, digest, flags};
use crate::id::{ActorId, ChangeHash};

/// A body is deflated if it is longer than this and becomes shorter by it.
const DEFLATE_BYTES_MIN: usize = 100;

pub(super) fn encode<P: Piece>(changes: &[P], base: u32, context: &dyn PackContext) -> Result<Bytes, PackError> {
    let mut numbers = Numbers { base, context, introduced: Vec::new(), by_actor: BTreeMap::new() };
    for change in changes {
        numbers.introduce(change.actor());
    }
    let mut writer = Writer {
        indices: changes.iter().enumerate().map(|(i, change)| (change.hash(), i)).collect(),
        numbers,
        layouts: Layouts::usual(),
        authors: BTreeMap::new(),
        author: 0,
        start_op: 0,
        time: 0,
        before: None,
        streams: Streams::default(),
        writes: BTreeMap::new(),
    };
    for (index, change) in changes.iter().enumerate() {
        writer.change(index, change)?;
    }
    let mut out = vec![VERSION];
    put_unsigned(&mut out, changes.len() as u64);
    put_unsigned(&mut out, u64::from(base));
    put_unsigned(&mut out, writer.numbers.introduced.len() as u64);
    for actor in &writer.numbers.introduced {
        put_prefixed(&mut out, actor.to_bytes());
    }
    out.extend_from_slice(&digest(changes));
    let body = writer.body();
    if body.len() > DEFLATE_BYTES_MIN {
        let deflated = deflate(&body);
        if deflated.len() < body.len() {
            out[0] |= DEFLATED;
            out.extend_from_slice(&deflated);
            return Ok(out.into());
        }
    }
    out.extend_from_slice(&body);
    Ok(out.into())
}

pub(crate) fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(body.len() / 2), Compression::new(9));
    encoder.write_all(body).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// Numbers of actors, introducing those that the receiver does not know.
struct Numbers<'a> {
    base: u32,
    context: &'a dyn PackContext,
    introduced: Vec<ActorId>,
    by_actor: BTreeMap<ActorId, u32>,
}

impl Numbers<'_> {
    fn introduce(&mut self, actor: &ActorId) -> u32 {
        if let Some(number) = self.by_actor.get(actor) {
            return *number;
        }
        let number = self.context.number(actor).filter(|number| *number < self.base).unwrap_or_else(|| {
            self.introduced.push(actor.clone());
            self.base + (self.introduced.len() - 1) as u32
        });
        self.by_actor.insert(actor.clone(), number);
        number
    }
}

/// The parts of the body, in the order in which they are written.
#[derive(Default)]
struct Streams {
    flags: Vec<u8>,
    authors: Vec<u8>,
    seqs: Vec<u8>,
    deps: Vec<u8>,
    starts: Vec<u8>,
    times: Vec<u8>,
    others: Vec<u8>,
    layouts: Vec<u8>,
    masks: Vec<u8>,
    lengths: Vec<u8>,
    messages: Vec<u8>,
    extras: Vec<u8>,
    whole: Vec<u8>,
}

/// An author's state within the pack.
#[derive(Default)]
struct Author {
    seq: u32,
    hash: Option<ChangeHash>,
    others: Vec<u32>,
}

struct Writer<'a> {
    numbers: Numbers<'a>,
    indices: BTreeMap<ChangeHash, usize>,
    layouts: Layouts<'a>,
    authors: BTreeMap<u32, Author>,
    author: u32,
    start_op: i64,
    time: i64,
    before: Option<ChangeHash>,
    streams: Streams,
    /// Columns written out, by layout and column: the bytes of all changes behind one another.
    writes: BTreeMap<(usize, usize), Vec<u8>>,
}

impl<'a> Writer<'a> {
    fn change(&mut self, index: usize, change: &'a impl Piece) -> Result<(), PackError> {
        let mut flag = 0;
        let number = self.numbers.introduce(change.actor());
        if number != self.author {
            flag |= flags::AUTHOR;
            put_unsigned(&mut self.streams.authors, u64::from(number));
        }
        self.author = number;
        let last = self.authors.entry(number).or_default();
        if u64::from(change.seq()) != u64::from(last.seq) + 1 {
            flag |= flags::SEQ;
            put_unsigned(&mut self.streams.seqs, u64::from(change.seq()));
        }
        match self.expressible(change) {
            Some((fields, start_op)) => {
                flag |= self.deps(index, change)?;
                flag |= self.fields(number, fields, start_op);
            }
            None => {
                flag |= flags::WHOLE;
                put_prefixed(&mut self.streams.whole, change.bytes());
            }
        }
        self.streams.flags.push(flag);
        let author = self.authors.entry(number).or_default();
        author.seq = change.seq();
        author.hash = Some(change.hash());
        self.before = Some(change.hash());
        Ok(())
    }

    /// The change's fields with relative counters, and its start operation, if the reader would get the same bytes back from them.
    fn expressible(&self, change: &'a impl Piece) -> Option<(Fields<'a>, i64)> {
        let mut fields = Fields::parse(change.bytes()).ok()?;
        let start_op = i64::try_from(fields.start_op).ok()?;
        start_op.checked_sub(self.start_op)?;
        fields.time.checked_sub(self.time)?;
        if fields.columns.len() > COLUMNS_MAX || fields.start_op == 0 {
            return None;
        }
        let absolute = fields.columns.clone();
        make_relative(&mut fields.columns, start_op).ok()?;
        let mut back = fields.columns.clone();
        make_absolute(&mut back, start_op).ok()?;
        (back == absolute).then_some((fields, start_op))
    }

    fn deps(&mut self, index: usize, change: &impl Piece) -> Result<u8, PackError> {
        let deps = change.deps();
        if let [only] = deps {
            if self.before.as_ref() == Some(only) {
                return Ok(flags::DEPS_BEFORE);
            }
            if self.own_before(change).as_ref() == Some(only) {
                return Ok(flags::DEPS_OWN);
            }
        }
        if deps.is_empty() {
            return Ok(flags::DEPS_NONE);
        }
        put_unsigned(&mut self.streams.deps, deps.len() as u64);
        for dep in deps {
            if let Some(at) = self.indices.get(dep).filter(|at| **at < index) {
                put_unsigned(&mut self.streams.deps, ((index - at) as u64) << 1 | 1);
                continue;
            }
            let (actor, seq) = self.numbers.context.locate(dep).ok_or(PackError::UnknownDep(*dep))?;
            let number = self.numbers.introduce(&actor);
            put_unsigned(&mut self.streams.deps, u64::from(number) << 1);
            put_unsigned(&mut self.streams.deps, u64::from(seq));
        }
        Ok(flags::DEPS_WRITTEN)
    }

    /// The change before this one by the same author.
    fn own_before(&self, change: &impl Piece) -> Option<ChangeHash> {
        let seq = change.seq() - 1;
        let author = self.authors.get(&self.author)?;
        if author.seq == seq && author.hash.is_some() {
            return author.hash;
        }
        self.numbers.context.hash(change.actor(), seq)
    }

    fn fields(&mut self, number: u32, fields: Fields<'a>, start_op: i64) -> u8 {
        let mut flag = 0;
        put_signed(&mut self.streams.starts, start_op - self.start_op);
        put_signed(&mut self.streams.times, fields.time - self.time);
        (self.start_op, self.time) = (start_op, fields.time);
        let others: Vec<u32> = fields.others.iter().map(|actor| self.numbers.introduce(actor)).collect();
        let author = self.authors.entry(number).or_default();
        if author.others != others {
            flag |= flags::OTHERS;
            put_unsigned(&mut self.streams.others, others.len() as u64);
            others.iter().for_each(|other| put_unsigned(&mut self.streams.others, u64::from(*other)));
            author.others = others;
        }
        self.columns(fields.columns);
        if !fields.message.is_empty() {
            flag |= flags::MESSAGE;
            put_prefixed(&mut self.streams.messages, fields.message);
        }
        if !fields.extra.is_empty() {
            flag |= flags::EXTRA;
            put_prefixed(&mut self.streams.extras, fields.extra);
        }
        flag
    }

    fn columns(&mut self, columns: Columns<'a>) {
        let known = self.layouts.find(&columns);
        let id = known.unwrap_or_else(|| self.layouts.push(columns.iter().map(|(spec, _)| *spec)));
        put_unsigned(&mut self.streams.layouts, id as u64);
        if known.is_none() {
            put_unsigned(&mut self.streams.layouts, columns.len() as u64);
            columns.iter().for_each(|(spec, _)| put_unsigned(&mut self.streams.layouts, u64::from(*spec)));
        }
        let layout = &self.layouts.0[id];
        let mut mask = 0u64;
        for (j, (_, bytes)) in columns.iter().enumerate() {
            if layout.column(j).1 != &**bytes {
                mask |= 1 << j;
                put_unsigned(&mut self.streams.lengths, bytes.len() as u64);
                self.writes.entry((id, j)).or_default().extend_from_slice(bytes);
            }
        }
        put_unsigned(&mut self.streams.masks, mask);
        self.layouts.0[id] = Layout::Last(columns);
    }

    fn body(self) -> Vec<u8> {
        let s = self.streams;
        let mut out = Vec::new();
        for stream in [s.flags, s.authors, s.seqs, s.deps, s.starts, s.times, s.others, s.layouts, s.masks, s.lengths] {
            out.extend_from_slice(&stream);
        }
        self.writes.values().for_each(|bytes| out.extend_from_slice(bytes));
        for stream in [s.messages, s.extras, s.whole] {
            out.extend_from_slice(&stream);
        }
        out
    }
}
