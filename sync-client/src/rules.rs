//! Rules for a document's conflicts, on this device.
//!
//! Owns which rules are in force and how a program reads their answers. Nothing is written: what a rule answers is `sync_core::resolver`'s, and
//! it is asked outside of the client's lock.

use sync_core::conflict::{Conflict, ConflictKind, ConflictState, Value};
use sync_core::replica::Listed;
use sync_core::resolver::{Policies, Policy, Ruling, project};

use crate::conflicts::ConflictFilter;
use crate::document::Document;
use crate::error::{Closed, NotReady};

/// A conflict with what the rules for its place make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruled {
    /// The conflict.
    pub conflict: Conflict,
    /// What the rules make of it; `None` if it is not open: settled, superseded, or refused by the server.
    pub ruling: Option<Ruling>,
}

impl Ruled {
    /// Whether somebody has to look at it.
    pub fn is_open(&self) -> bool {
        self.ruling.as_ref().is_some_and(|ruling| !ruling.is_projected)
    }
}

impl Document {
    /// Puts these rules in force for this document on this device, in place of those that were: of several that hold at a place the first counts.
    /// They answer on read and write nothing.
    pub fn set_policies(&self, policies: impl IntoIterator<Item = Policy>) -> Result<(), Closed> {
        let policies = Policies::new(policies);
        self.driver().with(|core, _| {
            if let Some(entry) = core.documents.get_mut(&self.id()) {
                entry.policies = policies;
            }
        })
    }

    /// The rules in force, in the order in which they are looked at.
    pub fn policies(&self) -> Policies {
        self.driver()
            .peek(|core| core.documents.get(&self.id()).map(|entry| entry.policies.clone()).unwrap_or_default())
    }

    /// What [`Document::conflicts`] lists, with what the rules make of each.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn ruled_conflicts(&self) -> Result<Vec<Ruled>, NotReady> {
        let policies = self.policies();
        let listed = self.conflicts_where(&ConflictFilter::default())?;
        Ok(listed.into_iter().map(|listed| ruled(&policies, listed)).collect())
    }

    /// The document's value with the answers of rules in the places of their conflicts, and until people have decided what they are to be shown
    /// meanwhile. The document itself is not changed.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn projected(&self) -> Result<Value, NotReady> {
        let ruled = self.ruled_conflicts()?;
        let answers = ruled.iter().filter_map(|ruled| {
            let answer = ruled.ruling.as_ref()?.answer.as_ref()?;
            Some((ruled.conflict.path.as_slice(), answer))
        });
        let mut value = self.value()?;
        project(&mut value, answers);
        Ok(value)
    }
}

fn ruled(policies: &Policies, listed: Listed) -> Ruled {
    let Listed { conflict, settled, .. } = listed;
    let is_open = settled.is_none() && conflict.state == ConflictState::Open && conflict.kind != ConflictKind::Rejected;
    let ruling = is_open.then(|| policies.rule(&conflict));
    Ruled { conflict, ruling }
}
