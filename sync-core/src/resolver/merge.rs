//! Two edits of one text made one, word by word.
//!
//! Owns how words are aligned: as `packages/client/src/diff.ts` does it, step by step, so that both halves merge alike.

use super::NoAnswer;

/// Most steps that an alignment looks for; beyond, all between what is alike at both ends counts as new.
const STEPS_MAX: i32 = 200;

/// Words `from` to `to` of the old text, and those of the new one that stand for them.
struct Hunk {
    from: usize,
    to: usize,
    new_from: usize,
    new_to: usize,
}

/// Both sides' edits of `base`.
///
/// # Errors
/// If they changed the same words, or wrote something else at the same place.
pub(super) fn merge3(base: &str, one: &str, other: &str) -> Result<String, NoAnswer> {
    if one == other {
        return Ok(one.into());
    }
    let before = words(base);
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for side in [one, other] {
        let side = words(side);
        let hunks = hunks(&before, &side);
        edits.extend(hunks.iter().map(|hunk| (hunk.from, hunk.to, side[hunk.new_from..hunk.new_to].concat())));
    }
    edits.sort_by_key(|(from, to, _)| (*from, *to));
    let mut merged = String::new();
    let mut last: Option<(usize, usize, String)> = None;
    for edit in edits {
        let at = last.as_ref().map_or(0, |(_, to, _)| *to);
        match &last {
            Some(last) if *last == edit => continue,
            Some((from, _, _)) if edit.0 < at || edit.0 == *from => return Err(NoAnswer::SameWords),
            _ => {}
        }
        merged.extend(before[at..edit.0].iter().copied().chain([edit.2.as_str()]));
        last = Some(edit);
    }
    merged.extend(before[last.map_or(0, |(_, to, _)| to)..].iter().copied());
    Ok(merged)
}

/// A text's words, each with the white space behind it. Of an empty text it is one empty word.
fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { vec![text] } else { text.split_inclusive(is_space).collect() }
}

/// What JavaScript's `\s` matches.
fn is_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// Where two sequences differ, in order: fewest steps by Myers' algorithm between what is alike at both ends.
fn hunks(old: &[&str], new: &[&str]) -> Vec<Hunk> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let whole = Hunk { from: head, to: head + a.len(), new_from: head, new_to: head + b.len() };
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Vec::new(),
        (false, false) => {}
        _ => return vec![whole],
    }
    let Some(trace) = search(a, b) else { return vec![whole] };
    let mut found: Vec<Hunk> = Vec::new();
    let (mut x, mut y) = (a.len() as i32, b.len() as i32);
    for d in (1..trace.len() as i32).rev() {
        let reached = &trace[d as usize - 1];
        let k = x - y;
        let down = goes_down(reached, k, d);
        let before_k = if down { k + 1 } else { k - 1 };
        let before_x = far(reached, before_k, d - 1);
        let before_y = before_x - before_k;
        let (to_x, to_y) = if down { (before_x, before_y + 1) } else { (before_x + 1, before_y) };
        let of = |offset: i32| head + offset as usize;
        match found.last_mut() {
            Some(last) if last.from == of(to_x) && last.new_from == of(to_y) => {
                (last.from, last.new_from) = (of(before_x), of(before_y));
            }
            _ => found.push(Hunk { from: of(before_x), to: of(to_x), new_from: of(before_y), new_to: of(to_y) }),
        }
        (x, y) = (before_x, before_y);
    }
    found.reverse();
    found
}

/// How far each diagonal is reached with 0, 1, 2 … steps, until the end is.
fn search(a: &[&str], b: &[&str]) -> Option<Vec<Vec<i32>>> {
    let (n, m) = (i32::try_from(a.len()).ok()?, i32::try_from(b.len()).ok()?);
    let mut trace: Vec<Vec<i32>> = Vec::new();
    for d in 0..=STEPS_MAX {
        let mut reached = vec![0; 2 * d as usize + 1];
        let mut is_there = false;
        for k in (-d..=d).step_by(2) {
            let mut x = match trace.last() {
                None => 0,
                Some(before) if goes_down(before, k, d) => far(before, k + 1, d - 1),
                Some(before) => far(before, k - 1, d - 1) + 1,
            };
            while x < n && x - k < m && x >= k && a[x as usize] == b[(x - k) as usize] {
                x += 1;
            }
            reached[(k + d) as usize] = x;
            is_there = x >= n && x - k >= m;
            if is_there {
                break;
            }
        }
        trace.push(reached);
        if is_there {
            return Some(trace);
        }
    }
    None
}

/// Whether a diagonal is reached by a step down, with `reached` after one step fewer than `d`.
fn goes_down(reached: &[i32], k: i32, d: i32) -> bool {
    k == -d || (k != d && far(reached, k - 1, d - 1) < far(reached, k + 1, d - 1))
}

fn far(reached: &[i32], k: i32, d: i32) -> i32 {
    usize::try_from(k + d).ok().and_then(|at| reached.get(at)).copied().unwrap_or(-1)
}
