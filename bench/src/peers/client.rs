//! One document of a peer as one client has it open, without keeping it: writes the changes of a script, or tells which of them came.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use automerge::sync::Message;

use super::Peer;
use super::line::Line;
use super::repo::{self, Brought, Names, Stay};
use super::script::{Proof, Script};
use super::yjs::{self, Said};
use crate::figures::Error;
use crate::wire::Socket;

/// Numbers the clients of this process, so that no two have one name.
static CLIENTS: AtomicU64 = AtomicU64::new(1);

/// What a client has come for.
pub(super) enum Role {
    /// To write a script into a document of its own making.
    Writer,
    /// To be told of it.
    Reader,
    /// To be told of it, and to keep the whole document beside.
    Prover(Proof),
}

/// A client with one document open.
pub(super) struct Client {
    line: Line,
    peer: Peer,
    script: Arc<Script>,
    talk: Talk,
    role: Role,
    /// Changes of the script that were written, or that came without a hole.
    held: u64,
    /// Changes written that the server is known to have.
    acked: u64,
}

enum Talk {
    Yjs(yjs::Talk),
    Repo(Names),
}

impl Client {
    /// Opens a document.
    pub(super) async fn open(
        peer: Peer,
        address: SocketAddr,
        document: &str,
        script: &Arc<Script>,
        role: Role,
    ) -> Result<Self, Error> {
        let mut line = Line::new(dial(peer, address, document).await?);
        let talk = if peer.is_yjs() {
            let talk = talk(peer, document);
            if peer == Peer::Hocuspocus {
                line.send(talk.token()).await?;
            }
            line.send(talk.step1(yjs::EMPTY)).await?;
            Talk::Yjs(talk)
        } else {
            let names = join(&mut line, &name(), Stay::Once, document).await?;
            if !matches!(role, Role::Writer) {
                let request = repo::message(&[], &[], &[], None);
                line.send(repo::envelope("request", &names, &request)?).await?;
            }
            Talk::Repo(names)
        };
        let mut client = Self { line, peer, script: script.clone(), talk, role, held: 0, acked: 0 };
        if peer.is_yjs() {
            while !client.hear().await?.opened {}
        }
        Ok(client)
    }

    /// Waits until the first `count` changes have come.
    pub(super) async fn until(&mut self, count: u64) -> Result<(), Error> {
        while self.held < count {
            self.hear().await?;
        }
        Ok(())
    }

    /// Stays, with nothing to come that asks for an answer, until the connection ends.
    pub(super) async fn stay(mut self) {
        self.line.socket.hold().await;
    }

    /// Changes written and not known to be at the server.
    pub(super) fn unanswered(&self) -> u64 {
        self.held - self.acked
    }

    /// How many changes have been written, or have come without a hole.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Bytes that came since the upgrade.
    pub(super) fn bytes_down(&self) -> u64 {
        self.line.socket.bytes().1
    }

    /// The proof that it has kept.
    pub(super) fn proof(&self) -> Option<&Proof> {
        if let Role::Prover(proof) = &self.role { Some(proof) } else { None }
    }

    /// Writes the next change of the script.
    pub(super) async fn write(&mut self) -> Result<(), Error> {
        let place = self.held as usize;
        let frame = match (&self.talk, &*self.script) {
            (Talk::Yjs(talk), Script::Yjs { updates, .. }) => talk.update(updates.get(place).ok_or("nothing left")?),
            (Talk::Repo(names), Script::Repo { changes, .. }) => {
                let change = changes.get(place).ok_or("nothing left to write")?;
                let shared = self.script.heads(self.acked);
                let since = self.script.hashes(self.acked..self.held + 1);
                let message = repo::message(&[change.hash()], &shared, &since, Some(change.bytes()));
                repo::envelope("sync", names, &message)?
            }
            _ => return Err("a script for another peer".into()),
        };
        self.held += 1;
        self.line.send(frame).await
    }

