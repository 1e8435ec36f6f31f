//! The players on their stage: clients with stores and networks of their own, and what is noted about them while they play.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sync_client::automerge::transaction::Transactable;
use sync_client::automerge::{ObjType, ROOT, ReadDoc, Value};
use sync_client::{ChangeHash, Client, ClientConfig, Document, InitValue};
use tokio::time::Instant;

use super::DOCUMENT;
use super::author::{Author, Notes};
use super::report::Cut;
use crate::proxy::{Counts, Proxy, Weather};
use crate::server::{Error, Server};
use crate::traces::{Concurrent, PlacedEdit, place};

/// How often the authors write.
pub(super) const TICK: Duration = Duration::from_millis(150);

const POLL: Duration = Duration::from_millis(5);
const COMMENT_EVERY: Duration = Duration::from_millis(900);
const LINE_EVERY: Duration = Duration::from_secs(1);
const EDITS_A_TICK_MAX: usize = 400;
const NETWORK_DELAY: Duration = Duration::from_millis(20);

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Player {
    /// Writes.
    Ann,
    /// Writes.
    Bo,
    /// Reads and comments.
    Cy,
}

impl Player {
    /// Everybody.
    pub(super) const ALL: [Player; 3] = [Player::Ann, Player::Bo, Player::Cy];
}

impl fmt::Display for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Player::Ann => "ann",
            Player::Bo => "bo",
            Player::Cy => "cy",
        })
    }
}

/// What a player has.
#[derive(Debug)]
pub(super) struct Cast {
    client: Client,
    /// The document.
    pub(super) document: Document,
    /// The network between it and the server.
    pub(super) proxy: Proxy,
    author: Option<Author>,
    /// Whether its network is cut now.
    pub(super) cut: bool,
    /// Edits and comments made so far.
    pub(super) edits: usize,
    /// Outbox lengths, one a tick.
    pub(super) outbox: Vec<usize>,
}

impl Cast {
    /// The text as this player sees it.
    pub(super) fn text(&self) -> String {
        self.document
            .read(|d| match d.get(ROOT, "text") {
                Ok(Some((Value::Object(ObjType::Text), text))) => d.text(&text).unwrap_or_default(),
                _ => String::new(),
            })
            .unwrap_or_default()
    }

    /// The comments as this player sees them, as JSON.
    pub(super) fn comments(&self) -> Vec<serde_json::Value> {
        self.document
            .read(|d| {
                let Ok(Some((_, list))) = d.get(ROOT, "comments") else { return Vec::new() };
                let text = |value: Value<'_>| value.into_string().unwrap_or_default();
                let of =
                    |id| d.map_range(&id, ..).map(|item| (item.key.to_string(), text(item.value.into_value()).into()));
                d.list_range(&list, ..).map(|item| serde_json::Value::Object(of(item.id()).collect())).collect()
            })
            .unwrap_or_default()
    }

    fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.document.read(|d| d.get_heads()).unwrap_or_default();
        heads.sort_unstable();
        heads
    }
}

/// Everything that plays.
#[derive(Debug)]
pub(super) struct Stage {
    /// The players.
    pub(super) cast: BTreeMap<Player, Cast>,
    /// When the play began.
    pub(super) start: Instant,
    /// Transactions in the history.
    pub(super) total: usize,
    /// Transactions that are played, as far as the authors could keep up.
    pub(super) due: usize,
    commented: Instant,
    lined: Instant,
}

/// What is noted when a network is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    at: Instant,
    edits: usize,
    swallowed: u64,
}

impl Stage {
    /// Gives each player a store, a network and the document.
    pub(super) async fn open(server: &Server, trace: &Concurrent) -> Result<Self, Error> {
        let (history, _) = place(trace);
        let inserts = history.iter().flat_map(|t| &t.edits).filter_map(|edit| match edit {
            PlacedEdit::Insert { after, element, .. } => Some((*element, *after)),
            PlacedEdit::Delete(_) => None,
        });
        let left = Arc::new(inserts.collect::<BTreeMap<_, _>>());
        let notes = Notes::default();
        let mut cast = BTreeMap::new();
        for (number, player) in Player::ALL.into_iter().enumerate() {
            let proxy = Proxy::start(server.address()).await?;
            proxy.set(Weather::delayed(NETWORK_DELAY));
            let url = format!("ws://{}/sync", proxy.address());
            let client = Client::open(ClientConfig::new(url, server.folder().join(player.to_string()))).await?;
            let document = client.document(DOCUMENT).await?;
            document.init("text", InitValue::Text)?;
            document.init("comments", InitValue::List)?;
            let author = (player != Player::Cy).then(|| Author::new(number, &history, left.clone(), notes.clone()));
            cast.insert(player, Cast { client, document, proxy, author, cut: false, edits: 0, outbox: Vec::new() });
        }
        let now = Instant::now();
        Ok(Self { cast, start: now, total: history.len(), due: 0, commented: now, lined: now })
    }

