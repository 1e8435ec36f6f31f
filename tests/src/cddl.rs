//! A checker for the part of CDDL (RFC 8610) that docs/protocol.cddl is written in, so that the page and the code can't part.
//!
//! Owns parsing rules and matching values. Refuses whatever it does not know, rather than letting it pass.

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::Value;

/// The rules of a file by name.
#[derive(Debug)]
pub struct Cddl {
    rules: BTreeMap<String, Type>,
}

#[derive(Debug, Clone)]
enum Type {
    Choice(Vec<Type>),
    Name(String),
    Sized(String, u64, u64),
    Number(i128),
    Array(Vec<Entry>),
    Map { keys: BTreeMap<i128, (bool, Type)>, open: bool },
}

#[derive(Debug, Clone)]
struct Entry {
    min: usize,
    max: usize,
    of: Type,
}

/// What a set of values touched: a message that no vector shows is no part of the protocol that anybody has seen.
#[derive(Debug, Default)]
pub struct Coverage {
    /// (rule, key) of map entries that were there.
    pub present: BTreeSet<(String, i128)>,
    /// (rule, key) of optional map entries that were left out.
    pub absent: BTreeSet<(String, i128)>,
    /// (rule, number) of chosen numbers.
    pub numbers: BTreeSet<(String, i128)>,
}

