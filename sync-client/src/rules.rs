//! Rules for a document's conflicts, on this device.
//!
//! Owns which rules are in force and how a program reads their answers. Nothing is written: what a rule answers is `sync_core::resolver`'s, and
//! it is asked outside of the client's lock.

use sync_core::conflict::{Conflict, ConflictKind, ConflictState, Value};
use sync_core::replica::{DocumentId, Listed};
use sync_core::resolver::{Declaration, Placed, Policies, Policy, Ruling, project};
use sync_core::time::Instant;

use crate::conflicts::ConflictFilter;
use crate::document::Document;
use crate::driver::{Core, Driver};
use crate::error::{ChangeError, Closed, NotReady};

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
    /// They answer on read and write nothing. With the next edit here the document declares them, if it declares none, or an older version of them;
    /// where it declares another rule than is in force here, people decide, and [`Ruling::policy`] is `policy-mismatch`.
    pub fn set_policies(&self, policies: impl IntoIterator<Item = Policy>) -> Result<(), Closed> {
        let policies = Policies::new(policies);
        self.driver().with(|core, _| {
            if let Some(entry) = core.documents.get_mut(&self.id()) {
                entry.rules = Declaration::of(&policies);
                entry.policies = policies;
            }
        })
    }

    /// Declares the rules in force in the document in place of those that it declares: whoever has other ones sees that. False if there is nothing to write.
    ///
    /// # Errors
    /// As [`Document::change`].
    pub fn declare_policies(&self) -> Result<bool, ChangeError> {
        let done = self.driver().with(|core, now| {
            let rules = core.documents.get(&self.id()).and_then(|entry| entry.rules.as_ref());
            let text = rules.map(Declaration::encode);
            text.map_or(Ok(false), |text| core.replica.declare(now, Driver::wall(), self.id(), &text))
        })?;
        Ok(done?)
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
        let declared = self.driver().peek(|core| core.replica.declared(self.id()));
        let declared = declared.and_then(|text| Declaration::parse(&text));
        Ok(listed.into_iter().map(|listed| ruled(&policies, declared.as_ref(), listed)).collect())
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
            Some(Placed::of(&ruled.conflict, answer))
        });
        let mut value = self.value()?;
        project(&mut value, answers);
        Ok(value)
    }
}

/// After an edit: declares the rules in force if nobody has, or only an older version of them. If that fails, the next edit tries again.
pub(crate) fn declare_due(core: &mut Core, now: Instant, id: DocumentId) {
    let Some(rules) = core.documents.get(&id).and_then(|entry| entry.rules.as_ref()) else { return };
    let is_due = match core.replica.declared(id) {
        None => true,
        Some(text) => Declaration::parse(&text).is_some_and(|declared| rules.follows(&declared)),
    };
    if is_due {
        let _ = core.replica.declare(now, Driver::wall(), id, &rules.encode());
    }
}

fn ruled(policies: &Policies, declared: Option<&Declaration>, listed: Listed) -> Ruled {
    let Listed { conflict, settled, .. } = listed;
    let is_open = settled.is_none() && conflict.state == ConflictState::Open && conflict.kind != ConflictKind::Rejected;
    let ruling = is_open.then(|| policies.rule_beside(declared, &conflict));
    Ruled { conflict, ruling }
}
