//! An order of a module's functions in which those that are alike stand together, so that compression, which looks back 32 KB, finds them.
//!
//! Owns what likeness is. Functions are only named here, by their rank: binaryen moves them.

use std::collections::HashMap;

use wasm_encoder::{Module, NameMap, NameSection, RawSection};
use wasmparser::{Parser, Payload};

use crate::run::Failure;

/// How many bytes in a row count as one piece of code.
const PIECE: usize = 6;
/// How much of the code before a function is looked at. Compression looks back further; what is near costs fewer bits.
const WINDOW_BYTES: usize = 8 << 10;
/// A piece that more functions have is found anywhere, and says nothing.
const COMMON_MIN: usize = 3_000;
/// So many bytes more count as unlike, so that a function of a few bytes does not come before one that is mostly alike.
const SHORT_BYTES: usize = 64;

/// The module with each of its functions named by its rank.
pub(crate) fn ranked(module: &[u8]) -> Result<Vec<u8>, Failure> {
    let failure =
        |error: wasmparser::BinaryReaderError| Failure::new(format!("the browser module can't be read: {error}"));
    let (mut out, mut imported, mut functions) = (Module::new(), 0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(failure)?;
        match &payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    imported += u32::from(matches!(import.map_err(failure)?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => functions.push(&module[body.range()]),
            Payload::CustomSection(custom) if custom.name() == "name" => continue,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            out.section(&RawSection { id, data: &module[range] });
        }
    }
    let mut ranks = vec![0; functions.len()];
    for (rank, function) in order(&functions).into_iter().enumerate() {
        ranks[function] = rank;
    }
    let mut names = NameMap::new();
    for (function, rank) in (imported..).zip(ranks) {
        names.append(function, &format!("{rank:06}"));
    }
    let mut section = NameSection::new();
    section.functions(&names);
    out.section(&section);
    Ok(out.finish())
}

/// After the longest function each time the one of which the largest part stands in what was put before it.
fn order(functions: &[&[u8]]) -> Vec<usize> {
    let (pieces, holders) = pieces(functions);
    let mut left: Vec<usize> = (0..functions.len()).collect();
    left.sort_by_key(|&function| functions[function].len());
    // How often a piece is in the window, and how many of a function's bytes begin one that is.
    let (mut near, mut alike) = (vec![0_u32; holders.len()], vec![0; functions.len()]);
    let mut order: Vec<usize> = Vec::with_capacity(left.len());
    let (mut window, mut oldest) = (0, 0);
    while let Some(&longest) = left.last() {
        let share = |function: usize| alike[function] as f64 / (functions[function].len() + SHORT_BYTES) as f64;
        let most = |one: usize, other: usize| if share(other) >= share(one) { other } else { one };
        let next = if order.is_empty() { longest } else { left.iter().copied().reduce(most).unwrap_or(longest) };
        left.retain(|&function| function != next);
        order.push(next);
        window += functions[next].len();
        for &piece in &pieces[next] {
            near[piece] += 1;
            if near[piece] == 1 {
                holders[piece].iter().for_each(|&(holder, times)| alike[holder] += times);
            }
        }
        while window > WINDOW_BYTES && oldest + 1 < order.len() {
            let gone = order[oldest];
            oldest += 1;
            window -= functions[gone].len();
            for &piece in &pieces[gone] {
                near[piece] -= 1;
                if near[piece] == 0 {
                    holders[piece].iter().for_each(|&(holder, times)| alike[holder] -= times);
                }
            }
        }
    }
    order
}

/// Of each function the pieces, as numbers; of each piece the functions that have it, and how often. Too common ones have none.
type Holders = Vec<Vec<(usize, usize)>>;

fn pieces(functions: &[&[u8]]) -> (Vec<Vec<usize>>, Holders) {
    let (mut numbers, mut holders) = (HashMap::new(), Holders::new());
    let mut pieces = Vec::with_capacity(functions.len());
    for (function, code) in functions.iter().enumerate() {
        let mut own = Vec::new();
        for piece in code.windows(PIECE) {
            let number = *numbers.entry(piece).or_insert(holders.len());
            if number == holders.len() {
                holders.push(Vec::new());
            }
            match holders[number].last_mut() {
                Some((last, times)) if *last == function => *times += 1,
                _ => {
                    holders[number].push((function, 1));
                    own.push(number);
                }
            }
        }
        pieces.push(own);
    }
    holders.iter_mut().filter(|all| all.len() > COMMON_MIN).for_each(Vec::clear);
    (pieces, holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_functions_stand_together_and_none_is_lost() {
        let kinds: Vec<Vec<u8>> =
            (0..5_u8).map(|kind| (0..200_u8).map(|at| at.wrapping_mul(kind * 2 + 3) ^ kind).collect()).collect();
        // Of each kind several that differ in a few bytes, one kind after the other.
        let functions: Vec<Vec<u8>> = (0..20_usize)
            .map(|n| {
                let mut function = kinds[n % 5].clone();
                function[n] ^= 0x55;
                function
            })
            .collect();
        let order = order(&functions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        let changes = order.windows(2).filter(|pair| pair[0] % 5 != pair[1] % 5).count();
        assert_eq!(changes, 4, "{order:?}");
    }
}
