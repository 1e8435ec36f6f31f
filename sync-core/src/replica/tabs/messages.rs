//! What tabs on one store say to each other. Those of a version with another database are not among them; one of a version before this may be,
//! so what was added since is optional.

use minicbor::{Decode, Encode};

use crate::clock::VectorClock;
use crate::id::{ChangeHash, DocumentName, LogSeq};
use crate::protocol::{Blob, Hash, messages};
use crate::replica::rows::ActorBytes;
use crate::time::WallTime;

messages! {
    /// What tabs say to each other.
    TabMessage {
        /// A tab has come and looks for a leader.
        0 => Hello(Greeting),
        /// The sender leads.
        1 => Lead(Lead),
        /// The link of a document.
        2 => Link(LinkFrame),
        /// How a document stands with the server.
        3 => Standing(Standing),
        /// The link of a document is to begin again.
        4 => Again(Again),
        /// The sender has closed a document.
        5 => Leave(Leave),
        /// The sender ends.
        6 => Bye(Empty),
        /// What to do with a change in the outbox.
        7 => Settle(Settle),
        /// The application wants a connection, or none.
        8 => Switch(Switch),
        /// Whether the leader's connection stands.
        9 => Online(Switch),
        /// Whether the leader is there.
        10 => Ask(Ask),
        /// It is.
        11 => Here(Empty),
        /// What a follower has found in the store, and can't stand on what is there.
        12 => Blocked(Blocked),
        /// Who writes on this device as well.
        13 => Writes(Greeting),
        /// How the device's clock stands.
        14 => Clock(Clock),
    }
}

/// Nothing more to say.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Empty {}

/// Who has come, or who writes.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Greeting {
    /// Under which actor it writes where it took no other.
    #[n(0)]
    pub(in crate::replica) actor: Option<ActorBytes>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Lead {
    /// Grows with each leader of the store.
    #[n(0)]
    pub epoch: u64,
    /// Whether the application wants a connection.
    #[n(1)]
    pub wanted: bool,
    /// Whether it stands.
    #[n(2)]
    pub online: bool,
}

/// How the device's clock stands to the server's.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Clock {
    /// What it shows now, if nobody has set it since the leader was welcomed.
    #[n(0)]
    pub wall: WallTime,
    /// By how much it is ahead, in milliseconds; zero where it is good enough.
    #[n(1)]
    pub ahead_ms: i64,
}

/// Whether the leader is there.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Ask {
    /// The epoch of the leader that the sender follows, if it knows one.
    #[n(0)]
    pub epoch: Option<u64>,
}

/// Bytes of a document's link.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct LinkFrame {
    /// The document.
    #[n(0)]
    pub document: String,
    /// Whether the link begins with it.
    #[n(1)]
    pub first: bool,
    /// What the link says.
    #[n(2)]
    pub frame: Blob,
    /// How often the sender's copy of the document has become another one, so that no copy from before brings back what was let go.
    #[n(3)]
    pub rebuilds: u64,
}

/// Changes in the store that stand on what was let go, to be kept as rejected.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Blocked {
    /// The document.
    #[n(0)]
    pub document: String,
    /// How often the sender's copy of it has become another one.
    #[n(1)]
    pub rebuilds: u64,
    /// The changes, in causal order.
    #[n(2)]
    pub changes: Vec<Blob>,
}

/// How a document stands with the server.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Standing {
    /// The document.
    #[n(0)]
    pub document: String,
    /// What is known to be in the log.
    #[n(1)]
    pub acked: VectorClock,
    /// Whether that is all that the server has said it has.
    #[n(2)]
    pub current: bool,
    /// Whether the server will not open it.
    #[n(3)]
    pub refused: bool,
    /// Up to where in the log that is all; if there is a view, where in the log it is.
    #[n(4)]
    pub seq: Option<LogSeq>,
    /// What the server shows of a document that it has not sent yet, said once.
    #[n(5)]
    pub view: Option<Blob>,
}

/// The link of a document is to begin again.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Again {
    /// The document.
    #[n(0)]
    pub document: String,
    /// The store has another document than before: read it first.
    #[n(1)]
    pub read: bool,
    /// Changes that were written again, and the new ones if anything of them survived.
    #[n(2)]
    pub replaced: Vec<ReplacedChange>,
}

/// A change that was written again.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ReplacedChange {
    /// The change.
    #[n(0)]
    pub old: Hash,
    /// What survived of it.
    #[n(1)]
    pub new: Option<Hash>,
}

/// A document was closed.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// The document.
    #[n(0)]
    pub document: String,
}

/// What to do with a change in the outbox.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Settle {
    /// The document.
    #[n(0)]
    pub document: String,
    /// The change.
    #[n(1)]
    pub change: Hash,
    /// Write it again; let it go otherwise.
    #[n(2)]
    pub retry: bool,
}

/// On or off.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Switch {
    /// Whether on.
    #[n(0)]
    pub on: bool,
}

impl Again {
    /// A document's link is to begin again.
    pub(super) fn new(document: &DocumentName, read: bool, replaced: &[(ChangeHash, Option<ChangeHash>)]) -> Self {
        let one =
            |(old, new): &(ChangeHash, Option<ChangeHash>)| ReplacedChange { old: Hash(*old), new: new.map(Hash) };
        Self { document: document.as_str().to_owned(), read, replaced: replaced.iter().map(one).collect() }
    }
}
