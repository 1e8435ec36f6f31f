//! What a server's store gives a room: rows that do not make sense quarantine the document, and never make a room panic or show what
//! does not fit the record.

use bytes::Bytes;
use sync_core::id::{Digest, Incarnation};
use sync_core::id::{DocumentHandle, LogSeq, RoomNumber, SessionId, StoreId};
use sync_core::log::Log;
use sync_core::pack;
use sync_core::protocol::{Open, ServerMessage};
use sync_core::room::{self, Room};
use sync_core::scope::Access;
use sync_core::storage::{DocumentRecord, Loaded, StoreDone, StoreTask, StoredPack};
use sync_core::time::Instant;

use crate::choices::{Choices as _, Input};
use crate::host::document;
use crate::material::{Material, material};

/// Loads that a room may ask for with what it was given, beyond which it is held to ask for ever.
const LOADS_MAX: usize = 200;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let (mut record, mut packs) = honest(&material);
    let has_record = !input.chance(50) || input.is_empty();
    let mut altered = !has_record;
    for _ in 0..input.below(5) {
        altered = true;
        alter(&mut input, &mut record, &mut packs);
    }
    let store_id = StoreId([1; 16]);
    let mut room = Room::new(room::Config::new(store_id), document(), RoomNumber(1), [1; 32]);
    let session = SessionId(1);
    let open = Open {
        handle: DocumentHandle(1),
        document: document().as_str().into(),
        access: Access::Write,
        cursor: None,
        acked: None,
        clock: None,
        snapshot: None,
        packs: None,
    };
    let join = room::Request::Join { open: Box::new(open), access: Access::Write, accepts: 0 };
    room.handle_input(Instant(1), room::Input::Session(session, join));
    let mut loads = 0;
    while let Some(output) = room.poll_output() {
        match output {
            room::Output::Store(task, what @ (StoreTask::Load { .. } | StoreTask::Open { .. })) => {
                let after = if let StoreTask::Load { after, .. } = what { after } else { LogSeq(0) };
                loads += 1;
                assert!(loads <= LOADS_MAX, "the room asks for ever");
                let per_load = 1 + input.index(packs.len() + 1);
                // As a store would: packs that end at or before `after` are left out; what is damaged is given as it is.
                let rest = packs.iter().filter(|p| altered || p.last() > after);
                let rest = rest.take(per_load).cloned().collect();
                let loaded = Loaded { record: has_record.then(|| record.clone()), packs: rest, snapshot: None };
                room.handle_input(Instant(1), room::Input::StoreDone(task, StoreDone::Loaded(Ok(loaded))));
            }
            room::Output::Store(_, StoreTask::Append(_)) => panic!("nothing was pushed"),
            room::Output::Store(_, StoreTask::Pieces { .. }) => panic!("no snapshot was asked for"),
            room::Output::Deliver(_, message) => {
                let messages = ServerMessage::decode_all(&message.message).expect("a room sends messages");
                assert!(!messages.is_empty());
                // All that is sent is written at once.
                let flushed = room::Request::Flushed(message.message.len());
                room.handle_input(Instant(1), room::Input::Session(session, flushed));
            }
        }
    }
    assert!(altered || room.failure().is_none(), "an honest log is quarantined: {:?}", room.failure());
}

fn honest(material: &Material) -> (DocumentRecord, Vec<StoredPack>) {
    let incarnation = Incarnation([3; 8]);
    let mut log = Log::new(incarnation);
    let mut packs = Vec::new();
    for changes in material.history.chunks(4) {
        let first = log.head().plus(1);
        let bytes = pack::encode(changes, log.table().actor_count(), log.table()).expect("a history packs");
        for change in changes {
            log.append(change).expect("a causal order");
        }
        packs.push(StoredPack { first, count: changes.len() as u32, digest: log.digest(), bytes, outside: None });
    }
    let record =
        DocumentRecord { incarnation: Some(incarnation), head: log.head(), digest: log.digest(), deleted: Vec::new() };
    (record, packs)
}

fn alter(input: &mut Input<'_>, record: &mut DocumentRecord, packs: &mut Vec<StoredPack>) {
    if packs.is_empty() {
        return;
    }
    let at = input.index(packs.len());
    let numbers = [0, 1, 2, 9, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
    match input.below(11) {
        0 => record.head = LogSeq(input.pick(&numbers)),
        1 => record.digest = Digest([7; 8]),
        2 => record.incarnation = input.chance(500).then_some(Incarnation([8; 8])),
        3 => packs[at].first = LogSeq(input.pick(&numbers)),
        4 => packs[at].count = input.pick(&numbers) as u32,
        5 => packs[at].digest = Digest([7; 8]),
        6 => {
            let mut bytes = packs[at].bytes.to_vec();
            // An earlier alteration may have emptied it.
            if let Some(byte) = bytes.len().checked_sub(1).map(|last| input.index(last + 1)) {
                bytes[byte] ^= input.byte();
            }
            packs[at].bytes = bytes.into();
        }
        7 => packs[at].bytes = Bytes::copy_from_slice(input.bytes(200)),
        8 => drop(packs.remove(at)),
        9 => packs.insert(at, packs[at].clone()),
        _ => {
            let other = input.index(packs.len());
            packs.swap(at, other);
        }
    }
}