impl Cddl {
    /// Parses a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Tokens::new(text)?;
        let mut rules = BTreeMap::new();
        while let Some(name) = tokens.next() {
            tokens.expect("=")?;
            let of = tokens.choice()?;
            if rules.insert(name.clone(), of).is_some() {
                return Err(format!("two rules for {name}"));
            }
        }
        Ok(Self { rules })
    }

    /// Whether `value` is of the type named, and where not.
    pub fn check(&self, rule: &str, value: &Value, coverage: &mut Coverage) -> Result<(), String> {
        self.matches(rule, &Type::Name(rule.into()), value, coverage)
    }

    /// All (rule, key, optional) of maps reachable from the rules.
    pub fn keys(&self) -> BTreeSet<(String, i128, bool)> {
        let mut out = BTreeSet::new();
        for (name, of) in &self.rules {
            walk(of, &mut |of| {
                if let Type::Map { keys, .. } = of {
                    out.extend(keys.iter().map(|(key, (optional, _))| (name.clone(), *key, *optional)));
                }
            });
        }
        out
    }

    /// All (rule, number) that stand as such in a rule: kinds and codes.
    pub fn numbers(&self) -> BTreeSet<(String, i128)> {
        let mut out = BTreeSet::new();
        for (name, of) in &self.rules {
            walk(of, &mut |of| {
                if let Type::Number(n) = of {
                    out.insert((name.clone(), *n));
                }
            });
        }
        out
    }

    fn matches(&self, rule: &str, of: &Type, value: &Value, seen: &mut Coverage) -> Result<(), String> {
        let wrong = || Err(format!("{rule}: {value} is not {of:?}"));
        match (of, value) {
            (Type::Choice(options), _) => {
                let mut last = String::new();
                for option in options {
                    let mut trial = Coverage::default();
                    match self.matches(rule, option, value, &mut trial) {
                        Ok(()) => {
                            seen.add(trial);
                            return Ok(());
                        }
                        // Of several complaints, that about the option whose kind fits reaches deepest.
                        Err(e) if e.len() > last.len() || !e.contains("not Number") => last = e,
                        Err(_) => {}
                    }
                }
                Err(last)
            }
            (Type::Name(name), _) => match (self.rules.get(name), name.as_str(), value) {
                (Some(of), _, _) => self.matches(name, of, value, seen),
                (None, "any", _) | (None, "bstr", Value::Bytes(_)) | (None, "tstr", Value::Text(_)) => Ok(()),
                (None, "bool", Value::Bool(_)) => Ok(()),
                (None, "uint", Value::Int(i)) if *i >= 0 => Ok(()),
                (None, "int", Value::Int(_)) => Ok(()),
                (None, "bstr" | "tstr" | "bool" | "uint" | "int", _) => wrong(),
                (None, _, _) => Err(format!("{rule}: no rule {name}")),
            },
            (Type::Sized(base, min, max), _) => {
                let size = match (base.as_str(), value) {
                    ("bstr", Value::Bytes(b)) => b.len() as u64,
                    ("tstr", Value::Text(t)) => t.len() as u64,
                    ("uint", Value::Int(i)) if *i >= 0 && *i < 1 << (8 * *max) => *min,
                    _ => return wrong(),
                };
                if (*min..=*max).contains(&size) { Ok(()) } else { wrong() }
            }
            (Type::Number(n), Value::Int(i)) if n == i => {
                seen.numbers.insert((rule.into(), *n));
                Ok(())
            }
            (Type::Array(entries), Value::Array(items)) => self.matches_array(rule, entries, items, seen),
            (Type::Map { keys, open }, Value::Map(pairs)) => self.matches_map(rule, keys, *open, pairs, seen),
            _ => wrong(),
        }
    }

    fn matches_array(&self, rule: &str, entries: &[Entry], items: &[Value], seen: &mut Coverage) -> Result<(), String> {
        let mut rest = items;
        for entry in entries {
            let mut count = 0;
            while count < entry.max {
                let Some((item, after)) = rest.split_first() else { break };
                match self.matches(rule, &entry.of, item, seen) {
                    Ok(()) => (rest, count) = (after, count + 1),
                    Err(e) if count < entry.min || entry.max > 1 => return Err(e),
                    Err(_) => break,
                }
            }
            if count < entry.min {
                return Err(format!("{rule}: too few items"));
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{rule}: {} items too many", rest.len())) }
    }

    fn matches_map(
        &self,
        rule: &str,
        keys: &BTreeMap<i128, (bool, Type)>,
        open: bool,
        pairs: &[(Value, Value)],
        seen: &mut Coverage,
    ) -> Result<(), String> {
        let mut found = BTreeSet::new();
        for (key, value) in pairs {
            let Value::Int(key) = key else { return Err(format!("{rule}: key {key} is no number")) };
            if !found.insert(*key) {
                return Err(format!("{rule}: key {key} twice"));
            }
            match keys.get(key) {
                Some((_, of)) => {
                    self.matches(rule, of, value, seen)?;
                    seen.present.insert((rule.into(), *key));
                }
                None if open => {}
                None => return Err(format!("{rule}: unknown key {key}")),
            }
        }
        for (key, (optional, _)) in keys {
            if !found.contains(key) {
                if !optional {
                    return Err(format!("{rule}: key {key} is missing"));
                }
                seen.absent.insert((rule.into(), *key));
            }
        }
        Ok(())
    }
}

impl Coverage {
    fn add(&mut self, other: Coverage) {
        self.present.extend(other.present);
        self.absent.extend(other.absent);
        self.numbers.extend(other.numbers);
    }
}

fn walk(of: &Type, visit: &mut impl FnMut(&Type)) {
    visit(of);
    match of {
        Type::Choice(options) => options.iter().for_each(|o| walk(o, visit)),
        Type::Array(entries) => entries.iter().for_each(|e| walk(&e.of, visit)),
        Type::Map { keys, .. } => keys.values().for_each(|(_, of)| walk(of, visit)),
        Type::Name(_) | Type::Sized(..) | Type::Number(_) => {}
    }
}

struct Tokens(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Tokens {
    fn new(text: &str) -> Result<Self, String> {
        let mut out = Vec::new();
        for line in text.lines() {
            let mut rest = line.split(';').next().unwrap_or_default().trim_start();
            while let Some(first) = rest.chars().next() {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let len = match first {
                    _ if rest.starts_with("=>") || rest.starts_with("..") => 2,
                    '.' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
                    c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                    '=' | '/' | '[' | ']' | '{' | '}' | '(' | ')' | ',' | ':' | '?' | '*' | '+' => 1,
                    c => return Err(format!("unexpected {c:?} in {line:?}")),
                };
                out.push(rest[..len].to_owned());
                rest = rest[len..].trim_start();
            }
        }
        Ok(Self(out.into_iter().peekable()))
    }

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    fn take(&mut self, want: &str) -> bool {
        self.0.next_if(|t| t == want).is_some()
    }

    fn expect(&mut self, want: &str) -> Result<(), String> {
        match self.next() {
            Some(t) if t == want => Ok(()),
            t => Err(format!("expected {want}, not {t:?}")),
        }
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N, String> {
        let token = self.next().unwrap_or_default();
        token.parse().map_err(|_| format!("{token:?} is no number"))
    }

    fn choice(&mut self) -> Result<Type, String> {
        let mut options = vec![self.single()?];
        while self.take("/") {
            options.push(self.single()?);
        }
        Ok(if options.len() == 1 { options.remove(0) } else { Type::Choice(options) })
    }

    fn single(&mut self) -> Result<Type, String> {
        let token = self.next().ok_or("a type is missing")?;
        match token.as_str() {
            "[" => self.array(),
            "{" => self.map(),
            t if t.starts_with(|c: char| c.is_ascii_digit()) => {
                t.parse().map(Type::Number).map_err(|_| format!("{t:?} is no number"))
            }
            t if t.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                if !self.take(".size") {
                    return Ok(Type::Name(token));
                }
                if !self.take("(") {
                    let size = self.number()?;
                    return Ok(Type::Sized(token, size, size));
                }
                let min = self.number()?;
                self.expect("..")?;
                let max = self.number()?;
                self.expect(")")?;
                Ok(Type::Sized(token, min, max))
            }
            t => Err(format!("{t:?} begins no type")),
        }
    }

    fn array(&mut self) -> Result<Type, String> {
        let mut entries = Vec::new();
        while !self.take("]") {
            let (min, max) = if self.take("*") {
                (0, usize::MAX)
            } else if self.take("+") {
                (1, usize::MAX)
            } else if self.take("?") {
                (0, 1)
            } else {
                (1, 1)
            };
            entries.push(Entry { min, max, of: self.choice()? });
            self.take(",");
        }
        Ok(Type::Array(entries))
    }

    fn map(&mut self) -> Result<Type, String> {
        let (mut keys, mut open) = (BTreeMap::new(), false);
        while !self.take("}") {
            if self.take("*") {
                for token in ["uint", "=>", "any"] {
                    self.expect(token)?;
                }
                open = true;
            } else {
                let optional = self.take("?");
                let key = self.number()?;
                self.expect(":")?;
                if keys.insert(key, (optional, self.choice()?)).is_some() {
                    return Err(format!("key {key} twice"));
                }
            }
            self.take(",");
        }
        Ok(Type::Map { keys, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_does_not_fit() {
        let cddl = Cddl::parse("a = [1, { 0: uint .size 4, ? 1: b, * uint => any }]\nb = bstr .size (1..2) ; c")
            .expect("CDDL");
        let int = Value::Int;
        let check = |pairs: Vec<(i128, Value)>| {
            let body = Value::Map(pairs.into_iter().map(|(k, v)| (int(k), v)).collect());
            cddl.check("a", &Value::Array(vec![int(1), body]), &mut Coverage::default()).is_ok()
        };
        assert!(check(vec![(0, int(4_294_967_295))]));
        assert!(check(vec![(0, int(0)), (1, Value::Bytes(vec![0])), (7, Value::Bool(true))]));
        assert!(!check(vec![]));
        assert!(!check(vec![(0, int(4_294_967_296))]));
        assert!(!check(vec![(0, int(0)), (1, Value::Bytes(vec![0; 3]))]));
        assert!(!check(vec![(0, int(0)), (0, int(0))]));
        assert!(Cddl::parse("a = #6.1").is_err());
        assert!(Cddl::parse("a = 1\na = 2").is_err());
    }
}
