//! Settling by rule: a task that looks at documents with a rule once they rest, and has the server write what the rules answer.
//!
//! Owns when a document is looked at, and how often: one at a time, at most half of the time, and never a second time for what it wrote itself. It keeps
//! nothing: at a start each document with a rule is looked at once. What is settled is decided by sync-core's `desk`, and written by `own`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sync_core::desk::Round;
use sync_core::id::{DocumentName, LogSeq};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backplane::{Announcement, Backplane};
use crate::clock::Clock;
use crate::config::settle::Settling;
use crate::materialise::ReadError;
use crate::own::{Own, OwnError};

/// A document is looked at once nothing was written to it for this time.
const REST: Duration = Duration::from_secs(1);

/// One that is written without a pause is looked at after this time all the same.
const BUSY: Duration = Duration::from_secs(30);

/// What could not be done now is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);

/// Most documents that wait; more are found by going through the store once these are done.
const WAITING_MAX: usize = 1_024;

/// Documents listed at a time.
const PAGE: usize = 100;

/// When a document is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    /// Beyond this it is not put off.
    latest: Instant,
}

/// The task's state.
pub(crate) struct Settler {
    own: Arc<Own>,
    rules: Settling,
    waiting: BTreeMap<DocumentName, Due>,
    /// Where going through the store goes on; `None` if that is done.
    listing: Option<Option<DocumentName>>,
    /// Some document was left out, or an announcement was lost.
    missed: bool,
    /// The end of the log that the last settlement made, with nothing of others in between.
    settled: Option<(DocumentName, LogSeq)>,
}

impl Settler {
    /// Starts the task, if there is a rule. It looks at all documents with one first. It may be ended at any time: what is written is written at
    /// once, and what is not is found again.
    pub(crate) fn start(own: &Arc<Own>, rules: Settling, backplane: &dyn Backplane) -> Option<JoinHandle<()>> {
        let (own, commits) = (own.clone(), backplane.subscribe());
        let settler = Self { own, rules, waiting: BTreeMap::new(), listing: Some(None), missed: false, settled: None };
        (!settler.rules.is_empty()).then(|| tokio::spawn(settler.run(commits)))
    }

    async fn run(mut self, mut commits: Receiver<Announcement>) {
        loop {
            let now = Instant::now();
            let next = self.waiting.iter().min_by_key(|(_, due)| due.at).map(|(name, due)| (name.clone(), due.at));
            match next {
                Some((document, at)) if at <= now => {
                    self.waiting.remove(&document);
                    self.look_at(document).await;
                    // As long a rest as it took, so that settling takes no more than half of the time.
                    self.hear_while(&mut commits, now.elapsed()).await;
                }
                _ if self.listing.is_some() => self.list().await,
                next => {
                    let due = next.map(|(_, at)| at);
                    let timer = async {
                        match due {
                            Some(at) => sleep_until(at).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        commit = commits.recv() => if !self.heard(commit) { return },
                        () = timer => {}
                    }
                }
            }
            if self.missed && self.waiting.is_empty() && self.listing.is_none() {
                (self.missed, self.listing) = (false, Some(None));
            }
        }
    }

    async fn hear_while(&mut self, commits: &mut Receiver<Announcement>, rest: Duration) {
        let mut rest = std::pin::pin!(sleep(rest));
        loop {
            tokio::select! {
                () = &mut rest => return,
                commit = commits.recv() => if !self.heard(commit) { return },
            }
        }
    }

    /// False once nothing more will come.
    fn heard(&mut self, commit: Result<Announcement, RecvError>) -> bool {
        match commit {
            Ok(Announcement { document, head }) => {
                let is_own = self.settled.take_if(|(name, seq)| *name == document && *seq == head).is_some();
                if head > LogSeq(0) && !is_own && self.rules.concerns(&document) {
                    self.wait(document, REST);
                }
            }
            Err(RecvError::Lagged(_)) => self.missed = true,
            Err(RecvError::Closed) => return false,
        }
        true
    }

    fn wait(&mut self, document: DocumentName, rest: Duration) {
        let now = Instant::now();
        if let Some(due) = self.waiting.get_mut(&document) {
            due.at = (now + rest).min(due.latest);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(document, Due { at: now + rest, latest: now + BUSY });
        } else {
            self.missed = true;
        }
    }

    /// Takes up the next documents of the store.
    async fn list(&mut self) {
        let Some(after) = self.listing.clone() else { return };
        match self.own.materialiser.list(after, PAGE).await {
            Ok(found) => {
                let is_last = found.len() < PAGE;
                self.listing = if is_last { None } else { found.last().map(|(name, _)| Some(name.clone())) };
                for (name, _) in found {
                    if self.rules.concerns(&name) {
                        self.wait(name, Duration::ZERO);
                    }
                }
            }
            Err(_) => sleep(RETRY).await,
        }
    }

    async fn look_at(&mut self, document: DocumentName) {
        if self.own.read_only(&document).is_some() {
            return;
        }
        let policies = self.rules.policies(&document);
        match self.own.write(document.clone(), move |desk| desk.settle(Clock::wall(), &policies)).await {
            Ok((Round { settled, left, more }, stored)) => {
                for (conflict, error) in left {
                    tracing::debug!(%document, %conflict, %error, "left to people");
                }
                let count = settled.len();
                if count > 0 {
                    tracing::debug!(%document, count, "settled conflicts by rule");
                }
                if more {
                    self.wait(document, Duration::ZERO);
                } else if let Some(stored) = stored.filter(|stored| stored.alone) {
                    self.settled = Some((document, stored.seq));
                }
            }
            Err(OwnError::Read(ReadError::Overloaded | ReadError::Store(_)) | OwnError::Silent) => {
                self.wait(document, RETRY);
            }
            Err(OwnError::Refused(code, _)) if code.is_retryable() => self.wait(document, RETRY),
            // It is gone, makes no sense, or takes no more: the next commit brings it here again.
            Err(e) => tracing::debug!(%document, error = %e, "conflicts are not settled"),
        }
    }
}
