//! The long text as an automerge document.

use std::collections::BTreeSet;

use automerge::Automerge;
use automerge::sync::{Message, State, SyncDoc as _};
use sync_core::change::Change;
use tokio::task::JoinSet;

use super::{APART, Held};
use crate::figures::Error;
use crate::peers::Peer;
use crate::peers::client::{dial, join, name};
use crate::peers::line::Line;
use crate::peers::repo::{Names, Said, Stay, envelope};
use crate::process::Process;
use crate::rows::paper::Cost;
use crate::text::{self, Edit};
use crate::typing::Typist;

/// A text and two clients' copies of it.
pub(super) struct Text {
    name: &'static str,
    here: Copy,
    there: Copy,
}

/// A document, who writes it, and how far a server is known to be with it.
struct Copy {
    name: String,
    document: Automerge,
    typist: Typist,
    state: State,
}

impl Copy {
    fn typed(&mut self, count: usize) -> Result<(), Error> {
        let changes = self.typist.typed(count)?;
        Ok(self.document.apply_changes(changes.into_iter().map(Change::into_automerge))?)
    }

    /// As it is stored while away.
    fn away(&mut self) -> Result<(), Error> {
        self.state = State::decode(&self.state.encode())?;
        Ok(())
    }

    /// Speaks until both sides have all of both.
    async fn agree(&mut self, line: &mut Line, names: &Names) -> Result<(), Error> {
        let mut kind = if self.document.get_heads().is_empty() { "request" } else { "sync" };
        loop {
            if let Some(message) = self.document.generate_sync_message(&mut self.state) {
                line.send(envelope(kind, names, &message.encode())?).await?;
                kind = "sync";
            }
            let ours: BTreeSet<_> = self.document.get_heads().into_iter().collect();
            if self
                .state
                .their_heads
                .as_ref()
                .is_some_and(|theirs| theirs.iter().copied().collect::<BTreeSet<_>>() == ours)
            {
                return Ok(());
            }
            self.hear(line, names).await?;
        }
    }

    /// Takes in the next message for it.
    async fn hear(&mut self, line: &mut Line, names: &Names) -> Result<(), Error> {
        loop {
            let frame = line.next().await?;
            let said = Said::read(&frame)?;
            if said.kind == "sync" && said.document == names.document {
                let message = Message::decode(said.data)?;
                return Ok(self.document.receive_sync_message(&mut self.state, message)?);
            }
        }
    }
}

impl Text {
    /// Types it.
    pub(super) fn new(name: &'static str, edits: &[Edit]) -> Result<Self, Error> {
        let (typist, changes) = text::written(edits)?;
        let mut document = Automerge::new();
        document.apply_changes(changes.into_iter().map(Change::into_automerge))?;
        let other = typist.beside(901);
        let copy = |typist| Copy { name: self::name(), document: document.clone(), typist, state: State::new() };
        Ok(Self { name, here: copy(typist), there: copy(other) })
    }
}

/// A client that has joined, from the first message on.
async fn joined(peer: Peer, server: &Process, who: &str, stay: Stay, document: &str) -> Result<(Line, Names), Error> {
    let mut line = Line::measured(dial(peer, server.address, document).await?, server).await?;
    let names = join(&mut line, who, stay, document).await?;
    Ok((line, names))
}

impl Held for Text {
    async fn bring(&mut self, peer: Peer, server: &Process) -> Result<(), Error> {
        for copy in [&mut self.here, &mut self.there] {
            let (mut line, names) = joined(peer, server, &copy.name, Stay::Returns, self.name).await?;
            copy.agree(&mut line, &names).await?;
            copy.away()?;
        }
        Ok(())
    }

    /// They keep what they have loaded.
    async fn stay(&self, _: Peer, _: &Process, _: &mut JoinSet<()>) -> Result<(), Error> {
        Ok(())
    }

    async fn cold(&self, peer: Peer, server: &Process) -> Result<Cost, Error> {
        let expected = self.here.document.get_heads();
        let (mut line, names) = joined(peer, server, &name(), Stay::Once, self.name).await?;
        let (mut document, mut state) = (Automerge::new(), State::new());
        let mut kind = "request";
        loop {
            if let Some(message) = document.generate_sync_message(&mut state) {
                line.send(envelope(kind, &names, &message.encode())?).await?;
                kind = "sync";
            }
            let frame = line.next().await?;
            let said = Said::read(&frame)?;
            if said.kind == "sync" && said.document == names.document {
                let message = Message::decode(said.data)?;
                // What the server spent is known before the client begins to load.
                let cost = line.cost(server)?;
                document.receive_sync_message(&mut state, message)?;
                if document.get_heads() == expected {
                    return Ok(Cost { wall_ms: line.cost(server)?.wall_ms, ..cost });
                }
            }
        }
    }

    async fn reconnect(&mut self, peer: Peer, server: &Process) -> Result<Cost, Error> {
        self.there.typed(APART)?;
        let (mut line, names) = joined(peer, server, &self.there.name, Stay::Returns, self.name).await?;
        self.there.agree(&mut line, &names).await?;
        drop(line);
        self.there.away()?;
        self.here.typed(APART)?;
        let (mut line, names) = joined(peer, server, &self.here.name, Stay::Returns, self.name).await?;
        self.here.agree(&mut line, &names).await?;
        let cost = line.cost(server)?;
        self.here.away()?;
        Ok(cost)
    }
}
