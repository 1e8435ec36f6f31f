//! The values that the vectors of views stand for. Owns no bytes: those are in tests/golden/views.json.

use std::collections::BTreeMap;

use automerge::ScalarValue;
use automerge::marks::Mark;
use sync_core::view::View;

fn map<const N: usize>(entries: [(&str, View); N]) -> View {
    View::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

/// Name, version and value of each.
pub(crate) fn views() -> Vec<(&'static str, u8, View)> {
    let scalars = [
        ScalarValue::Null,
        ScalarValue::Boolean(true),
        ScalarValue::Boolean(false),
        ScalarValue::Uint(u64::MAX),
        ScalarValue::Int(-300),
        ScalarValue::F64(-0.5),
        ScalarValue::Str("söme".into()),
        ScalarValue::Bytes(vec![0, 255]),
        ScalarValue::counter(-3),
        ScalarValue::Timestamp(1_700_000_000_000),
        ScalarValue::Unknown { type_code: 15, bytes: vec![7] },
    ];
    let list = View::List(scalars.into_iter().map(View::Scalar).collect());
    let marks = vec![Mark::new("bold".into(), true, 0, 2), Mark::new("link".into(), "https://example.org/", 1, 5)];
    vec![
        (
            "every kind",
            1,
            map([("list", list), ("map", map([("", map([]))])), ("text", View::Text("wörds".into(), vec![]))]),
        ),
        (
            "marks",
            2,
            map([("plain", View::Text("no marks".into(), vec![])), ("text", View::Text("w😀rds".into(), marks))]),
        ),
    ]
}
