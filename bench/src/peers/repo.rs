//! What automerge-repo's servers speak: its envelopes in CBOR, its document ids, and automerge's sync messages made without a document.

use automerge::sync::{BloomFilter, ChunkList, Have, Message, MessageFlags, MessageVersion};
use automerge::{Change, ChangeHash};
use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha256};

use crate::figures::Error;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Bytes of a document's id, and of the checksum behind it.
const ID_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;

/// What begins each chunk of automerge.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// Bytes of the magic and of the checksum behind it.
const CHUNK_HEAD_BYTES: usize = 8;

/// The kind of chunk that is a whole document.
const DOCUMENT: u8 = 0;

/// A name as an id of automerge-repo: Base58Check of sixteen bytes that look like a random UUID.
pub(super) fn document_id(name: &str) -> String {
    let mut digest = Sha256::digest(name);
    digest[6] = digest[6] & 0x0f | 0x40;
    digest[8] = digest[8] & 0x3f | 0x80;
    base58_check(&digest[..ID_BYTES])
}

fn base58_check(bytes: &[u8]) -> String {
    let check = Sha256::digest(Sha256::digest(bytes));
    let all = [bytes, &check[..CHECK_BYTES]].concat();
    let mut digits: Vec<u8> = Vec::new();
    for byte in &all {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    digits.extend(all.iter().take_while(|byte| **byte == 0).map(|_| 0));
    digits.iter().rev().map(|digit| char::from(BASE58[usize::from(*digit)])).collect()
}

/// Whether a client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It has no store of its own.
    Once,
    /// It has one, so that the server does well to remember how far it is.
    Returns,
}

/// The first message of a client.
pub(super) fn join(sender: &str, stay: Stay) -> Result<Vec<u8>, Error> {
    let mut out = Encoder::new(Vec::new());
    out.map(4)?.str("type")?.str("join")?.str("senderId")?.str(sender)?.str("peerMetadata")?;
    match stay {
        Stay::Once => out.map(1)?,
        Stay::Returns => out.map(2)?.str("storageId")?.str(sender)?,
    };
    out.str("isEphemeral")?.bool(stay == Stay::Once)?;
    out.str("supportedProtocolVersions")?.array(1)?.str("1")?;
    Ok(out.into_writer())
}

/// An envelope for a sync message: `sync`, or `request` from who has nothing of the document.
pub(super) fn envelope(kind: &str, names: &Names, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Encoder::new(Vec::with_capacity(data.len() + 160));
    out.map(5)?.str("type")?.str(kind)?.str("senderId")?.str(&names.sender)?;
    out.str("targetId")?.str(&names.server)?.str("documentId")?.str(&names.document)?;
    out.str("data")?.bytes(data)?;
    Ok(out.into_writer())
}

/// Who speaks of what with whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) sender: String,
    pub(super) server: String,
    pub(super) document: String,
}

/// A message from a server, as far as rows look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub(super) kind: &'a str,
    pub(super) sender: &'a str,
    pub(super) document: &'a str,
    pub(super) data: &'a [u8],
}

impl<'a> Said<'a> {
    /// Reads a frame. One that says that something is wrong is an error.
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Decoder::new(frame);
        let mut said = Self::default();
        for _ in 0..reader.map()?.ok_or("a map without a length")? {
            match reader.str()? {
                "type" => said.kind = reader.str()?,
                "senderId" => said.sender = reader.str()?,
                "documentId" => said.document = reader.str()?,
                "data" => said.data = reader.bytes()?,
                _ => reader.skip()?,
            }
        }
        match said.kind {
            "error" | "doc-unavailable" => Err(format!("the server says {}", said.kind).into()),
            _ => Ok(said),
        }
    }
}

/// A sync message of who holds a linear history up to `heads`, was last in agreement at `shared`, and has made `since` from there on.
pub(super) fn message(
    heads: &[ChangeHash],
    shared: &[ChangeHash],
    since: &[ChangeHash],
    change: Option<&[u8]>,
) -> Vec<u8> {
    let mut flags = MessageFlags::new();
    flags.set(MessageFlags::SUPPORTS_SYNC_RESET);
    let have = Have { last_sync: shared.to_vec(), bloom: BloomFilter::from_hashes(since.iter()) };
    let changes = change.map_or_else(ChunkList::empty, |bytes| ChunkList::from(bytes.to_vec()));
    let (heads, have) = (heads.to_vec(), vec![have]);
    Message { heads, need: Vec::new(), have, changes, flags: Some(flags), version: MessageVersion::V1 }.encode()
}

/// What a piece of a sync message brings.
#[derive(Debug)]
pub(super) enum Brought {
    /// One change, its bytes and hash proven.
    Change(Box<Change>),
    /// The whole document.
    Document,
}

/// Takes the pieces of a sync message apart, which may each be several chunks.
pub(super) fn brought(changes: &ChunkList) -> Result<Vec<Brought>, Error> {
    let mut out = Vec::with_capacity(changes.len());
    for mut piece in changes.iter() {
        while !piece.is_empty() {
            let (kind, chunk, rest) = chunk(piece)?;
            piece = rest;
            out.push(match kind {
                DOCUMENT => Brought::Document,
                _ => Brought::Change(Box::new(Change::from_bytes(chunk.to_vec())?)),
            });
        }
    }
    Ok(out)
}

