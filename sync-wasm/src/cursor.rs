//! Cursors: places in texts and lists that stay with what stands there while anybody edits.
//!
//! Owns their form as strings: the object's id and automerge's own cursor, so that one made on a device is understood on all.

use automerge::{Automerge, AutomergeError, Cursor, CursorPosition, ObjId, ObjType, Prop, ReadDoc as _};

use crate::edit;
use crate::error::EngineError;

/// Stands between the id of the object and the cursor in it.
const SEPARATOR: char = '/';

/// Looking up where a character is costs as much as going past so many of them.
const LOOK_UP_COST: usize = 32;

/// How positions in texts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As JavaScript's strings count.
    Utf16,
    /// As edits do.
    CodePoint,
}

/// A cursor for the element or character at `index` of what stands at `path`; at its end one that stays at the end.
pub(crate) fn make(document: &Automerge, path: &[Prop], index: usize, unit: Unit) -> Result<String, EngineError> {
    let bad = |error: AutomergeError| EngineError::bad_value(error.to_string());
    let object = edit::object(document, path).map_err(bad)?;
    let index = match text(document, &object, unit) {
        Some(text) => code_points(&text, index),
        None => index,
    };
    let end = index == document.length(&object);
    let position = if end { CursorPosition::End } else { CursorPosition::Index(index) };
    let cursor = document.get_cursor(&object, position, None).map_err(bad)?;
    Ok(format!("{object}{SEPARATOR}{cursor}"))
}

/// Cursors for `count` elements or characters from `index` on, in code points: the first of each run that one author wrote in one go, and how
/// many it has. The others' are those of the operations after its.
pub(crate) fn runs(
    document: &Automerge,
    path: &[Prop],
    index: usize,
    count: usize,
) -> Result<Vec<(String, usize)>, EngineError> {
    let bad = |error: AutomergeError| EngineError::bad_value(error.to_string());
    let object = edit::object(document, path).map_err(bad)?;
    // An element of a list that was written over goes by another operation than the one that put it there.
    let is_text = document.object_type(&object).map_err(bad)? == ObjType::Text;
    let each = || (index..index + count).map(|at| Ok((make(document, path, at, Unit::CodePoint)?, 1))).collect();
    if !is_text || count < (index + count) / LOOK_UP_COST {
        return each();
    }
    let (mut runs, mut last): (Vec<(ObjId, usize)>, _) = (Vec::new(), None);
    // The ends of marks are among automerge's values.
    let characters = document.values(&object).filter(|(value, _)| !value.as_str().is_some_and(is_end));
    for (_, id) in characters.skip(index).take(count) {
        last = Some(id.clone());
        match runs.last_mut().filter(|(first, length)| follows(first, *length, &id)) {
            Some((_, length)) => *length += 1,
            None => runs.push((id, 1)),
        }
    }
    if runs.iter().map(|(_, length)| length).sum::<usize>() < count {
        return Err(bad(AutomergeError::InvalidIndex(index + count)));
    }
    let name = |id: ObjId| format!("{object}{SEPARATOR}{id}");
    // Where a character is no element of its own, or looks like an end, the last is not the one that is looked up.
    if let Some(last) = last
        && name(last) != make(document, path, index + count - 1, Unit::CodePoint)?
    {
        return each();
    }
    Ok(runs.into_iter().map(|(first, length)| (name(first), length)).collect())
}

/// Whether a value is what automerge tells of an end of a mark: each character is a text of its own, and shorter.
fn is_end(value: &str) -> bool {
    matches!(value, "markBegin" | "markEnd")
}

/// Whether an operation is the one that comes so many after another.
fn follows(first: &ObjId, after: usize, id: &ObjId) -> bool {
    let (ObjId::Id(first, author, _), ObjId::Id(id, actor, _)) = (first, id) else { return false };
    first + after as u64 == *id && author == actor
}

/// Where a cursor stands now; `None` if the document does not have its place.
pub(crate) fn position(document: &Automerge, cursor: &str, unit: Unit) -> Option<usize> {
    let (object, cursor) = parse(document, cursor)?;
    let index = document.get_cursor_position(&object, &cursor, None).ok()?;
    Some(match text(document, &object, unit) {
        Some(text) => text.chars().take(index).map(char::len_utf16).sum(),
        None => index,
    })
}

/// Where the very element or character of a cursor stands in what is at `path`, in code points; `None` if it is not there any more.
pub(crate) fn exact(document: &Automerge, path: &[Prop], cursor: &str) -> Option<usize> {
    let (object, cursor) = parse(document, cursor)?;
    if edit::object(document, path).ok()? != object {
        return None;
    }
    let index = document.get_cursor_position(&object, &cursor, None).ok()?;
    let here = document.get_cursor(&object, index, None);
    here.is_ok_and(|here| here == cursor).then_some(index)
}

fn parse(document: &Automerge, cursor: &str) -> Option<(ObjId, Cursor)> {
    let (object, cursor) = cursor.split_once(SEPARATOR)?;
    // automerge slices the string before it looks at it.
    let cursor = Some(cursor).filter(|cursor| cursor.is_ascii() && !cursor.is_empty())?;
    Some((document.import_obj(object).ok()?, Cursor::try_from(cursor).ok()?))
}

