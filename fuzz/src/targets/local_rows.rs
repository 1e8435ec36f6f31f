//! What a local store gives a replica: rows that make no sense refuse the document with an error, and what opens can be edited, saved
//! and opened again as the same.

use std::cell::OnceCell;

use sync_core::storage::memory::MemoryLocalStore;
use sync_core::storage::{LocalStore as _, Table, Write};
use sync_core::time::Instant;

use crate::choices::{Choices as _, Input};
use crate::client::Client;
use crate::host::{Host, document};
use crate::line::Line;
use crate::material::{WORLDS, material};

/// Rows that are altered at most.
const ALTERED_MAX: usize = 8;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut store = if input.chance(100) { MemoryLocalStore::new() } else { honest(&mut input) };
    let mut damaged = false;
    for _ in 0..ALTERED_MAX {
        if input.is_empty() {
            break;
        }
        damaged |= alter(&mut input, &mut store);
    }
    let now = Instant(1);
    let mut client = Client::in_life(5, now, store, false);
    while client.store_step(now, None) {}
    if client.failed.is_some() || client.heads().is_none() {
        return assert!(damaged, "honest rows are refused: {:?}", client.failed);
    }
    for _ in 0..3 {
        client.edit(now, &mut input);
        while client.store_step(now, None) {}
    }
    let shown = client.heads();
    let mut again = Client::in_life(6, now, client.store.clone(), false);
    while again.store_step(now, None) {}
    assert_eq!(again.failed, None, "opened, edited, saved, and refused");
    assert_eq!(again.heads(), shown, "shows other changes after a restart");
}

thread_local! {
    static SETTLED: [OnceCell<MemoryLocalStore>; WORLDS] = const { [const { OnceCell::new() }; WORLDS] };
}

/// The rows of a client that has talked with a server, and edited since. The talk is the same for all inputs, and held once.
fn honest(input: &mut Input<'_>) -> MemoryLocalStore {
    let number = input.below(8) as usize % WORLDS;
    let settled = SETTLED.with(|settled| settled[number].get_or_init(|| settle(number)).clone());
    let now = Instant(1);
    let mut client = Client::in_life(4, now, settled, false);
    while client.store_step(now, None) {}
    for _ in 0..input.below(3) {
        client.edit(now, input);
        while client.store_step(now, None) {}
    }
    client.store
}

fn settle(number: usize) -> MemoryLocalStore {
    let mut line = Line::new(Host::new(&material(number).history));
    line.settle(|line| line.client.heads().is_some_and(|heads| !heads.is_empty()));
    line.client.store
}

/// Changes one row. Whether anything is other than before.
fn alter(input: &mut Input<'_>, store: &mut MemoryLocalStore) -> bool {
    let before = store.clone();
    let table = input.pick(&Table::ALL);
    let rows = store.read(table, b"").expect("a store in memory");
    let (key, value) = if rows.is_empty() || input.chance(100) {
        let key = if table == Table::Meta { b"identity".to_vec() } else { document().as_str().as_bytes().to_vec() };
        ([&key[..], input.bytes(9)].concat(), Vec::new())
    } else {
        input.pick(&rows)
    };
    let mut changed = value.clone();
    let write = match input.below(5) {
        0 => Write::Delete { table, key },
        1 => Write::Put { table, key, value: [&[1][..], input.bytes(200)].concat() },
        2 => {
            let (_, other) = if rows.is_empty() { (key.clone(), value) } else { input.pick(&rows) };
            Write::Put { table, key, value: other }
        }
        3 => {
            changed.truncate(input.index(changed.len() + 1));
            Write::Put { table, key, value: changed }
        }
        _ => {
            let at = input.index(changed.len() + 1);
            match changed.get_mut(at) {
                Some(byte) => *byte = byte.wrapping_add(input.byte()),
                None => changed.push(input.byte()),
            }
            Write::Put { table, key, value: changed }
        }
    };
    store.commit(&[write]).expect("a store in memory");
    *store != before
}
