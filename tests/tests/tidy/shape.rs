//! Sizes, heads and words: what makes a file easy to open, and what must not be left in it.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tokens;
use crate::tree::Source;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// A file of more than 500 lines.
pub(crate) fn file_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX { Vec::new() } else { vec![source.fault(lines, "more than 500 lines")] }
}

/// A file that does not begin by saying what it is for.
pub(crate) fn head(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|text| text.trim().len() >= 10);
    if says { Vec::new() } else { vec![source.fault(1, "begins without a //! that says what it owns")] }
}

/// The same of a script, whose head is a comment.
pub(crate) fn script_head(source: &Source) -> Vec<String> {
    let comment = source.text.strip_prefix("/**").or_else(|| source.text.strip_prefix("//"));
    let says = comment.is_some_and(|text| text.trim_start_matches(['\n', ' ', '*', '/']).len() >= 10);
    if says { Vec::new() } else { vec![source.fault(1, "begins without a comment that says what it owns")] }
}

/// Functions of more than 70 lines.
pub(crate) fn function_length(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    functions(tokens::parse(&source.text), &mut |line, lines| {
        if lines > FUNCTION_LINES_MAX {
            faults.push(source.fault(line, &format!("a function of {lines} lines, 70 at most")));
        }
    });
    faults
}

fn functions(tokens: TokenStream, seen: &mut impl FnMut(usize, usize)) {
    let mut open: Option<usize> = None;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "fn" => open = Some(ident.span().start().line),
            // A declaration without a body, or a function pointer's type.
            TokenTree::Punct(punct) if matches!(punct.as_char(), ';' | '=') => open = None,
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Brace
                    && let Some(line) = open.take()
                {
                    seen(line, group.span_close().end().line + 1 - line);
                }
                functions(group.stream(), seen);
            }
            _ => {}
        }
    }
}

/// Tests and examples that would not run.
pub(crate) fn ignored(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    attributes(tokens::parse(&source.text), &mut |line| faults.push(source.fault(line, "an ignored test")));
    for (index, line) in source.text.lines().enumerate() {
        let doc = line.trim_start();
        if (doc.starts_with("///") || doc.starts_with("//!")) && doc.contains("```") && doc.contains("ignore") {
            faults.push(source.fault(index + 1, "an ignored example"));
        }
    }
    faults
}

fn attributes(tokens: TokenStream, ignored: &mut impl FnMut(usize)) {
    let mut hash = false;
    for token in tokens {
        match &token {
            TokenTree::Group(group) if hash && group.delimiter() == Delimiter::Bracket => {
                find_ignore(group.stream(), ignored)
            }
            TokenTree::Group(group) => attributes(group.stream(), ignored),
            _ => {}
        }
        hash = matches!(&token, TokenTree::Punct(punct) if matches!(punct.as_char(), '#' | '!'));
    }
}

fn find_ignore(tokens: TokenStream, ignored: &mut impl FnMut(usize)) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "ignore" => ignored(ident.span().start().line),
            TokenTree::Group(group) => find_ignore(group.stream(), ignored),
            _ => {}
        }
    }
}

/// Skipped tests in Python.
pub(crate) fn skipped_in_python(source: &Source) -> Vec<String> {
    let skips =
        |line: &str| ["skipTest(", "unittest.skip", "SkipTest", "expectedFailure"].iter().any(|w| line.contains(w));
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, l)| skips(l))
        .map(|(i, _)| source.fault(i + 1, "a skipped test"))
        .collect()
}

/// Skipped tests in scripts.
pub(crate) fn skipped_in_scripts(source: &Source) -> Vec<String> {
    let words = ["test.skip", "test.todo", "test.only", "skip: true", "todo: true", "only: true", "t.skip(", "t.todo("];
    let lines = source.text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    lines.map(|(index, _)| source.fault(index + 1, "a skipped test")).collect()
}

/// Words of unfinished work. They are put together here so that this file has none of them.
pub(crate) fn unfinished(source: &Source) -> Vec<String> {
    let words = [["TO", "DO"], ["FIX", "ME"], ["to", "do!("], ["unimpl", "emented!("]].map(|parts| parts.concat());
    let named = |line: &str| words.iter().find(|word| line.contains(word.as_str())).cloned();
    let lines = source.text.lines().enumerate();
    lines.filter_map(|(i, line)| named(line).map(|word| source.fault(i + 1, &format!("unfinished: {word}")))).collect()
}

#[cfg(test)]
fn sample(text: &str) -> Source {
    Source::new("x.rs", text)
}

#[test]
fn a_long_file_and_a_file_without_a_head_are_faults() {
    assert_eq!(file_length(&sample(&"x\n".repeat(500))).len(), 0);
    assert_eq!(file_length(&sample(&"x\n".repeat(501))).len(), 1);
    assert_eq!(head(&sample("//! Owns the samples.\n")).len(), 0);
    assert_eq!(script_head(&sample("/** Owns the samples. */\n")).len(), 0);
    assert_eq!(script_head(&sample("/** */\n")).len() + script_head(&sample("const a = 1;\n")).len(), 2);
    assert_eq!(head(&sample("//!\n")).len() + head(&sample("use a;\n")).len() + head(&sample("")).len(), 3);
}

#[test]
fn a_long_function_is_a_fault_wherever_it_stands() {
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
    assert_eq!(function_length(&sample(&body(70))).len(), 0);
    assert_eq!(function_length(&sample(&body(71))), ["x.rs:1: a function of 71 lines, 70 at most"]);
    let nested = format!("struct A {{ f: fn() }}\nimpl A {{\nfn d();\nm! {{ {} }} }}", body(71));
    assert_eq!(function_length(&sample(&nested)).len(), 1);
}

#[test]
fn an_ignored_test_is_a_fault_in_every_form() {
    for bad in [
        "#[ignore]\nfn a() {}",
        "mod t { #[ignore = \"slow\"] fn a() {} }",
        "#[cfg_attr(windows, ignore)] fn a() {}",
        "/// ```ignore\nfn a() {}",
    ] {
        assert_eq!(ignored(&sample(bad)).len(), 1, "{bad}");
    }
    assert_eq!(ignored(&sample("// #[ignore]\nfn ignore() { let a = [ignore]; }")).len(), 0);
    assert_eq!(skipped_in_scripts(&sample("test.skip('x')\ntest('y', { todo: true })\ntest('z')")).len(), 2);
    assert_eq!(skipped_in_python(&sample("@unittest.skip('x')\nself.skipTest('y')")).len(), 2);
}

#[test]
fn a_word_of_unfinished_work_is_a_fault() {
    let text = ["// TO", "DO: more\nfn f() { to", "do!() }\n// FIX", "ME\n"].concat();
    assert_eq!(unfinished(&sample(&text)).len(), 3);
    assert_eq!(unfinished(&sample("todos/groceries")).len(), 0);
}
