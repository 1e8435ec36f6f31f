//! The fingerprint of a value, by which two answers that say different things are not written alike.
//!
//! Owns only that equal values have equal fingerprints on every device and in every version; nothing is ever read back from one.

use automerge::ScalarValue;
use sha2::{Digest as _, Sha256};

use crate::conflict::Value;

/// Hexadecimal digits of a fingerprint: 64 bits.
const DIGITS: usize = 16;

/// The fingerprint of a value; `None`: that nothing should be there.
pub(super) fn fingerprint(value: Option<&Value>) -> String {
    let mut hash = Sha256::new();
    match value {
        Some(value) => feed(&mut hash, value),
        None => hash.update([0]),
    }
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits[..DIGITS].to_owned()
}

/// Each value begins with a byte for its kind, and what has a length with its length, so that no two values feed the same bytes.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Scalar(scalar) => feed_scalar(hash, scalar),
        Value::Map(entries) => {
            begin(hash, 1, entries.len());
            for (key, entry) in entries {
                begin(hash, 2, key.len());
                hash.update(key);
                feed(hash, entry);
            }
        }
        Value::List(items) => {
            begin(hash, 3, items.len());
            items.iter().for_each(|item| feed(hash, item));
        }
        Value::Text(text) => {
            begin(hash, 4, text.len());
            hash.update(text);
        }
    }
}

fn feed_scalar(hash: &mut Sha256, scalar: &ScalarValue) {
    match scalar {
        ScalarValue::Null => hash.update([5]),
        ScalarValue::Boolean(value) => hash.update([6, u8::from(*value)]),
        ScalarValue::Int(number) => fixed(hash, 7, number.to_be_bytes()),
        ScalarValue::Uint(number) => fixed(hash, 8, number.to_be_bytes()),
        ScalarValue::F64(number) => fixed(hash, 9, number.to_bits().to_be_bytes()),
        ScalarValue::Timestamp(time) => fixed(hash, 10, time.to_be_bytes()),
        ScalarValue::Counter(counter) => fixed(hash, 11, i64::from(counter).to_be_bytes()),
        ScalarValue::Str(text) => {
            begin(hash, 12, text.len());
            hash.update(text.as_bytes());
        }
        ScalarValue::Bytes(bytes) => {
            begin(hash, 13, bytes.len());
            hash.update(bytes);
        }
        ScalarValue::Unknown { type_code, bytes } => {
            begin(hash, 14, bytes.len());
            hash.update([*type_code]);
            hash.update(bytes);
        }
    }
}

fn begin(hash: &mut Sha256, kind: u8, length: usize) {
    fixed(hash, kind, (length as u64).to_be_bytes());
}

fn fixed(hash: &mut Sha256, kind: u8, bytes: [u8; 8]) {
    hash.update([kind]);
    hash.update(bytes);
}
