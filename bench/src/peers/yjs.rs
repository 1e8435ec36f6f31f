//! What Yjs servers speak: updates of one character made without a document, and the messages around them.
//!
//! What comes in is read by yrs.

use std::ops::Range;

use yrs::updates::decoder::Decode as _;
use yrs::{ClientID, Update};

use super::lib0::{Reader, put_bytes, put_number};
use crate::figures::Error;

/// The author of a script; as large as one drawn by chance, since its size is on the wire.
pub(super) const AUTHOR: u64 = 0x7a3c_91d5;

/// The name of the text in the document.
pub(super) const TEXT: &str = "text";

/// The state vector of nothing.
pub(super) const EMPTY: &[u8] = &[0];

const NO_ELEMENT: u32 = u32::MAX;

/// An author who types into one text, one update a character.
#[derive(Debug)]
pub(super) struct Typist {
    /// For each element ever typed, by its clock, the one behind it, deleted or not.
    behind: Vec<u32>,
    first: u32,
    /// Elements that show, in order.
    shown: Vec<u32>,
}

impl Typist {
    /// Nothing typed yet.
    pub(super) fn new() -> Self {
        Self { behind: Vec::new(), first: NO_ELEMENT, shown: Vec::new() }
    }

    /// How much was ever typed.
    pub(super) fn clock(&self) -> u64 {
        self.behind.len() as u64
    }

    /// Types a character before position `at`.
    pub(super) fn insert(&mut self, at: usize, character: char) -> Result<Vec<u8>, Error> {
        if character.len_utf16() != 1 || at > self.shown.len() {
            return Err(format!("{character:?} can't be typed at {at}").into());
        }
        let clock = self.behind.len() as u32;
        let left = at.checked_sub(1).map(|left| self.shown[left]);
        let link = left.map_or(&mut self.first, |left| &mut self.behind[left as usize]);
        let right = std::mem::replace(link, clock);
        self.behind.push(right);
        self.shown.insert(at, clock);
        let right = (right != NO_ELEMENT).then_some(right);
        // One author with one element, from its clock on.
        let mut out = vec![1, 1];
        put_id(&mut out, clock);
        // A string, and whether it has neighbours.
        out.push(4 | if left.is_some() { 0x80 } else { 0 } | if right.is_some() { 0x40 } else { 0 });
        left.into_iter().chain(right).for_each(|id| put_id(&mut out, id));
        if left.is_none() && right.is_none() {
            out.push(1);
            put_bytes(&mut out, TEXT.as_bytes());
        }
        put_bytes(&mut out, character.encode_utf8(&mut [0; 4]).as_bytes());
        // Nothing is deleted.
        out.push(0);
        Ok(out)
    }

    /// Deletes the character at a position.
    pub(super) fn delete(&mut self, at: usize) -> Result<Vec<u8>, Error> {
        if at >= self.shown.len() {
            return Err(format!("nothing to delete at {at}").into());
        }
        let clock = self.shown.remove(at);
        // No elements; one author of whom one range of one is deleted.
        let mut out = vec![0, 1];
        put_number(&mut out, AUTHOR);
        out.push(1);
        put_number(&mut out, u64::from(clock));
        out.push(1);
        Ok(out)
    }
}

fn put_id(out: &mut Vec<u8>, clock: u32) {
    put_number(out, AUTHOR);
    put_number(out, u64::from(clock));
}

/// Which elements of the script's author an update brings, by their clocks.
pub(super) fn brought(update: &[u8]) -> Result<Vec<Range<u64>>, Error> {
    let brought = Update::decode_v1(update)?.insertions(true);
    let ranges = brought.get(&ClientID::new(AUTHOR)).into_iter().flat_map(|ranges| ranges.ranges());
    Ok(ranges.map(|range| u64::from(range.start)..u64::from(range.end)).collect())
}

