//! A room alone, with a store that answers when the test says so.

use automerge::{ActorId, ROOT, transaction::Transactable};
use bytes::Bytes;
use sync_core::document::Document;
use sync_core::id::{BatchId, ChangeHash, DocumentHandle, DocumentName, Incarnation, RoomNumber, SessionId, StoreId};
use sync_core::log::Log;
use sync_core::protocol::{Changes, Open, ServerMessage};
use sync_core::room::{Config, Input, Output, Request, Room};
use sync_core::scope::Access;
use sync_core::storage::{DocumentRecord, Durability, Loaded, StoreDone, StoreTask, StoredPack};
use sync_core::time::Instant;
use sync_core::{
    change::Change,
    limits::PackLimits,
    pack,
    table::{ChangeTable, Place},
};

const SESSION: SessionId = SessionId(1);

fn ask(room: &mut Room, request: Request) {
    room.handle_input(Instant(0), Input::Session(SESSION, request));
}

fn opening(room: &Room, handle: u32, access: Access) -> Request {
    let document = room.document().as_str().to_owned();
    let handle = DocumentHandle(handle);
    let (cursor, acked, clock, snapshot, packs) = (None, None, None, None, None);
    let open = Open { handle, document, access, cursor, acked, clock, snapshot, packs };
    Request::Join { open: Box::new(open), access, accepts: 0 }
}

fn join(room: &mut Room, handle: u32) {
    let request = opening(room, handle, Access::Write);
    ask(room, request);
}

/// A room that has loaded an empty document, which one session has open.
fn opened() -> Room {
    let name = DocumentName::parse("doc").expect("a name");
    let mut room = Room::new(Config::new(StoreId([1; 16])), name, RoomNumber(1), [0; 32]);
    join(&mut room, 1);
    let Some(Output::Store(task, StoreTask::Open { .. })) = room.poll_output() else { panic!("no load") };
    let nothing = Loaded { record: None, snapshot: None, packs: Vec::new() };
    room.handle_input(Instant(0), Input::StoreDone(task, StoreDone::Loaded(Ok(nothing))));
    room
}

