//! Rust source as paths: every `a::b::c` in it, with `use` trees spread out and `super` and `self` resolved.
//!
//! Works on tokens, so comments and strings never count, and what stands inside a macro call does.

use std::collections::VecDeque;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path as written, from where it stands; one inside the crate starts with `crate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Path {
    /// `a::b::c`.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// The tokens of a file.
pub(crate) fn parse(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("no Rust: {error}"))
}

/// All paths in a file whose own module is `module` (empty for the crate's root).
pub(crate) fn paths(text: &str, module: &[String]) -> Vec<Path> {
    let mut found = Vec::new();
    spread(parse(text), module, &mut found);
    found
}

fn spread(tokens: TokenStream, module: &[String], found: &mut Vec<Path>) {
    let mut rest: VecDeque<TokenTree> = tokens.into_iter().collect();
    while let Some(token) = rest.pop_front() {
        match token {
            TokenTree::Group(group) => spread(group.stream(), module, found),
            // A lifetime, or the field or method after a dot: no path.
            TokenTree::Punct(p) if p.as_char() == '\'' || p.as_char() == '.' => {
                if matches!(rest.front(), Some(TokenTree::Ident(_))) {
                    rest.pop_front();
                }
            }
            TokenTree::Ident(ident) if ident == "mod" => {
                let name = rest.pop_front().map(|name| name.to_string()).unwrap_or_default();
                if let Some(TokenTree::Group(body)) = rest.pop_front() {
                    spread(body.stream(), &[module, &[name]].concat(), found);
                }
            }
            TokenTree::Ident(ident) => {
                rest.push_front(TokenTree::Ident(ident));
                path(&mut rest, Vec::new(), module, found);
            }
            _ => {}
        }
    }
}

/// Takes one path, or one use tree, off the front.
fn path(rest: &mut VecDeque<TokenTree>, mut segments: Vec<String>, module: &[String], found: &mut Vec<Path>) {
    let mut line = 0;
    loop {
        match rest.pop_front() {
            Some(TokenTree::Ident(ident)) => {
                line = ident.span().start().line;
                segments.push(ident.to_string());
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' && !segments.is_empty() => {
                line = star.span().start().line;
                segments.push("*".into());
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && !segments.is_empty() => {
                return tree(&group, &segments, module, found);
            }
            Some(other) => {
                rest.push_front(other);
                break;
            }
            None => break,
        }
        if !separator(rest) {
            break;
        }
    }
    found.push(Path { segments: resolve(segments, module), line });
}

fn tree(group: &Group, prefix: &[String], module: &[String], found: &mut Vec<Path>) {
    let mut rest: VecDeque<TokenTree> = group.stream().into_iter().collect();
    while !rest.is_empty() {
        path(&mut rest, prefix.to_vec(), module, found);
        // What follows a path up to the comma is its other name.
        while rest.pop_front().is_some_and(|token| token.to_string() != ",") {}
    }
}

fn separator(rest: &mut VecDeque<TokenTree>) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    let there = colon(rest.front()) && colon(rest.get(1));
    if there {
        rest.drain(..2);
    }
    there
}

fn resolve(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = segments.iter().take_while(|segment| *segment == "super" || *segment == "self").count();
    if ups == 0 {
        return segments;
    }
    let supers = segments[..ups].iter().filter(|segment| *segment == "super").count();
    let base = &module[..module.len().saturating_sub(supers)];
    [&["crate".to_owned()], base, &segments[ups..]].concat()
}

#[test]
fn paths_are_found_in_trees_macros_and_inline_modules_but_not_in_comments() {
    let source = "// crate::no::comment\nuse a::{b, c::{d as e, *}};\nfn f<'static_>() { x.y::<crate::p>(); m!(super::q) }\n\
        mod t { use super::super::r; const S: &str = \"crate::no\"; }";
    let found = paths(source, &["me".into()]);
    let texts: Vec<String> = found.iter().map(Path::text).collect();
    for expected in ["a::b", "a::c::d", "a::c::*", "crate::p", "crate::q", "crate::r"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} not in {texts:?}");
    }
    assert!(!texts.iter().any(|text| text.contains("no")), "{texts:?}");
    assert_eq!(found.iter().find(|path| path.text() == "crate::p").map(|path| path.line), Some(3));
}
