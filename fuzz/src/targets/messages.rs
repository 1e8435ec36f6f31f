//! Protocol messages: whatever decodes is written again as what decodes to the same.

use bytes::Bytes;
use sync_core::protocol::{ClientMessage, ServerMessage};

pub(super) fn client(input: &[u8]) {
    let Ok(messages) = ClientMessage::decode_all(input) else { return };
    let encoded: Vec<Bytes> = messages.iter().map(ClientMessage::encode).collect();
    let again = ClientMessage::decode_all(&encoded.concat()).expect("own bytes decode");
    assert_eq!(again, messages);
}

pub(super) fn server(input: &[u8]) {
    let Ok(messages) = ServerMessage::decode_all(input) else { return };
    let encoded: Vec<Bytes> = messages.iter().map(ServerMessage::encode).collect();
    let again = ServerMessage::decode_all(&encoded.concat()).expect("own bytes decode");
    assert_eq!(again, messages);
}