    /// How much of the history is played, from 0 to 1.
    pub(super) fn played(&self) -> f64 {
        self.due as f64 / self.total.max(1) as f64
    }

    /// Lets everybody do what is due when `part` of the history should be played.
    pub(super) fn play_to(&mut self, part: f64) -> Result<(), Error> {
        self.due = self.due.max((self.total as f64 * part) as usize);
        for cast in self.cast.values_mut() {
            let Some(author) = &mut cast.author else { continue };
            if author.has_work(self.due) {
                let (made, _) = cast.document.change(|tx| author.write(tx, self.due, EDITS_A_TICK_MAX))?;
                cast.edits += made;
            }
        }
        if self.commented.elapsed() >= COMMENT_EVERY {
            self.commented = Instant::now();
            self.comment()?;
        }
        for cast in self.cast.values_mut() {
            cast.outbox.push(cast.document.status().pending);
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Error> {
        let cast = self.cast.get_mut(&Player::Cy).expect("cy plays");
        let text = cast.text();
        let words: Vec<_> = text.split_whitespace().rev().take(4).collect();
        let quote = words.into_iter().rev().collect::<Vec<_>>().join(" ");
        let count = cast.edits + 1;
        cast.document.change(|tx| {
            let Some((_, list)) = tx.get(ROOT, "comments")? else { return Ok(()) };
            let comment = tx.insert_object(&list, tx.length(&list), ObjType::Map)?;
            tx.put(&comment, "by", "cy")?;
            tx.put(&comment, "on", quote)?;
            tx.put(&comment, "text", format!("comment {count}"))
        })?;
        cast.edits = count;
        Ok(())
    }

    /// Whether a line of progress is due.
    pub(super) fn due_for_a_line(&mut self) -> bool {
        let due = self.lined.elapsed() >= LINE_EVERY;
        if due {
            self.lined = Instant::now();
        }
        due
    }

    /// Drops every byte of a player from now on.
    pub(super) fn cut(&mut self, player: Player) -> Before {
        let cast = self.cast.get_mut(&player).expect("everybody plays");
        cast.proxy.set(Weather::dead());
        cast.cut = true;
        Before { at: Instant::now(), edits: cast.edits, swallowed: cast.proxy.counts().swallowed_bytes }
    }

    /// Gives a player its network back and waits, with nobody writing, until everybody has everything.
    pub(super) async fn heal(&mut self, player: Player, before: Before, within: Duration) -> Result<Cut, Error> {
        let cast = self.cast.get_mut(&player).expect("everybody plays");
        cast.cut = false;
        let (edits, counts) = (cast.edits - before.edits, cast.proxy.counts());
        let (lasted, healed) = (before.at.elapsed(), Instant::now());
        let changes = cast.document.outbox().len();
        cast.proxy.set(Weather::delayed(NETWORK_DELAY));
        self.settle(within).await?;
        let converged = healed.elapsed();
        let cost: Counts = self.cast[&player].proxy.counts().since(&counts);
        let swallowed = counts.swallowed_bytes - before.swallowed;
        Ok(Cut { player, lasted, edits, changes, swallowed, cost, converged })
    }

    /// Waits until nobody has anything pending and all hold the same changes.
    pub(super) async fn settle(&mut self, within: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut next_sample = started;
        while !self.is_settled() {
            if started.elapsed() > within {
                let states: Vec<_> = self.cast.iter().map(|(p, c)| format!("{p}: {:?}", c.document.status())).collect();
                return Err(format!("not in sync after {} s\n  {}", within.as_secs(), states.join("\n  ")).into());
            }
            tokio::time::sleep(POLL).await;
            if next_sample <= Instant::now() {
                next_sample += TICK;
                self.cast.values_mut().for_each(|c| c.outbox.push(c.document.status().pending));
            }
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let mut heads = self.cast.values().map(Cast::heads);
        let first = heads.next().unwrap_or_default();
        self.cast.values().all(|c| c.document.status().pending == 0) && heads.all(|h| h == first)
    }

    /// Whether an author has something left to write.
    pub(super) fn has_work(&self) -> bool {
        self.cast.values().filter_map(|c| c.author.as_ref()).any(|a| a.has_work(self.due))
    }

    /// Closes all clients.
    pub(super) async fn close(self) -> Result<(), Error> {
        for cast in self.cast.into_values() {
            drop(cast.document);
            cast.client.close().await?;
        }
        Ok(())
    }
}
