//! A client's copy of a log: what it needs to follow the log, to come back to it, and to prove what comes.

use sync_core::id::{Cursor, StoreId};
use sync_core::limits::PackLimits;
use sync_core::log::Log;
use sync_core::pack;
use sync_core::protocol::{Changes, ClientMessage, Open, Opened, ServerMessage};

use crate::figures::Error;
use crate::wire::{Client, hello, open};

/// What is held of a log, and of which store it is.
pub(crate) struct Copy {
    pub(crate) log: Log,
    pub(crate) store_id: StoreId,
}

impl Copy {
    /// Opens a document from where the copy ends.
    pub(crate) fn resume(&self, name: &str) -> ClientMessage {
        let cursor = Cursor {
            store_id: self.store_id,
            incarnation: self.log.incarnation(),
            seq: self.log.head(),
            digest: self.log.digest(),
        };
        match open(name) {
            ClientMessage::Open(open) => ClientMessage::Open(Open { cursor: Some(cursor), ..open }),
            other => other,
        }
    }
}

/// Says hello and opens a document, from where the copy ends if there is one; else an empty one is begun.
pub(crate) async fn follow(client: &mut Client, name: &str, held: &mut Option<Copy>) -> Result<Opened, Error> {
    let opening = held.as_ref().map_or_else(|| open(name), |copy| copy.resume(name));
    client.send(&[hello(), opening]).await?;
    let mut store_id = None;
    loop {
        match client.next().await? {
            ServerMessage::Welcome(welcome) => store_id = Some(welcome.store_id),
            ServerMessage::Opened(opened) => {
                let store_id = store_id.ok_or("no welcome")?;
                held.get_or_insert_with(|| Copy { log: Log::new(opened.incarnation), store_id });
                return Ok(opened);
            }
            _ => {}
        }
    }
}

/// Adds a range to a log, each change's bytes and hash proven. How many changes came.
pub(crate) fn append(log: &mut Log, changes: &Changes) -> Result<usize, Error> {
    if changes.first != log.head().plus(1) {
        return Err(format!("a range at {} after {}", changes.first, log.head()).into());
    }
    let pack = changes.pack.as_ref().ok_or("no pack")?;
    let unpacked = pack::decode(&pack.0, log.table(), &PackLimits::default())?.changes;
    for change in &unpacked {
        log.append(change)?;
    }
    Ok(unpacked.len())
}

#[cfg(test)]
mod tests {
    use sync_core::id::{Incarnation, LogSeq, RoomNumber};

    use super::*;

    #[test]
    fn a_range_with_a_hole_before_it_is_refused() {
        let mut log = Log::new(Incarnation([1; 8]));
        let changes = Changes { room: RoomNumber(1), first: LogSeq(2), pack: None, sparse: None };
        assert!(append(&mut log, &changes).is_err());
    }
}