    /// Writes until the script ends or `until` has come, at most so many changes unanswered, and waits for the last answer.
    pub(super) async fn pipeline(&mut self, in_flight: u64, until: Instant) -> Result<(), Error> {
        loop {
            let more = self.held < self.script.len() as u64 && Instant::now() < until;
            if more && self.unanswered() < in_flight {
                self.write().await?;
            } else if self.unanswered() > 0 {
                self.hear().await?;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes in the next message, and answers it as a client that keeps the document does.
    pub(super) async fn hear(&mut self) -> Result<Heard, Error> {
        let frame = self.line.next().await?;
        let mut heard = Heard::default();
        match &self.talk {
            Talk::Yjs(talk) => match talk.read(&frame)? {
                Said::Taken => self.acked += u64::from(self.acked < self.held),
                Said::Update(_) if matches!(self.role, Role::Writer) => {
                    // y-websocket gives a writer back what it wrote, which is all the answer there is.
                    self.acked += u64::from(self.peer == Peer::YWebsocket);
                }
                said @ (Said::Step2(update) | Said::Update(update)) => {
                    heard.opened = matches!(said, Said::Step2(_));
                    heard.brought = yjs::brought(update)?;
                    if let Role::Prover(proof) = &mut self.role {
                        proof.take(update)?;
                    }
                }
                Said::Step1(_) | Said::Other => {}
            },
            Talk::Repo(names) => {
                let said = repo::Said::read(&frame)?;
                if said.kind == "sync" && said.document == names.document {
                    let names = names.clone();
                    heard.brought = self.sync(&Message::decode(said.data)?, &names).await?;
                }
            }
        }
        if !matches!(self.role, Role::Writer) {
            self.held = reached(self.held, &heard.brought);
        }
        Ok(heard)
    }

    async fn sync(&mut self, message: &Message, names: &Names) -> Result<Vec<Range<u64>>, Error> {
        let there = self.script.place(&message.heads).map_or(0, |place| place + 1);
        if matches!(self.role, Role::Writer) {
            self.acked = self.acked.max(there);
            return Ok(Vec::new());
        }
        let mut brought = Vec::new();
        for piece in repo::brought(&message.changes)? {
            brought.push(match piece {
                Brought::Change(change) => change.seq() - 1..change.seq(),
                Brought::Document => 0..there,
            });
        }
        if let Role::Prover(proof) = &mut self.role {
            message.changes.iter().try_for_each(|piece| proof.take(piece))?;
        }
        let held = reached(self.held, &brought);
        if !brought.is_empty() || held != there {
            let heads = self.script.heads(held);
            let answer = repo::message(&heads, &heads, &[], None);
            self.line.send(repo::envelope("sync", names, &answer)?).await?;
        }
        Ok(brought)
    }
}

/// What a message said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Changes of the script that it brought, by their places.
    pub(super) brought: Vec<Range<u64>>,
    /// It was the answer to opening.
    opened: bool,
}

/// How far a client has all, that had the first `held` and got ranges in this order.
pub(super) fn reached(held: u64, brought: &[Range<u64>]) -> u64 {
    brought.iter().fold(held, |held, range| if range.start <= held { held.max(range.end) } else { held })
}

/// Connects to where a document of a peer is.
pub(super) async fn dial(peer: Peer, address: SocketAddr, document: &str) -> Result<Socket, Error> {
    let path = if peer == Peer::YWebsocket { format!("/{document}") } else { "/".into() };
    Socket::dial(address, &path, None).await
}

/// How messages to a document look on a Yjs server.
pub(super) fn talk(peer: Peer, document: &str) -> yjs::Talk {
    yjs::Talk::new((peer == Peer::Hocuspocus).then_some(document))
}

/// A name that nobody else here has.
pub(super) fn name() -> String {
    format!("client-{:08}", CLIENTS.fetch_add(1, Ordering::Relaxed))
}

/// Joins a server of automerge-repo's kind.
pub(super) async fn join(line: &mut Line, sender: &str, stay: Stay, document: &str) -> Result<Names, Error> {
    line.send(repo::join(sender, stay)?).await?;
    loop {
        let frame = line.next().await?;
        let said = repo::Said::read(&frame)?;
        if said.kind == "peer" {
            let document = repo::document_id(document);
            return Ok(Names { sender: sender.into(), server: said.sender.into(), document });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_not_passed_over() {
        assert_eq!(reached(0, &[0..1, 1..4]), 4);
        assert_eq!(reached(2, &[0..3, 0..5]), 5);
        assert_eq!(reached(2, &[3..5, 4..6]), 2);
        assert_eq!(reached(5, &[0..2, 1..3]), 5);
    }
}