/// A driver may feed all pushes that have come before it drains: one append then takes them, and one frame answers their writer.
#[test]
fn pushes_that_come_together_are_stored_and_answered_together() {
    let mut room = opened();
    while room.poll_output().is_some() {}
    let (mut document, mut held, actor) = (Document::new(), ChangeTable::new(), ActorId::from([7; 16]));
    for batch in 1..=3 {
        let edit = document.edit(&actor, 0, |tx| tx.put(ROOT, "k", batch as i64)).expect("an edit");
        let change = edit.1.expect("a change");
        let pack = pack::encode(std::slice::from_ref(&change), u32::from(batch > 1), &held).expect("deps are held");
        held.insert(&change).expect("it follows");
        ask(&mut room, Request::Push { batch: BatchId(batch), pack });
    }
    let outputs: Vec<_> = std::iter::from_fn(|| room.poll_output()).collect();
    let [Output::Store(task, StoreTask::Append(append))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(append.pack.count, 3);
    let done = StoreDone::Appended(Ok(Durability::Durable));
    room.handle_input(Instant(0), Input::StoreDone(*task, done));
    let outputs: Vec<_> = std::iter::from_fn(|| room.poll_output()).collect();
    let [Output::Deliver(SESSION, message)] = &outputs[..] else { panic!("{outputs:?}") };
    let told = ServerMessage::decode_all(&message.message).expect("messages");
    let acks =
        told.iter().map(|m| if let ServerMessage::Ack(ack) = m { (ack.batch.0, ack.first.0) } else { panic!("{m:?}") });
    assert_eq!(acks.collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
}

/// Seed 202. A client pushed, opened the document again on the same connection, and pushed the same again. What it had pushed first was
/// committed then, and not sent to it, as one who has that from its own push; but nothing told it where in the log that stands.
#[test]
fn who_opens_again_is_told_where_its_earlier_push_stands() {
    let mut room = opened();
    let edit = Document::new().edit(&ActorId::from([7; 16]), 0, |tx| tx.put(ROOT, "k", 1)).expect("an edit");
    let pack = pack::encode(&[edit.1.expect("a change")], 0, &ChangeTable::new()).expect("no deps");
    ask(&mut room, Request::Push { batch: BatchId(1), pack });
    ask(&mut room, Request::Leave);
    join(&mut room, 2);
    let outputs: Vec<_> = std::iter::from_fn(|| room.poll_output()).collect();
    let append =
        outputs.iter().find_map(|o| if let Output::Store(task, StoreTask::Append(_)) = o { Some(*task) } else { None });
    let done = StoreDone::Appended(Ok(Durability::Durable));
    room.handle_input(Instant(0), Input::StoreDone(append.expect("an append"), done));
    let told = std::iter::from_fn(|| room.poll_output()).filter_map(|o| match o {
        Output::Deliver(SESSION, message) => ServerMessage::decode_all(&message.message).ok(),
        _ => None,
    });
    let told: Vec<_> = told.flatten().collect();
    assert!(matches!(told.as_slice(), [ServerMessage::Changes(_)]), "{told:?}");
}

/// Typed and committed one by one; who comes later gets them in one piece, and in fewer bytes.
#[test]
fn small_packs_go_as_one_to_whoever_comes_back() {
    let mut room = opened();
    while room.poll_output().is_some() {}
    let (mut document, mut held, actor) = (Document::new(), ChangeTable::new(), ActorId::from([7; 16]));
    let mut alone = 0;
    let mut type_one = |room: &mut Room, batch: u32| {
        let edit = document.edit(&actor, 0, |tx| tx.put(ROOT, "k", i64::from(batch))).expect("an edit");
        let change = edit.1.expect("a change");
        let pack = pack::encode(std::slice::from_ref(&change), u32::from(batch > 1), &held).expect("deps are held");
        held.insert(&change).expect("it follows");
        alone += pack.len();
        ask(room, Request::Push { batch: BatchId(batch.into()), pack });
        let Some(Output::Store(task, StoreTask::Append(_))) = room.poll_output() else { panic!("nothing to store") };
        let done = StoreDone::Appended(Ok(Durability::Durable));
        room.handle_input(Instant(0), Input::StoreDone(task, done));
        while room.poll_output().is_some() {}
        alone
    };
    (1..=7).for_each(|batch| _ = type_one(&mut room, batch));
    let few = told(&mut room, SessionId(2));
    assert_eq!(few.iter().map(|changes| changes.first.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let alone = (8..=40).map(|batch| type_one(&mut room, batch)).last().expect("some");
    for session in [3, 4] {
        let [changes] = &told(&mut room, SessionId(session))[..] else { panic!("more than one piece") };
        let bytes = &changes.pack.as_ref().expect("a pack").0;
        assert!(bytes.len() * 2 < alone, "{} bytes, {alone} alone", bytes.len());
        let back = pack::decode(bytes, &ChangeTable::new(), &PackLimits::default()).expect("a pack").changes;
        assert_eq!(back.iter().map(Change::hash).collect::<Vec<_>>(), document_hashes(&held));
    }
}

/// What can't be read goes as it is, for its client to say so; what stands before and behind it is put together all the same.
#[test]
fn a_pack_that_cannot_be_read_parts_what_goes_as_one() {
    let (mut document, mut log, actor) = (Document::new(), Log::new(Incarnation([3; 8])), ActorId::from([7; 16]));
    let mut packs = Vec::new();
    for n in 1..=30 {
        let edit = document.edit(&actor, 0, |tx| tx.put(ROOT, "k", n)).expect("an edit");
        let change = edit.1.expect("a change");
        let bytes = pack::encode(std::slice::from_ref(&change), u32::from(n > 1), log.table()).expect("deps are held");
        let first = log.append(&change).expect("it follows");
        packs.push(StoredPack { first, count: 1, digest: log.digest(), bytes, outside: None });
    }
    let incarnation = Some(log.incarnation());
    let record = DocumentRecord { incarnation, head: log.head(), digest: log.digest(), deleted: Vec::new() };
    let name = DocumentName::parse("doc").expect("a name");
    let mut room = Room::new(Config::new(StoreId([1; 16])), name, RoomNumber(1), [0; 32]);
    join(&mut room, 1);
    let mut damaged = packs.clone();
    damaged[12].bytes = Bytes::from_static(b"no pack");
    let mut pieces = Vec::new();
    while let Some(output) = room.poll_output() {
        let loaded = |packs: &[StoredPack]| {
            let packs = packs.to_vec();
            StoreDone::Loaded(Ok(Loaded { record: Some(record.clone()), snapshot: None, packs }))
        };
        match output {
            Output::Store(task, StoreTask::Open { .. }) => {
                room.handle_input(Instant(0), Input::StoreDone(task, loaded(&packs)));
            }
            Output::Store(task, StoreTask::Load { after, .. }) => {
                let done = loaded(&damaged[after.0 as usize..]);
                room.handle_input(Instant(0), Input::StoreDone(task, done));
            }
            Output::Store(_, task) => panic!("{task:?}"),
            Output::Deliver(_, message) => pieces.extend(changes_of(&message.message)),
        }
    }
    assert_eq!(pieces.iter().map(|changes| changes.first.0).collect::<Vec<_>>(), [1, 13, 14]);
}

/// The changes that a session gets which opens now.
fn told(room: &mut Room, session: SessionId) -> Vec<Changes> {
    let join = opening(room, 1, Access::Read);
    room.handle_input(Instant(0), Input::Session(session, join));
    let mut all = Vec::new();
    while let Some(output) = room.poll_output() {
        let Output::Deliver(to, message) = output else { panic!("{output:?}") };
        assert_eq!(to, session);
        all.extend(changes_of(&message.message));
    }
    all
}

fn changes_of(frame: &[u8]) -> Vec<Changes> {
    let messages = ServerMessage::decode_all(frame).expect("messages").into_iter();
    messages.filter_map(|m| if let ServerMessage::Changes(changes) = m { Some(changes) } else { None }).collect()
}

fn document_hashes(table: &ChangeTable) -> Vec<ChangeHash> {
    (1..=table.len() as u32).filter_map(|seq| table.hash_at(Place { actor: 0, seq })).collect()
}
