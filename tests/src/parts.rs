//! Messages as those who read along need them: whole, however they were cut on the way.

use sync_core::protocol::{Assembler, ClientMessage, Part, ServerMessage};

/// Most bytes of a message put together from parts.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What one side may say.
pub(crate) trait Message: Sized {
    /// The messages of a frame, or of a message put together.
    fn all(bytes: &[u8]) -> Option<Vec<Self>>;

    /// The part that it is, or itself.
    fn part(self) -> Result<Part, Self>;
}

impl Message for ClientMessage {
    fn all(bytes: &[u8]) -> Option<Vec<Self>> {
        Self::decode_all(bytes).ok()
    }

    fn part(self) -> Result<Part, Self> {
        if let Self::Part(part) = self { Ok(part) } else { Err(self) }
    }
}

impl Message for ServerMessage {
    fn all(bytes: &[u8]) -> Option<Vec<Self>> {
        Self::decode_all(bytes).ok()
    }

    fn part(self) -> Result<Part, Self> {
        if let Self::Part(part) = self { Ok(part) } else { Err(self) }
    }
}

/// The whole messages that a frame brings or ends; `None` if it makes no sense.
pub(crate) fn whole<M: Message>(assembler: &mut Assembler, frame: &[u8]) -> Option<Vec<M>> {
    let mut out = Vec::new();
    for message in M::all(frame)? {
        match message.part() {
            Ok(part) => {
                if let Some(whole) = assembler.push(&part, MESSAGE_BYTES_MAX).ok()? {
                    out.extend(M::all(&whole)?);
                }
            }
            Err(message) => out.push(message),
        }
    }
    Some(out)
}
