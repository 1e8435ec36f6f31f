//! Panics of the browser module as bare traps: nothing in a page shows what a panic says, so what it would be said with need not be loaded.
//!
//! Owns which functions only ever end in one. That their callers need not prepare what they are called with is binaryen's business.

use std::ops::Range;

use wasm_encoder::{CodeSection, Module, RawSection};
use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::run::Failure;

/// How the names of functions begin that never return. Of generic ones, what they are made for stands behind.
const ENDS: [&str; 15] = [
    "__rustc::rust_begin_unwind",
    "alloc::alloc::handle_alloc_error",
    "alloc::raw_vec::capacity_overflow",
    "alloc::raw_vec::handle_error",
    "core::cell::panic_already",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::panicking::",
    "core::result::unwrap_failed",
    "core::slice::copy_from_slice_impl::len_mismatch_fail",
    "core::slice::index::slice_index_fail",
    "core::slice::sort::shared::smallsort::panic_on_ord_violation",
    "core::str::slice_error_fail",
    "std::alloc::rust_oom",
    "std::panicking::",
];

/// Of a vector's methods that of this name never returns.
const ASSERT_FAILED: &str = "::assert_failed";

/// A function without locals that traps: `unreachable`, `end`.
const TRAP: [u8; 3] = [0, 0x00, 0x0b];

/// The module with each of these functions as one trap, and how many there were.
pub(crate) fn bare(module: &[u8]) -> Result<(Vec<u8>, usize), Failure> {
    let failure =
        |error: wasmparser::BinaryReaderError| Failure::new(format!("the browser module can't be read: {error}"));
    let (mut imported, mut bodies, mut ends) = (0, Vec::<Range<usize>>::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(failure)? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += usize::from(matches!(import.map_err(failure)?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            Payload::CustomSection(custom) => {
                let KnownCustom::Name(names) = custom.as_known() else { continue };
                for name in names {
                    let Name::Function(functions) = name.map_err(failure)? else { continue };
                    for function in functions {
                        let function = function.map_err(failure)?;
                        if is_end(function.name) {
                            ends.push(function.index as usize - imported);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let mut code = CodeSection::new();
    for (index, body) in bodies.into_iter().enumerate() {
        code.raw(if ends.contains(&index) { &TRAP } else { &module[body] });
    }
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(failure)?.as_section() {
            Some((id, _)) if id == wasm_encoder::SectionId::Code as u8 => drop(out.section(&code)),
            Some((id, range)) => drop(out.section(&RawSection { id, data: &module[range] })),
            None => {}
        }
    }
    Ok((out.finish(), ends.len()))
}

/// Whether a function of this name never returns. Names have their crates' hashes in brackets.
fn is_end(name: &str) -> bool {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match after.split_once(']') {
            Some((hash, after)) if hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest = after,
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    let is_vector = plain.starts_with("<alloc::vec::Vec<") && plain.ends_with(ASSERT_FAILED);
    is_vector || ENDS.iter().any(|end| plain.starts_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_returns_is_known_by_its_name() {
        assert!(is_end("core[c5930c85a12de822]::panicking::panic_fmt"));
        assert!(is_end(
            "core[c5930c85a12de822]::panicking::assert_failed::<[u8; 4], zlib_rs[eb71fcbcc65ebb9]::ReturnCode>"
        ));
        assert!(is_end("<alloc[3ca501edff3f0c7c]::vec::Vec<_, _>>::insert_mut::assert_failed"));
        assert!(!is_end("<core[c5930c85a12de822]::option::Option<_>>::expect"));
        assert!(!is_end("sync_core[5338730568eaba1]::core::panicking::no"));
    }
}
