//! A document's value alone, as bytes: what can be read before its history has come.
//!
//! Owns the byte format described in docs/storage-format.md, and how deep and how large a value may be. Knows no history, ids or conflicts:
//! of each place it holds the value that an application reads, of texts with their marks.

use std::collections::BTreeMap;

use automerge::marks::Mark;
use automerge::{ObjId, Prop, ROOT, ReadDoc, ScalarValue, Value, hydrate};
use bytes::Bytes;

use crate::id::RESERVED_KEY;
use crate::limits::{VIEW_BYTES_MAX, VIEW_DEPTH_MAX};
use crate::pack::leb::{Reader, put_prefixed, put_signed, put_unsigned};
use crate::pack::{PackError, seal, unseal};

/// Of a view with marks. One without is as a reader of the first version knows it.
const VERSION: u8 = 2;

/// What a value is, in the byte before it.
mod kinds {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const UINT: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const F64: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const BYTES: u8 = 7;
    pub(super) const COUNTER: u8 = 8;
    pub(super) const TIMESTAMP: u8 = 9;
    pub(super) const TEXT: u8 = 10;
    pub(super) const LIST: u8 = 11;
    pub(super) const MAP: u8 = 12;
    pub(super) const OTHER: u8 = 13;
    pub(super) const MARKED_TEXT: u8 = 14;
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// Anything without parts.
    Scalar(ScalarValue),
    /// A text that several people edit, and its marks, by characters.
    Text(String, Vec<Mark>),
    /// A list of values.
    List(Vec<View>),
    /// Values by key.
    Map(BTreeMap<String, View>),
}

impl View {
    /// The value of a document, without what is the engine's own. `None` if it nests deeper than a view may.
    pub fn of(document: &impl ReadDoc) -> Option<Self> {
        let mut view = Self::from_hydrated(&document.hydrate(ROOT, None).ok()?, 0)?;
        if let Self::Map(entries) = &mut view {
            entries.remove(RESERVED_KEY);
        }
        view.mark(document, &ROOT);
        Some(view)
    }

    /// Adds the marks of all texts in the value of an object.
    fn mark(&mut self, document: &impl ReadDoc, object: &ObjId) {
        let mark = |part: &mut Self, at: Prop| {
            if let (false, Ok(Some((Value::Object(_), id)))) =
                (matches!(part, Self::Scalar(_)), document.get(object, at))
            {
                part.mark(document, &id);
            }
        };
        match self {
            Self::Scalar(_) => {}
            Self::List(items) => items.iter_mut().enumerate().for_each(|(index, item)| mark(item, index.into())),
            Self::Map(entries) => entries.iter_mut().for_each(|(key, value)| mark(value, key.as_str().into())),
            Self::Text(_, marks) => *marks = document.marks(object).unwrap_or_default(),
        }
    }

    fn from_hydrated(value: &hydrate::Value, depth: u32) -> Option<Self> {
        if depth > VIEW_DEPTH_MAX {
            return None;
        }
        Some(match value {
            hydrate::Value::Scalar(scalar) => Self::Scalar(scalar.clone()),
            hydrate::Value::Text(text) => Self::Text(text.to_string(), Vec::new()),
            hydrate::Value::List(list) => {
                let items = list.iter().map(|item| Self::from_hydrated(&item.value, depth + 1));
                Self::List(items.collect::<Option<_>>()?)
            }
            hydrate::Value::Map(map) => {
                let entry = |(key, held): (&String, &hydrate::MapValue)| {
                    Some((key.clone(), Self::from_hydrated(&held.value, depth + 1)?))
                };
                Self::Map(map.iter().map(entry).collect::<Option<_>>()?)
            }
        })
    }

    /// The bytes to keep or send. `None` if they are more than a reader takes.
    pub fn encode(&self) -> Option<Bytes> {
        let mut body = Vec::new();
        self.write(&mut body);
        if body.len() > VIEW_BYTES_MAX {
            return None;
        }
        Some(seal(if self.has_marks() { VERSION } else { 1 }, &body).into())
    }

