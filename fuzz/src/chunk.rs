//! Takes a change chunk apart and puts it together again, with a checksum that fits: what a hostile writer does.

use sha2::{Digest, Sha256};

/// A change chunk by its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Deps, actor, seq, start_op, time, message and other actors, as they stand.
    pub head: Vec<u8>,
    /// Column specifications with their data, in order.
    pub columns: Vec<(u64, Vec<u8>)>,
    /// What stands behind the columns.
    pub extra: Vec<u8>,
}

/// Writes a number as LEB128.
pub fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number.
pub(crate) fn number(rest: &mut &[u8]) -> u64 {
    let bytes = leb(rest);
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// The bytes of one number.
pub(crate) fn leb(rest: &mut &[u8]) -> Vec<u8> {
    let length = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |at| at + 1);
    let (bytes, left) = rest.split_at(length);
    *rest = left;
    bytes.to_vec()
}

fn skip(bytes: &mut &[u8], count: u64) {
    *bytes = &bytes[count as usize..];
}

/// A chunk of a type around a body, with length and checksum.
pub fn wrap(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut rest = vec![kind];
    unsigned(&mut rest, body.len() as u64);
    rest.extend(body);
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83];
    out.extend(&Sha256::digest(&rest)[..4]);
    out.extend(rest);
    out
}

/// What stands in a well-formed chunk behind its length.
pub fn body(chunk: &[u8]) -> &[u8] {
    let mut rest = &chunk[9..];
    number(&mut rest);
    rest
}

impl Chunk {
    /// Takes a well-formed change apart.
    pub fn parse(chunk: &[u8]) -> Self {
        let body = body(chunk);
        let mut rest = body;
        let deps = number(&mut rest);
        skip(&mut rest, deps * 32);
        let actor = number(&mut rest);
        skip(&mut rest, actor);
        // seq, start_op, and time, which is signed but as long.
        for _ in 0..3 {
            number(&mut rest);
        }
        let message = number(&mut rest);
        skip(&mut rest, message);
        for _ in 0..number(&mut rest) {
            let other = number(&mut rest);
            skip(&mut rest, other);
        }
        let head = body[..body.len() - rest.len()].to_vec();
        let specs: Vec<(u64, u64)> = (0..number(&mut rest)).map(|_| (number(&mut rest), number(&mut rest))).collect();
        let mut columns = Vec::new();
        for (spec, length) in specs {
            columns.push((spec, rest[..length as usize].to_vec()));
            skip(&mut rest, length);
        }
        Self { head, columns, extra: rest.to_vec() }
    }

    /// Puts it together again.
    pub fn build(&self) -> Vec<u8> {
        let mut body = self.head.clone();
        unsigned(&mut body, self.columns.len() as u64);
        for (spec, data) in &self.columns {
            unsigned(&mut body, *spec);
            unsigned(&mut body, data.len() as u64);
        }
        self.columns.iter().for_each(|(_, data)| body.extend(data));
        body.extend(&self.extra);
        wrap(1, &body)
    }

    /// Replaces a column's data, adding it in its place if it is not there.
    pub fn with(mut self, spec: u64, data: &[u8]) -> Self {
        self.columns.retain(|(other, _)| *other != spec);
        if !data.is_empty() {
            self.columns.push((spec, data.to_vec()));
        }
        self.columns.sort_by_key(|(spec, _)| *spec);
        self
    }
}