fn text(document: &Automerge, object: &ObjId, unit: Unit) -> Option<String> {
    let is_text = unit == Unit::Utf16 && document.object_type(object).ok()? == ObjType::Text;
    is_text.then(|| document.text(object).ok()).flatten()
}

/// How many characters begin before `index`, and as much beyond the end as it is.
fn code_points(text: &str, index: usize) -> usize {
    let (mut units, mut count) = (0, 0);
    for character in text.chars() {
        if units >= index {
            return count;
        }
        units += character.len_utf16();
        count += 1;
    }
    count + index.saturating_sub(units)
}

#[cfg(test)]
mod tests {
    use automerge::marks::{ExpandMark, Mark};
    use automerge::transaction::Transactable as _;
    use automerge::{ROOT, TextEncoding};

    use super::*;

    fn document(text: &str) -> (Automerge, ObjId) {
        let mut document = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        let made = document.transact(|tx| {
            let made = tx.put_object(ROOT, "text", ObjType::Text)?;
            tx.splice_text(&made, 0, 0, text).map(|()| made)
        });
        (document, made.expect("an edit").result)
    }

    fn edit(document: &mut Automerge, object: &ObjId, index: usize, delete: isize, insert: &str) {
        document.transact(|tx| tx.splice_text(object, index, delete, insert)).expect("an edit");
    }

    fn path() -> [Prop; 1] {
        [Prop::Map("text".into())]
    }

    #[test]
    fn a_cursor_stays_with_its_character_in_units_of_javascript() {
        let (mut document, object) = document("a😀bc");
        let cursor = make(&document, &path(), 3, Unit::Utf16).expect("a place");
        edit(&mut document, &object, 0, 0, "😀😀");
        assert_eq!(position(&document, &cursor, Unit::Utf16), Some(7));
        assert_eq!(exact(&document, &path(), &cursor), Some(4));
        edit(&mut document, &object, 4, 1, "");
        assert_eq!((position(&document, &cursor, Unit::Utf16), exact(&document, &path(), &cursor)), (Some(7), None));
    }

    #[test]
    fn runs_are_of_what_one_wrote_in_one_go() {
        let (mut document, object) = document("abcdef");
        edit(&mut document, &object, 2, 0, "XY");
        edit(&mut document, &object, 6, 1, "");
        let found = runs(&document, &path(), 1, 6).expect("they are there");
        let made = |(index, count)| (make(&document, &path(), index, Unit::CodePoint).expect("a place"), count);
        assert_eq!(found, [(1, 1), (2, 2), (4, 2), (6, 1)].map(made));
        assert!(runs(&document, &path(), 1, 7).is_err());
        edit(&mut document, &object, 0, 0, &"_".repeat(100 * LOOK_UP_COST));
        let far = runs(&document, &path(), 100 * LOOK_UP_COST + 1, 6).expect("they are there");
        assert!(far.iter().all(|(_, count)| *count == 1), "each is looked up");
        assert_eq!(far[1].0, found[1].0);
    }

    /// They were taken for characters, and undoing what was typed behind took away others.
    #[test]
    fn the_ends_of_marks_are_no_characters() {
        let (mut document, object) = document("abcdef");
        for (from, to) in [(1, 3), (4, 6)] {
            let bold = Mark::new("bold".into(), true, from, to);
            document.transact(|tx| tx.mark(&object, bold, ExpandMark::Both)).expect("a mark");
        }
        edit(&mut document, &object, 3, 0, "XY");
        edit(&mut document, &object, 8, 0, "!");
        let length = document.length(&object);
        for (from, to) in (0..length).flat_map(|from| (from + 1..=length).map(move |to| (from, to))) {
            let found = runs(&document, &path(), from, to - from).expect("they are there");
            let mut at = from;
            for (cursor, count) in found {
                assert_eq!(exact(&document, &path(), &cursor), Some(at), "{from} to {to}");
                at += count;
            }
            assert_eq!(at, to);
        }
        // Nor do they part what one wrote in one go.
        assert_eq!(runs(&document, &path(), 0, length).expect("they are there").len(), 4);
        document.transact(|tx| tx.insert(&object, 2, "markEnd")).expect("an edit");
        let found = runs(&document, &path(), 0, 3).expect("they are there");
        assert_eq!(exact(&document, &path(), &found[found.len() - 1].0), Some(2), "what is called so is a character");
    }

    #[test]
    fn a_cursor_at_the_end_stays_there() {
        let (mut document, object) = document("ab");
        let cursor = make(&document, &path(), 2, Unit::Utf16).expect("a place");
        edit(&mut document, &object, 2, 0, "cd");
        assert_eq!(position(&document, &cursor, Unit::Utf16), Some(4));
        assert!(make(&document, &path(), 5, Unit::Utf16).is_err());
    }

    #[test]
    fn what_is_no_cursor_has_no_place() {
        let (document, object) = document("ab");
        let cases = [
            "",
            "/",
            "x/y",
            "é",
            "_root/s/",
            &format!("{object}/"),
            &format!("{object}/é@"),
            &format!("{object}/9@00"),
        ];
        for case in cases {
            assert_eq!(position(&document, case, Unit::Utf16), None, "{case}");
        }
    }
}