    /// Reads what [`View::encode`] made. Anything else is refused, whatever lengths it claims.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let (_, body) = unseal(bytes, VERSION, "a view of an unknown version", VIEW_BYTES_MAX)?;
        let mut r = Reader::new(&body);
        let view = Self::read(&mut r, 0)?;
        if r.is_empty() { Ok(view) } else { Err(PackError::Malformed("something stands behind the view")) }
    }

    fn has_marks(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::Text(_, marks) => !marks.is_empty(),
            Self::List(items) => items.iter().any(Self::has_marks),
            Self::Map(entries) => entries.values().any(Self::has_marks),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Scalar(scalar) => write_scalar(scalar, out),
            Self::Text(text, marks) => {
                out.push(if marks.is_empty() { kinds::TEXT } else { kinds::MARKED_TEXT });
                put_prefixed(out, text.as_bytes());
                if !marks.is_empty() {
                    put_unsigned(out, marks.len() as u64);
                    marks.iter().for_each(|mark| write_mark(mark, out));
                }
            }
            Self::List(items) => {
                out.push(kinds::LIST);
                put_unsigned(out, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                out.push(kinds::MAP);
                put_unsigned(out, entries.len() as u64);
                for (key, value) in entries {
                    put_prefixed(out, key.as_bytes());
                    value.write(out);
                }
            }
        }
    }

    fn read(r: &mut Reader<'_>, depth: u32) -> Result<Self, PackError> {
        if depth > VIEW_DEPTH_MAX {
            return Err(PackError::Malformed("the view nests too deeply"));
        }
        Ok(match r.byte()? {
            kinds::TEXT => Self::Text(string(r)?, Vec::new()),
            kinds::MARKED_TEXT => {
                let text = string(r)?;
                let (length, mut marks) = (text.chars().count(), Vec::new());
                for _ in 0..r.length()? {
                    marks.push(read_mark(r, length)?);
                }
                Self::Text(text, marks)
            }
            kinds::LIST => {
                // As many as there are, not as many as are claimed.
                let mut items = Vec::new();
                for _ in 0..r.length()? {
                    items.push(Self::read(r, depth + 1)?);
                }
                Self::List(items)
            }
            kinds::MAP => {
                let mut entries = BTreeMap::new();
                for _ in 0..r.length()? {
                    let key = string(r)?;
                    if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
                        return Err(PackError::Malformed("a view's keys are out of order"));
                    }
                    entries.insert(key, Self::read(r, depth + 1)?);
                }
                Self::Map(entries)
            }
            kind => Self::Scalar(read_scalar(kind, r)?),
        })
    }
}

fn write_mark(mark: &Mark, out: &mut Vec<u8>) {
    put_unsigned(out, mark.start as u64);
    put_unsigned(out, mark.end as u64);
    put_prefixed(out, mark.name().as_bytes());
    write_scalar(mark.value(), out);
}

/// Reads a mark of a text of so many characters.
fn read_mark(r: &mut Reader<'_>, length: usize) -> Result<Mark, PackError> {
    let (start, end, name) = (r.length()?, r.length()?, string(r)?);
    if start >= end || end > length {
        return Err(PackError::Malformed("a view's mark is not in its text"));
    }
    let kind = r.byte()?;
    Ok(Mark::new(name, read_scalar(kind, r)?, start, end))
}