/// A message from a server, as far as rows look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// It asks for what its state vector lacks.
    Step1(&'a [u8]),
    /// Its answer to the same question.
    Step2(&'a [u8]),
    /// An update that came to it.
    Update(&'a [u8]),
    /// It has taken an update in (Hocuspocus alone).
    Taken,
    /// Presence, permissions and the like.
    Other,
}

/// How messages to one document of a server begin: with its name, where a connection may have several.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    prefix: Vec<u8>,
    name: Option<String>,
}

impl Talk {
    /// With a name before each message, as Hocuspocus has it, or without.
    pub(super) fn new(name: Option<&str>) -> Self {
        let mut prefix = Vec::new();
        if let Some(name) = name {
            put_bytes(&mut prefix, name.as_bytes());
        }
        Self { prefix, name: name.map(Into::into) }
    }

    /// The first message to Hocuspocus: a token, here an empty one.
    pub(super) fn token(&self) -> Vec<u8> {
        [&self.prefix[..], &[2, 0, 0]].concat()
    }

    /// Asks for what a state vector lacks.
    pub(super) fn step1(&self, state_vector: &[u8]) -> Vec<u8> {
        self.sync(0, state_vector)
    }

    /// Answers the server's question.
    pub(super) fn step2(&self, update: &[u8]) -> Vec<u8> {
        self.sync(1, update)
    }

    /// Brings an update.
    pub(super) fn update(&self, update: &[u8]) -> Vec<u8> {
        self.sync(2, update)
    }

    fn sync(&self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.prefix.len() + bytes.len() + 8);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&[0, kind]);
        put_bytes(&mut out, bytes);
        out
    }

    /// Reads a frame.
    pub(super) fn read<'a>(&self, frame: &'a [u8]) -> Result<Said<'a>, Error> {
        let mut reader = Reader(frame);
        if let Some(name) = &self.name
            && reader.bytes()? != name.as_bytes()
        {
            return Err("a message for another document".into());
        }
        Ok(match reader.number()? {
            // A sync message, or the answer to one.
            0 | 4 => match reader.number()? {
                0 => Said::Step1(reader.bytes()?),
                1 => Said::Step2(reader.bytes()?),
                2 => Said::Update(reader.bytes()?),
                other => return Err(format!("sync message {other}").into()),
            },
            2 if reader.number()? == 0 => return Err("permission denied".into()),
            8 if reader.number()? == 0 => return Err("an update was refused".into()),
            8 => Said::Taken,
            _ => Said::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, GetString as _, ReadTxn as _, Transact as _, updates::encoder::Encode as _};

    use super::*;

    /// An update that brings nothing.
    const NOTHING: &[u8] = &[0, 0];

    fn apply(document: &Doc, update: &[u8]) {
        let update = Update::decode_v1(update).expect("an update");
        document.transact_mut().apply_update(update).expect("it applies");
    }

    #[test]
    fn typing_without_a_document_is_what_yrs_reads() {
        let (mut typist, mut expected, document) = (Typist::new(), Vec::new(), Doc::new());
        let text = document.get_or_insert_text(TEXT);
        for step in 0..500_usize {
            let (chance, letter) = (step.wrapping_mul(0x9e37_79b9) >> 7, char::from(b'a' + (step % 26) as u8));
            if chance.is_multiple_of(3) && !expected.is_empty() {
                let at = chance % expected.len();
                expected.remove(at);
                apply(&document, &typist.delete(at).expect("it is there"));
            } else {
                let at = chance % (expected.len() + 1);
                expected.insert(at, letter);
                apply(&document, &typist.insert(at, letter).expect("it fits"));
            }
            assert_eq!(typist.shown.len(), expected.len());
        }
        assert_eq!(text.get_string(&document.transact()), expected.iter().collect::<String>());
        assert_eq!(document.transact().state_vector().get(&ClientID::new(AUTHOR)), typist.clock() as u32);
    }

    #[test]
    fn merged_updates_tell_what_they_bring() {
        let mut typist = Typist::new();
        let updates: Vec<_> = "hello".chars().map(|c| typist.insert(typist.shown.len(), c).expect("it fits")).collect();
        assert_eq!(brought(&updates[3]).expect("an update").first(), Some(&(3..4)));
        let merged = yrs::merge_updates_v1([&updates[1], &updates[2], &updates[4]]).expect("they merge");
        assert_eq!(brought(&merged).expect("an update"), [1..3, 4..5]);
        assert!(brought(&typist.delete(0).expect("it is there")).expect("an update").is_empty());
        assert!(brought(NOTHING).expect("an update").is_empty());
        assert_eq!(yrs::StateVector::default().encode_v1(), EMPTY);
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        for name in [None, Some("text/1")] {
            let talk = Talk::new(name);
            assert_eq!(talk.read(&talk.step1(EMPTY)).expect("a message"), Said::Step1(EMPTY));
            assert_eq!(talk.read(&talk.step2(NOTHING)).expect("a message"), Said::Step2(NOTHING));
            assert_eq!(talk.read(&talk.update(&[1; 200])).expect("a message"), Said::Update(&[1; 200]));
        }
        let named = Talk::new(Some("a"));
        assert_eq!(named.read(&[1, b'a', 8, 1]).expect("a message"), Said::Taken);
        assert_eq!(named.read(&[1, b'a', 2, 2, 0]).expect("a message"), Said::Other);
        assert!(named.read(&[1, b'a', 8, 0]).is_err());
        assert!(named.read(&[1, b'a', 2, 0, 0]).is_err());
        assert!(named.read(&[1, b'b', 8, 1]).is_err());
        assert_eq!(named.token(), [1, b'a', 2, 0, 0]);
    }
}
