//! Frames that are broken below the protocol: masks, reserved bits, lengths, fragments, text.

use rejoin_tests::raw::{self, BINARY, CONTINUATION, End, FIN, PING, Raw, TEXT};

use crate::siege::Siege;

/// What broken frames may cost; each connection holds at most one frame.
const GROWS_KIB_MAX: u64 = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_frame_is_answered_with_the_stated_code() {
    let mut siege = Siege::begin("broken frames", &[]).await;
    let ping = sync_core::protocol::ClientMessage::Ping(sync_core::protocol::Ping { nonce: 7 }).encode();
    let long = vec![0u8; 66 << 10];
    let unmasked = [raw::header(FIN | BINARY, ping.len() as u64, false), ping.to_vec()].concat();
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("unmasked", 4400, unmasked),
        ("a reserved bit", 4400, raw::frame(FIN | 0x40 | BINARY, &ping)),
        ("a reserved opcode", 4400, raw::frame(FIN | 3, &ping)),
        ("a text frame", 4400, raw::frame(FIN | TEXT, b"hello")),
        ("a text frame of no UTF-8", 4400, raw::frame(FIN | TEXT, b"\xff\xfe\xc3\x28")),
        ("a continuation of nothing", 4400, raw::frame(FIN | CONTINUATION, &ping)),
        ("a message within a message", 4400, [raw::frame(BINARY, &ping), raw::frame(FIN | BINARY, &ping)].concat()),
        ("a fragmented control frame", 4400, raw::frame(PING, b"x")),
        ("a long control frame", 4400, raw::frame(FIN | PING, &[0; 126])),
        ("a frame beyond the bound", 4413, raw::frame(FIN | BINARY, &long)),
        ("a frame that claims 2^62 bytes", 4413, raw::header(FIN | BINARY, 1 << 62, true)),
        ("a frame that claims 2^64 - 1 bytes", 4413, raw::header(FIN | BINARY, u64::MAX, true)),
        ("fragments that add up beyond the bound", 4413, fragments(&long, 1 << 10)),
    ];
    for _ in 0..5 {
        for (what, code, bytes) in &cases {
            for greeted in [false, true] {
                let mut raw = Raw::upgraded(siege.address()).await.expect("upgrades");
                if greeted {
                    raw.say(&raw::hello(&[1])).await.expect("it is taken");
                }
                raw.bytes(bytes).await.expect("it is taken");
                siege.ends(raw, End::Code(*code), what).await;
            }
        }
    }
    siege.look();
    siege.end(GROWS_KIB_MAX).await;
}

/// A message in fragments of so many bytes.
fn fragments(payload: &[u8], size: usize) -> Vec<u8> {
    let count = payload.len().div_ceil(size);
    let one = |(i, piece): (usize, &[u8])| {
        let first = if i == 0 { BINARY } else { CONTINUATION };
        raw::frame(if i + 1 == count { FIN | first } else { first }, piece)
    };
    payload.chunks(size).enumerate().flat_map(one).collect()
}
