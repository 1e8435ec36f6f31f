//! The file of an exported store: each item that is read is written as the same bytes' meaning.

// The file itself: with the whole server in it, the fuzzer's build would take minutes more.
#[path = "../../../sync-server/src/archive.rs"]
#[allow(dead_code)]
mod format;

use format::Item;

pub(super) fn run(input: &[u8]) {
    let mut decoder = minicbor::Decoder::new(input);
    while decoder.position() < input.len() {
        let Ok(item) = Item::read(&mut decoder) else { return };
        let mut bytes = Vec::new();
        item.write(&mut bytes).expect("a vector takes any bytes");
        let mut again = minicbor::Decoder::new(&bytes);
        assert_eq!(Item::read(&mut again).expect("own bytes"), item);
        assert_eq!(again.position(), bytes.len());
    }
}