/// The kind of the first chunk, its bytes, and what follows.
fn chunk(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Error> {
    let (head, rest) = bytes.split_at_checked(CHUNK_HEAD_BYTES).ok_or("a chunk is cut short")?;
    if head[..MAGIC.len()] != MAGIC {
        return Err("no chunk of automerge".into());
    }
    let (kind, rest) = rest.split_first().ok_or("a chunk is cut short")?;
    // LEB128 as lib0 has it.
    let mut reader = super::lib0::Reader(rest);
    let body = reader.bytes()?.len();
    let whole = bytes.len() - reader.0.len();
    debug_assert!(whole > body, "a chunk is longer than its body");
    let (chunk, rest) = bytes.split_at(whole);
    Ok((*kind, chunk, rest))
}

#[cfg(test)]
mod tests {
    use automerge::Automerge;
    use automerge::sync::{State, SyncDoc as _};

    use super::*;
    use crate::typing;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn ids_are_those_of_bs58check() {
        let counted: Vec<u8> = (0..16).collect();
        assert_eq!(base58_check(&counted), "1Bhh3pU9gLXZiNDL6PEa1Gs9fh");
        let zeros = [0, 0, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 200];
        assert_eq!(base58_check(&zeros), "11BaUTppFVaC9XZDSfvQLzqGRh8");
        assert_ne!(document_id("a"), document_id("b"));
    }

    #[test]
    fn envelopes_of_cbor_x_are_read() {
        let sync = "b9000564747970656473796e636873656e6465724964617368746172676574496461746464617461430102036a646f63756d656e7449646164";
        let sync = hex(sync);
        let said = Said::read(&sync).expect("an envelope");
        assert_eq!(said, Said { kind: "sync", sender: "s", document: "d", data: &[1, 2, 3] });
        let peer = "b90005647479706564706565726873656e646572496461736c706565724d65746164617461b900026973746f726167654964f76b6973457068656d6572616cf47773656c656374656450726f746f636f6c56657273696f6e61316874617267657449646174";
        assert_eq!(Said::read(&hex(peer)).expect("an envelope").kind, "peer");
        let names = Names { sender: "s".into(), server: "t".into(), document: "d".into() };
        let ours = envelope("sync", &names, &[1, 2, 3]).expect("it encodes");
        assert_eq!(Said::read(&ours).expect("an envelope"), said);
        assert!(Said::read(&envelope("doc-unavailable", &names, &[]).expect("it encodes")).is_err());
        assert_eq!(Said::read(&join("s", Stay::Returns).expect("it encodes")).expect("an envelope").kind, "join");
    }

    /// A server as automerge itself would be, a writer and a reader made by hand: both stay in step with it, message by message.
    #[test]
    fn messages_made_by_hand_are_what_automerge_takes_and_gives() {
        let (mut typist, first) = typing::begin(1).expect("it begins");
        let mut changes = vec![first];
        changes.extend(typist.typed(40).expect("it types"));
        let (mut server, mut to_writer, mut to_reader) = (Automerge::new(), State::new(), State::new());
        let mut shared = Vec::new();
        let opening = Message::decode(&message(&[], &[], &[], None)).expect("a message");
        server.receive_sync_message(&mut to_reader, opening).expect("it is taken");
        for (index, change) in changes.iter().enumerate() {
            let hash = change.hash();
            let write = message(&[hash], &shared, &[hash], Some(change.bytes()));
            server
                .receive_sync_message(&mut to_writer, Message::decode(&write).expect("a message"))
                .expect("it is taken");
            let answer = server.generate_sync_message(&mut to_writer).expect("an answer");
            assert_eq!(answer.heads, [hash]);
            assert!(answer.changes.is_empty(), "a writer got its own change {index} back");
            let told = server.generate_sync_message(&mut to_reader).expect("the reader is told");
            let pieces = brought(&Message::decode(&told.encode()).expect("a message").changes).expect("chunks");
            match &pieces[..] {
                [Brought::Change(got)] => assert_eq!(got.hash(), hash),
                [Brought::Document] => assert!(index < 3, "a whole document at {index}"),
                other => panic!("{other:?} at {index}"),
            }
            let answer = Message::decode(&message(&[hash], &[hash], &[], None)).expect("a message");
            server.receive_sync_message(&mut to_reader, answer).expect("it is taken");
            assert!(server.generate_sync_message(&mut to_reader).is_none());
            shared = vec![hash];
        }
        assert_eq!(server.get_heads(), shared);
    }

    #[test]
    fn several_changes_in_one_piece_are_taken_apart() {
        let (mut typist, first) = typing::begin(1).expect("it begins");
        let second = typist.append().expect("it types");
        let both = [first.bytes(), second.bytes()].concat();
        let pieces = brought(&ChunkList::from(both.clone())).expect("chunks");
        let hashes = pieces.iter().map(|piece| match piece {
            Brought::Change(change) => change.hash(),
            Brought::Document => panic!("no document was sent"),
        });
        assert_eq!(hashes.collect::<Vec<_>>(), [first.hash(), second.hash()]);
        assert!(brought(&ChunkList::from(both[..both.len() - 1].to_vec())).is_err());
        assert!(brought(&ChunkList::from(vec![0; 20])).is_err());
    }
}
