//! CBOR as a plain value, for tests that look at wire bytes without the message types.
//!
//! Owns reading, writing and printing the part of CBOR that the protocol uses. Knows no message.

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder, decode};

/// A CBOR value of definite length.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i128),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// Pairs in the order they were written.
    Map(Vec<(Value, Value)>),
    /// `true` or `false`.
    Bool(bool),
}

impl Value {
    /// All values in a sequence.
    pub fn sequence(bytes: &[u8]) -> Result<Vec<Self>, decode::Error> {
        let mut d = Decoder::new(bytes);
        let mut out = Vec::new();
        while d.position() < bytes.len() {
            out.push(Self::read(&mut d)?);
        }
        Ok(out)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let definite = |n: Option<u64>| n.ok_or_else(|| decode::Error::message("indefinite length"));
        Ok(match d.datatype()? {
            Type::Bool => Self::Bool(d.bool()?),
            Type::Bytes => Self::Bytes(d.bytes()?.to_vec()),
            Type::String => Self::Text(d.str()?.to_owned()),
            Type::Array => {
                let count = definite(d.array()?)?;
                Self::Array((0..count).map(|_| Self::read(d)).collect::<Result<_, _>>()?)
            }
            Type::Map => {
                let count = definite(d.map()?)?;
                Self::Map(
                    (0..count).map(|_| Ok((Self::read(d)?, Self::read(d)?))).collect::<Result<_, decode::Error>>()?,
                )
            }
            _ => Self::Int(d.int()?.into()),
        })
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.write(&mut e);
        e.into_writer()
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) {
        const TAKES: &str = "a vector takes any bytes";
        match self {
            Self::Int(i) => {
                e.int((*i).try_into().expect("a CBOR number")).expect(TAKES);
            }
            Self::Bytes(b) => {
                e.bytes(b).expect(TAKES);
            }
            Self::Text(t) => {
                e.str(t).expect(TAKES);
            }
            Self::Bool(b) => {
                e.bool(*b).expect(TAKES);
            }
            Self::Array(items) => {
                e.array(items.len() as u64).expect(TAKES);
                items.iter().for_each(|item| item.write(e));
            }
            Self::Map(pairs) => {
                e.map(pairs.len() as u64).expect(TAKES);
                for (key, value) in pairs {
                    key.write(e);
                    value.write(e);
                }
            }
        }
    }
}

/// In the diagnostic notation of RFC 8949.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Bytes(b) => write!(f, "h'{}'", hex::encode(b)),
            Self::Text(t) => write!(f, "{t:?}"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                write!(f, "{{{}}}", pairs.join(", "))
            }
        }
    }
}
