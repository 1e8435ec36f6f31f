//! Parts: pieces in any order never make up more than was sent, never outgrow the bound, and a cut message comes together again.

use bytes::Bytes;
use sync_core::protocol::{Assembler, Blob, ClientMessage, Part, split};

use crate::choices::{Choices as _, Input};

const MESSAGE_BYTES_MAX: usize = 600;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    if input.chance(300) {
        return cut(&mut input);
    }
    let mut assembler = Assembler::new();
    // The model: the pieces since the last piece 0.
    let (mut held, mut next, mut total): (Vec<u8>, u32, u32) = (Vec::new(), 0, 0);
    while !input.is_empty() {
        let claimed = if input.chance(100) { input.u64() as u32 } else { input.below(4) as u32 };
        let index = if input.chance(900) { next } else { input.below(5) as u32 };
        let bytes = Bytes::copy_from_slice(input.bytes(255));
        if index == 0 {
            (held, next, total) = (Vec::new(), 0, claimed);
        }
        let claimed = if input.chance(900) { total } else { claimed };
        let part = Part { index, total: claimed, bytes: Blob(bytes.clone()) };
        let fits = index == next && claimed == total && index < claimed;
        let small = held.len() + bytes.len() <= MESSAGE_BYTES_MAX;
        match assembler.push(&part, MESSAGE_BYTES_MAX) {
            Err(_) => return assert!(!fits || !small, "refused a part that is next"),
            Ok(whole) => {
                assert!(fits && small, "took a part out of turn or out of bounds");
                held.extend_from_slice(&bytes);
                next += 1;
                assert_eq!(whole.is_some(), next == total);
                if let Some(whole) = whole {
                    assert_eq!(whole, held);
                    (held, next, total) = (Vec::new(), 0, 0);
                }
            }
        }
    }
}

fn cut(input: &mut Input<'_>) {
    let frame_bytes_max = 40 + input.below(400) as usize;
    let message = Bytes::copy_from_slice(input.rest());
    let Some(parts) = split(&message, frame_bytes_max) else {
        return assert!(message.len() <= frame_bytes_max);
    };
    let mut assembler = Assembler::new();
    let count = parts.len();
    for (index, part) in parts.into_iter().enumerate() {
        let frame = ClientMessage::Part(part.clone()).encode();
        assert!(frame.len() <= frame_bytes_max, "{} bytes in a frame of {frame_bytes_max}", frame.len());
        let whole = assembler.push(&part, message.len()).expect("in order");
        assert_eq!(whole.is_some(), index + 1 == count);
        assert!(whole.is_none_or(|whole| whole == message));
    }
}
