//! An order of a module's functions in which those that are alike stand together, so that compression, which looks back 32 KB, finds them.
//!
//! Owns what likeness is. Functions are only named here, by their rank: binaryen moves them.

use wasm_encoder::{Module, NameMap, NameSection, RawSection};
use wasmparser::{Parser, Payload};

use crate::run::Failure;

/// Functions are alike by how many of so many samples of their code are the same.
const SAMPLES: usize = 64;
/// How many bytes in a row count as one piece of code.
const PIECE: usize = 6;
/// With fewer samples alike, likeness is chance: the longest function that is left is next.
const ALIKE_MIN: u32 = 2;

type Sample = [u32; SAMPLES];

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

/// Each function is followed by the one most like it of those that are left.
fn order(functions: &[&[u8]]) -> Vec<usize> {
    let samples: Vec<Sample> = functions.iter().map(|function| sample(function)).collect();
    let mut left: Vec<usize> = (0..functions.len()).collect();
    left.sort_by_key(|&function| functions[function].len());
    let mut order = Vec::with_capacity(left.len());
    while let Some(longest) = left.last() {
        let next = order.last().and_then(|&last| nearest(&samples, &left, last)).unwrap_or(*longest);
        order.push(next);
        left.retain(|&function| function != next);
    }
    order
}

/// Of those that are left, the one most like `last`, if any is.
fn nearest(samples: &[Sample], left: &[usize], last: usize) -> Option<usize> {
    let alike = |&function: &usize| {
        samples[function].iter().zip(&samples[last]).map(|(one, other)| u32::from(one == other)).sum::<u32>()
    };
    left.iter()
        .map(|function| (alike(function), *function))
        .max()
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .map(|(_, function)| function)
}

/// For each of some ways to mix the pieces of a function, the least that comes of any piece: two functions have as large a share of these in
/// common as they have of their pieces.
fn sample(function: &[u8]) -> Sample {
    let mut least = [u32::MAX; SAMPLES];
    for piece in function.windows(PIECE) {
        let piece = piece.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        for (way, least) in (1_u64..).zip(&mut least) {
            // Odd numbers far apart; the upper half of the product is the mixed one.
            let mixed = (piece ^ (way << 49)).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.wrapping_add(way << 1));
            *least = (*least).min((mixed >> 32) as u32);
        }
    }
    least
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
