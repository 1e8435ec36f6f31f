//! The long text as a Yjs document.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{ClientID, Doc, ReadTxn as _, StateVector, Text as _, Transact as _, Update};

use super::{APART, Held};
use crate::figures::Error;
use crate::peers::Peer;
use crate::peers::client::{Client, Role, dial, reached, talk};
use crate::peers::line::Line;
use crate::peers::script::Script;
use crate::peers::yjs::{AUTHOR, EMPTY, Said, TEXT, Typist, brought};
use crate::process::Process;
use crate::rows::paper::Cost;
use crate::text::Edit;

/// Updates unanswered while the text is brought to the server.
const IN_FLIGHT: u64 = 64;

/// How long bringing may go on.
const BRINGING: Duration = Duration::from_secs(600);

/// Who is away, and who writes meanwhile.
const HERE: u64 = 0x11d0_77a3;
const THERE: u64 = 0x5be1_0c92;

/// A text and two clients' copies of it.
pub(super) struct Text {
    name: &'static str,
    script: Arc<Script>,
    clock: u64,
    here: Doc,
    there: Doc,
}

impl Text {
    /// Types it.
    pub(super) fn new(name: &'static str, edits: &[Edit]) -> Result<Self, Error> {
        let (mut typist, mut updates) = (Typist::new(), Vec::new());
        for edit in edits {
            for _ in 0..edit.deleted {
                updates.push(typist.delete(edit.at)?);
            }
            for (index, character) in edit.inserted.chars().enumerate() {
                updates.push(typist.insert(edit.at + index, character)?);
            }
        }
        let (here, there) = (Doc::with_client_id(HERE), Doc::with_client_id(THERE));
        for update in &updates {
            apply(&here, update)?;
        }
        let whole = here.transact().encode_diff_v1(&StateVector::default());
        apply(&there, &whole)?;
        let held = [&here, &there].map(|copy| copy.transact().state_vector().get(&ClientID::new(AUTHOR)));
        if held != [typist.clock() as u32; 2] {
            return Err(format!("copies hold {held:?} of {} characters", typist.clock()).into());
        }
        let script = Arc::new(Script::Yjs { updates, text: String::new() });
        Ok(Self { name, script, clock: typist.clock(), here, there })
    }
}

fn apply(document: &Doc, update: &[u8]) -> Result<(), Error> {
    Ok(document.transact_mut().apply_update(Update::decode_v1(update)?)?)
}

/// Types at the end, an update a character.
fn typed(document: &Doc, count: usize) -> Vec<Vec<u8>> {
    let text = document.get_or_insert_text(TEXT);
    (0..count)
        .map(|number| {
            let mut transaction = document.transact_mut();
            let end = text.len(&transaction);
            text.insert(&mut transaction, end, &char::from(b'a' + (number % 26) as u8).to_string());
            transaction.encode_update_v1()
        })
        .collect()
}

impl Held for Text {
    async fn bring(&mut self, peer: Peer, server: &Process) -> Result<(), Error> {
        let mut writer = Client::open(peer, server.address, self.name, &self.script, Role::Writer).await?;
        writer.pipeline(IN_FLIGHT, Instant::now() + BRINGING).await?;
        if writer.held() < self.script.len() as u64 { Err("it took too long".into()) } else { Ok(()) }
    }

    async fn stay(&self, peer: Peer, server: &Process, company: &mut JoinSet<()>) -> Result<(), Error> {
        let mut reader = Client::open(peer, server.address, self.name, &self.script, Role::Reader).await?;
        reader.until(self.clock).await?;
        company.spawn(reader.stay());
        Ok(())
    }

    async fn cold(&self, peer: Peer, server: &Process) -> Result<Cost, Error> {
        let talk = talk(peer, self.name);
        let mut line = Line::measured(dial(peer, server.address, self.name).await?, server).await?;
        if peer == Peer::Hocuspocus {
            line.send(talk.token()).await?;
        }
        line.send(talk.step1(EMPTY)).await?;
        let mut held = 0;
        while held < self.clock {
            let frame = line.next().await?;
            // y-websocket gives what it has read so far, and the rest when it has read it.
            if let Said::Step2(update) | Said::Update(update) = talk.read(&frame)? {
                held = reached(held, &brought(update)?);
            }
        }
        line.cost(server)
    }

    async fn reconnect(&mut self, peer: Peer, server: &Process) -> Result<Cost, Error> {
        let talk = talk(peer, self.name);
        let theirs = typed(&self.there, APART);
        let script = Arc::new(Script::Yjs { updates: theirs, text: String::new() });
        let mut there = Client::open(peer, server.address, self.name, &script, Role::Writer).await?;
        there.pipeline(IN_FLIGHT, Instant::now() + BRINGING).await?;
        drop(there);
        let ours = yrs::merge_updates_v1(typed(&self.here, APART))?;
        let mut line = Line::measured(dial(peer, server.address, self.name).await?, server).await?;
        if peer == Peer::Hocuspocus {
            line.send(talk.token()).await?;
        }
        let held = self.here.transact().state_vector().encode_v1();
        line.send(talk.step1(&held)).await?;
        let mut waits = BTreeSet::from(["theirs", "the answer to ours"]);
        let mut sent = false;
        while !waits.is_empty() {
            let frame = line.next().await?;
            match talk.read(&frame)? {
                Said::Step1(there) => {
                    let diff = self.here.transact().encode_diff_v1(&StateVector::decode_v1(there)?);
                    line.send(talk.step2(&diff)).await?;
                    sent = true;
                }
                Said::Step2(update) => {
                    apply(&self.here, update)?;
                    waits.remove("theirs");
                }
                // y-websocket gives a writer back what it wrote.
                Said::Update(_) | Said::Taken if sent => drop(waits.remove("the answer to ours")),
                _ => {}
            }
        }
        let cost = line.cost(server)?;
        apply(&self.there, &ours)?;
        let (here, there) = (self.here.transact().state_vector(), self.there.transact().state_vector());
        if here == there { Ok(cost) } else { Err("who came back lacks what was written meanwhile".into()) }
    }
}