fn write_scalar(scalar: &ScalarValue, out: &mut Vec<u8>) {
    match scalar {
        ScalarValue::Null => out.push(kinds::NULL),
        ScalarValue::Boolean(value) => out.push(if *value { kinds::TRUE } else { kinds::FALSE }),
        ScalarValue::Uint(number) => {
            out.push(kinds::UINT);
            put_unsigned(out, *number);
        }
        ScalarValue::Int(number) => {
            out.push(kinds::INT);
            put_signed(out, *number);
        }
        ScalarValue::F64(number) => {
            out.push(kinds::F64);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ScalarValue::Str(text) => {
            out.push(kinds::STRING);
            put_prefixed(out, text.as_bytes());
        }
        ScalarValue::Bytes(bytes) => {
            out.push(kinds::BYTES);
            put_prefixed(out, bytes);
        }
        ScalarValue::Counter(counter) => {
            out.push(kinds::COUNTER);
            put_signed(out, i64::from(counter));
        }
        ScalarValue::Timestamp(ms) => {
            out.push(kinds::TIMESTAMP);
            put_signed(out, *ms);
        }
        ScalarValue::Unknown { type_code, bytes } => {
            out.extend_from_slice(&[kinds::OTHER, *type_code]);
            put_prefixed(out, bytes);
        }
    }
}

fn read_scalar(kind: u8, r: &mut Reader<'_>) -> Result<ScalarValue, PackError> {
    Ok(match kind {
        kinds::NULL => ScalarValue::Null,
        kinds::FALSE => ScalarValue::Boolean(false),
        kinds::TRUE => ScalarValue::Boolean(true),
        kinds::UINT => ScalarValue::Uint(r.unsigned()?),
        kinds::INT => ScalarValue::Int(r.signed()?),
        kinds::F64 => ScalarValue::F64(f64::from_le_bytes(r.take(8)?.try_into().expect("so many bytes were taken"))),
        kinds::STRING => ScalarValue::Str(string(r)?.into()),
        kinds::BYTES => ScalarValue::Bytes(r.take_prefixed()?.to_vec()),
        kinds::COUNTER => ScalarValue::counter(r.signed()?),
        kinds::TIMESTAMP => ScalarValue::Timestamp(r.signed()?),
        kinds::OTHER => ScalarValue::Unknown { type_code: r.byte()?, bytes: r.take_prefixed()?.to_vec() },
        _ => return Err(PackError::Malformed("a view's value of no kind")),
    })
}

fn string(r: &mut Reader<'_>) -> Result<String, PackError> {
    let bytes = r.take_prefixed()?;
    String::from_utf8(bytes.to_vec()).map_err(|_| PackError::Malformed("a view's text is no text"))
}

#[cfg(test)]
mod tests {
    use automerge::transaction::Transactable as _;
    use automerge::{AutoCommit, ObjType};

    use super::*;

    fn example() -> AutoCommit {
        let mut document = AutoCommit::new();
        let scalars = [
            ScalarValue::Null,
            ScalarValue::Boolean(true),
            ScalarValue::Boolean(false),
            ScalarValue::Uint(u64::MAX),
            ScalarValue::Int(i64::MIN),
            ScalarValue::F64(-0.5),
            ScalarValue::Str("söme".into()),
            ScalarValue::Bytes(vec![0, 255]),
            ScalarValue::counter(-3),
            ScalarValue::Timestamp(-1),
        ];
        let list = document.put_object(ROOT, "list", ObjType::List).expect("a list");
        for (index, scalar) in scalars.into_iter().enumerate() {
            document.insert(&list, index, scalar).expect("a value");
        }
        let text = document.put_object(ROOT, "text", ObjType::Text).expect("a text");
        document.splice_text(&text, 0, 0, "wörds").expect("an edit");
        let map = document.insert_object(&list, 0, ObjType::Map).expect("a map");
        document.put(&map, "", 1).expect("a value");
        document
    }

    #[test]
    fn every_kind_comes_back() {
        let view = View::of(&example()).expect("not deep");
        let bytes = view.encode().expect("not large");
        assert_eq!(View::decode(&bytes), Ok(view.clone()));
        let View::Map(root) = view else { panic!("the root is a map") };
        assert_eq!(root["text"], View::Text("wörds".into(), Vec::new()));
        let View::List(list) = &root["list"] else { panic!("a list") };
        assert_eq!(list[0], View::Map(BTreeMap::from([(String::new(), View::Scalar(1.into()))])));
        assert_eq!(list[9], View::Scalar(ScalarValue::counter(-3)));
        assert_eq!(list.len(), 11);
    }

    #[test]
    fn marks_come_with_their_texts_wherever_these_are_and_only_within_them() {
        let mut document = example();
        let texts = document.put_object(ROOT, "texts", ObjType::List).expect("a list");
        for (index, word) in ["plain", "b😀ld"].into_iter().enumerate() {
            let text = document.insert_object(&texts, index, ObjType::Text).expect("a text");
            document.splice_text(&text, 0, 0, word).expect("an edit");
            if index == 1 {
                let bold = Mark::new("bold".into(), true, 1, 3);
                document.mark(&text, bold, automerge::marks::ExpandMark::After).expect("a mark");
                document.splice_text(&text, 3, 0, "!").expect("an edit");
            }
        }
        let view = View::of(&document).expect("not deep");
        let bytes = view.encode().expect("not large");
        assert_eq!(View::decode(&bytes), Ok(view.clone()));
        let View::Map(root) = view else { panic!("the root is a map") };
        let bold = |from, to| vec![Mark::new("bold".into(), true, from, to)];
        let texts = [View::Text("plain".into(), vec![]), View::Text("b😀l!d".into(), bold(1, 4))];
        assert_eq!(root["texts"], View::List(texts.to_vec()));
        for (from, to) in [(1, 1), (2, 1), (0, 6), (6, 7)] {
            let bytes = View::Text("b😀l!d".into(), bold(from, to)).encode().expect("small");
            assert!(View::decode(&bytes).is_err(), "{from} to {to}");
        }
    }

    #[test]
    fn what_was_flipped_cut_or_nests_too_deeply_is_refused() {
        let bytes = View::of(&example()).and_then(|view| view.encode()).expect("small");
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert!(View::decode(&flipped).is_err() || flipped[..9] == bytes[..9], "{at}");
            assert!(View::decode(&bytes[..at]).is_err(), "{at}");
        }
        let deep = |levels| (0..levels).fold(View::Scalar(ScalarValue::Null), |inner, _| View::List(vec![inner]));
        assert!(View::decode(&deep(VIEW_DEPTH_MAX).encode().expect("small")).is_ok());
        assert!(View::decode(&deep(VIEW_DEPTH_MAX + 1).encode().expect("small")).is_err());
    }
}
