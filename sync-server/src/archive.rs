//! The file that holds an exported store: a magic line, then CBOR items, one document or pack each, then an end that counts them.
//!
//! Item shapes: `[0, name, incarnation or null, head, digest, [tombstones]]`, `[1, first, count, digest, bytes]` of the document
//! before it, `[2, documents, packs]`. Whoever reads one without its end knows that it is cut off.

use std::io::{self, Read, Write};

use bytes::Bytes;
use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::storage::{DocumentRecord, StoredPack};

/// How such a file begins.
pub(crate) const MAGIC: &[u8] = b"rejoin store 1\n";

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Longest item, which is more than a store can hold in one row.
const ITEM_BYTES_MAX: usize = 1 << 30;

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Document(DocumentName, DocumentRecord),
    Pack(StoredPack),
    End { documents: u64, packs: u64 },
}

impl Item {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut e = Encoder::new(Vec::new());
        let written = match self {
            Self::Document(name, record) => (|| {
                e.array(6)?.u8(0)?.str(name.as_str())?.encode(record.incarnation)?;
                e.u64(record.head.0)?.encode(record.digest)?.encode(&record.deleted)?.ok()
            })(),
            Self::Pack(pack) => (|| {
                e.array(5)?.u8(1)?.u64(pack.first.0)?.u32(pack.count)?.encode(pack.digest)?.bytes(&pack.bytes)?.ok()
            })(),
            Self::End { documents, packs } => (|| e.array(3)?.u8(2)?.u64(*documents)?.u64(*packs)?.ok())(),
        };
        let written: Result<(), minicbor::encode::Error<std::convert::Infallible>> = written;
        written.expect("a vector takes any bytes");
        out.write_all(&e.into_writer())
    }

    pub(crate) fn read(d: &mut Decoder<'_>) -> Result<Self, Error> {
        d.array()?.ok_or_else(|| Error::message("an item has a definite length"))?;
        match d.u8()? {
            0 => {
                let name = DocumentName::parse(d.str()?).map_err(|e| Error::message(e.to_string()))?;
                let incarnation = if d.datatype()? == Type::Null {
                    d.null()?;
                    None
                } else {
                    Some(d.decode::<Incarnation>()?)
                };
                let (head, digest, deleted) = (LogSeq(d.u64()?), d.decode::<Digest>()?, d.decode()?);
                Ok(Self::Document(name, DocumentRecord { incarnation, head, digest, deleted }))
            }
            1 => Ok(Self::Pack(StoredPack {
                first: LogSeq(d.u64()?),
                count: d.u32()?,
                digest: d.decode()?,
                bytes: Bytes::copy_from_slice(d.bytes()?),
                outside: None,
            })),
            2 => Ok(Self::End { documents: d.u64()?, packs: d.u64()? }),
            _ => Err(Error::message("an item of a kind that this version does not know")),
        }
    }
}

/// The items of a file, of which one is in memory at a time.
pub(crate) struct Items<R> {
    from: R,
    /// What was read of it last.
    held: Vec<u8>,
    /// How much of that was given.
    given: usize,
}

impl<R: Read> Items<R> {
    /// Behind the magic line.
    pub(crate) fn new(from: R) -> Self {
        Self { from, held: Vec::new(), given: 0 }
    }

    /// The next one; `None` where the file ends, [`io::ErrorKind::UnexpectedEof`] where it ends within an item.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let mut d = Decoder::new(&self.held[self.given..]);
            match Item::read(&mut d) {
                Ok(item) => {
                    self.given += d.position();
                    return Ok(Some(item));
                }
                Err(e) if e.is_end_of_input() => {}
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
            }
            self.held.drain(..self.given);
            self.given = 0;
            if self.held.len() > ITEM_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an item is larger than any pack"));
            }
            if self.read_on()? == 0 {
                return if self.held.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads what there is, without waiting for more: it may come through a pipe. How much that was.
    fn read_on(&mut self) -> io::Result<usize> {
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.from.read(&mut self.held[before..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.held.truncate(before + read.as_ref().map_or(0, |read| *read));
        read
    }
}
