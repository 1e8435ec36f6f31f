//! The file of an exported store: each item that is read is written as the same bytes' meaning.

// The file itself: with the whole server in it, the fuzzer's build would take minutes more.
#[path = "../../../sync-server/src/archive.rs"]
#[allow(dead_code)]
mod format;

use format::{Item, Items};

pub(super) fn run(input: &[u8]) {
    let (mut decoder, mut items) = (minicbor::Decoder::new(input), Items::new(input));
    while decoder.position() < input.len() {
        let Ok(item) = Item::read(&mut decoder) else {
            assert!(items.next().is_err());
            return;
        };
        assert_eq!(items.next().expect("the same bytes").as_ref(), Some(&item));
        let mut bytes = Vec::new();
        item.write(&mut bytes).expect("a vector takes any bytes");
        let mut again = minicbor::Decoder::new(&bytes);
        assert_eq!(Item::read(&mut again).expect("own bytes"), item);
        assert_eq!(again.position(), bytes.len());
    }
    assert!(items.next().expect("its end").is_none());
}
