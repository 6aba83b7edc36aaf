//! The JSON decoder against a slow one over `serde_json`, and what it makes of bad input.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

mod json_oracle;

use std::collections::BTreeSet;

use fastrand::Rng;
use json_oracle::{Mess, row, rows, some_row};
use millstream_connectors::codec::json::{Json, JsonCodec};
use millstream_core::codec::{Codec, Columns, Decoded};
use millstream_core::record::{Block, Form, Record};
use serde_json::{Value, json};

const SEED: u64 = 20_261_123;

fn codec(rows: Option<&str>, strict: bool) -> JsonCodec {
    JsonCodec::new(&Json { rows: rows.map(Into::into), strict }).unwrap()
}

fn block(form: Form, records: &[Vec<u8>]) -> Block {
    let records: Vec<Record> = records.iter().map(|r| Record::new(r.clone())).collect();
    Block::pack_as(form, &records).unwrap()
}

fn decode(codec: &JsonCodec, columns: &Columns, block: &Block) -> Decoded {
    codec.decoder(columns, None).unwrap().decode(block).unwrap()
}

/// Decodes one record of lines, or of whatever the codec takes.
fn one(codec: &JsonCodec, columns: Value, record: &str) -> Decoded {
    let columns = serde_json::from_value(columns).unwrap();
    decode(codec, &columns, &block(Form::Arrived, &[record.as_bytes().to_vec()]))
}

fn reasons(decoded: &Decoded) -> Vec<&str> {
    decoded.refused.iter().map(|r| r.reason.as_str()).collect()
}

#[test]
fn strict_rows_are_what_serde_json_makes_of_them() {
    let columns = json_oracle::columns();
    let mut decoder = codec(None, true).decoder(&columns, None).unwrap();
    let (mut good, mut bad) = (0, 0);
    for mess in [Mess::Plain, Mess::Valid, Mess::Broken] {
        let mut random = Rng::with_seed(SEED);
        for _ in 0..40 {
            let records: Vec<_> = (0..50).map(|_| some_row(&mut random, &columns, mess)).collect();
            let decoded = decoder.decode(&block(Form::Rows, &records)).unwrap();
            let mut got = rows(&decoded.batch).into_iter();
            let mut refused = decoded.refused.iter().peekable();
            for (i, record) in records.iter().enumerate() {
                let text = String::from_utf8_lossy(record);
                let want = row(record, &columns);
                if let Some(r) = refused.next_if(|r| r.ordinal as usize == i) {
                    assert_eq!(want, None, "seed {SEED}: refused as {}: {text}", r.reason);
                    assert_eq!(r.bytes, *record);
                    bad += 1;
                } else {
                    assert_eq!(got.next(), want, "seed {SEED}: {text}");
                    good += 1;
                }
            }
        }
    }
    assert!(good > 3_000 && bad > 400, "{good} good, {bad} refused");
}

#[test]
fn without_strict_a_row_that_serde_json_takes_is_the_same_row() {
    let columns = json_oracle::columns();
    let used: BTreeSet<String> = ["v", "deep", "s"].map(String::from).into();
    let all = codec(None, false).decoder(&columns, None);
    let some = codec(None, false).decoder(&columns, Some(&used));
    for (mut decoder, keys) in [(all.unwrap(), columns.0.len()), (some.unwrap(), 3)] {
        let mut random = Rng::with_seed(SEED + 1);
        for _ in 0..50 {
            let records: Vec<_> =
                (0..40).map(|_| some_row(&mut random, &columns, Mess::Valid)).collect();
            let lines = records.join(&b'\n');
            let decoded = decoder.decode(&block(Form::Arrived, &[lines])).unwrap();
            let got = rows(&decoded.batch);
            let mut next = 0;
            for (i, record) in records.iter().enumerate() {
                let refused = decoded.refused.iter().any(|r| r.ordinal as usize == i);
                let want = row(record, &columns);
                let text = String::from_utf8_lossy(record);
                if refused {
                    assert_eq!(want, None, "seed {}: {text}", SEED + 1);
                    continue;
                }
                if let Some(Value::Object(want)) = want {
                    let Value::Object(got) = &got[next] else { panic!("no object") };
                    assert_eq!(got.len(), keys);
                    for (key, value) in got {
                        assert_eq!(*value, want[key], "seed {}: {key} of {text}", SEED + 1);
                    }
                }
                next += 1;
            }
            assert_eq!(next, got.len());
        }
    }
}

#[test]
fn what_was_learned_from_other_rows_changes_nothing() {
    let columns = json_oracle::columns();
    for (pointer, strict) in [(None, false), (None, true), (Some("/a/rows"), false)] {
        let codec = codec(pointer, strict);
        let mut learned = codec.decoder(&columns, None).unwrap();
        let mut random = Rng::with_seed(SEED + 2);
        for _ in 0..150 {
            let rows: Vec<_> =
                (0..5).map(|_| some_row(&mut random, &columns, Mess::Broken)).collect();
            let record = match pointer {
                Some(_) => [b"{\"a\":{\"rows\":[", rows.join(&b',').as_slice(), b"]}}"].concat(),
                None => rows.join(&b'\n'),
            };
            let block = block(Form::Arrived, &[record]);
            let (a, b) = (learned.decode(&block).unwrap(), decode(&codec, &columns, &block));
            let text = String::from_utf8_lossy(block.packed());
            assert_eq!(a.batch, b.batch, "seed {}: {text}", SEED + 2);
            assert_eq!(a.refused, b.refused, "seed {}: {text}", SEED + 2);
            assert_eq!(a.refused_records, b.refused_records, "seed {}: {text}", SEED + 2);
            assert_eq!(a.ordinals, b.ordinals);
        }
    }
}

#[test]
fn rows_are_the_same_as_lines_in_an_array_and_in_a_document() {
    let columns = json_oracle::columns();
    let mut random = Rng::with_seed(SEED + 3);
    for _ in 0..50 {
        let mut rows: Vec<_> =
            (0..20).map(|_| some_row(&mut random, &columns, Mess::Valid)).collect();
        // Half a surrogate pair is broken JSON: in one piece with its neighbours it breaks them too.
        rows.retain(|r| serde_json::from_slice::<Value>(r).is_ok());
        let record = |before: &str, between: &[u8], after: &str| {
            let all = [before.as_bytes(), &rows.join(between), after.as_bytes()].concat();
            block(Form::Arrived, &[all])
        };
        let lines = decode(&codec(None, true), &columns, &record("", b"\n", "\n"));
        let array = decode(&codec(None, true), &columns, &record("[", b" ,", "]"));
        let document = record("{\"n\":[1],\"x\":{\"rows\":[", b",", "\n]}, \"m\":2}");
        let document = decode(&codec(Some("/x/rows"), true), &columns, &document);
        for other in [array, document] {
            assert_eq!(lines.batch, other.batch);
            let key = |d: &Decoded| -> Vec<_> {
                d.refused.iter().map(|r| (r.ordinal, r.bytes.clone())).collect()
            };
            assert_eq!(key(&lines), key(&other));
            assert!(other.refused_records.is_empty());
        }
    }
}

#[test]
fn only_the_broken_line_is_refused() {
    let columns = json!({"id": "int64"});
    let text = "{\"id\":1}\n{\"id\":\n{\"id\":3}\nnonsense\n{\"id\":\"x\"}\n{\"id\":6}";
    let decoded = one(&codec(None, false), columns, text);
    assert_eq!(rows(&decoded.batch), [json!({"id": 1}), json!({"id": 3}), json!({"id": 6})]);
    assert_eq!(decoded.ordinals.as_deref(), Some([0, 2, 5].as_slice()));
    let bytes: Vec<_> = decoded.refused.iter().map(|r| r.bytes.clone()).collect();
    assert_eq!(bytes, ["{\"id\":", "nonsense", "{\"id\":\"x\"}"]);
    assert_eq!(
        reasons(&decoded),
        [
            "not valid JSON: it ends where a value is due, at byte 6",
            "not valid JSON: no value, at byte 0",
            "column `id` is int64, found `\"x\"`",
        ]
    );
}

#[test]
fn what_is_no_json_is_refused_as_a_record() {
    let columns = json!({"id": "int64"});
    for text in
        ["<html>\n<body>{}</body>\n</html>", "404 page not found", "42", "[\n{\"id\":1},\n{"]
    {
        let decoded = one(&codec(None, false), columns.clone(), text);
        assert_eq!(decoded.refused_records.len(), 1, "{text}");
        assert_eq!((decoded.batch.num_rows(), decoded.refused.len()), (0, 0), "{text}");
    }
    for text in [
        "<html>",
        "{\"items\":[{\"id\":1},{\"id\":",
        "{\"items\":{\"id\":1}",
        "{\"other\":[]}",
        "{\"items\":7}",
        "[]",
        "{\"items\":[],\"items\":[]}",
    ] {
        let decoded = one(&codec(Some("/items"), false), columns.clone(), text);
        assert_eq!(decoded.refused_records.len(), 1, "{text}");
        assert_eq!(decoded.batch.num_rows(), 0, "{text}");
    }
    for (text, n) in [("", 0), ("{\"items\":null}", 0), ("{\"items\":{\"id\":1}}{\"items\":[]}", 1)]
    {
        let decoded = one(&codec(Some("/items"), false), columns.clone(), text);
        assert_eq!((decoded.refused_records.len(), decoded.batch.num_rows()), (0, n), "{text}");
    }
}

#[test]
fn numbers_keep_their_value_or_are_refused() {
    let columns = json!({"i": "int64", "f": "float64", "s": "timestamp_s"});
    let text = [
        r#"{"i":1e2,"f":9007199254740993,"s":1.5}"#,
        r#"{"i":1.0,"f":-0,"s":-0.0000001}"#,
        r#"{"i":1.5}"#,
        r#"{"i":9223372036854775808}"#,
        r#"{"f":1e999}"#,
        r#"{"f":NaN}"#,
        r#"{"i":"7"}"#,
        r#"{"s":"7"}"#,
    ]
    .join("\n");
    let decoded = one(&codec(None, false), columns, &text);
    assert_eq!(
        rows(&decoded.batch),
        [
            json!({"i": 100, "f": "9007199254740992.0", "s": 1_500_000}),
            json!({"i": 1, "f": "-0.0", "s": -1}),
        ]
    );
    assert_eq!(decoded.refused.len(), 6);
    assert_eq!(reasons(&decoded)[1], "column `i`: int64 cannot hold `9223372036854775808` exactly");
}

#[test]
fn the_rest_of_a_line_hides_no_row() {
    let columns = json!({"id": "int64"});
    let codec = codec(None, false);
    for (text, n) in [
        ("{\"id\":1,\"x\":1}\n{\"id\":2,\"x\":1} {\"id\":3,\"x\":1}\n{\"id\":4}{\"id\":5}\n", 5),
        ("{\"id\":1,\n\"x\":{\"id\":2}\n,\"y\":{}\n}\n{\"id\":3}\r\n{\"id\":4}\r\n", 3),
    ] {
        let decoded = one(&codec, columns.clone(), text);
        assert_eq!((decoded.batch.num_rows(), decoded.refused.len()), (n, 0), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_refuse_their_row_alone() {
    let columns: Columns =
        serde_json::from_value(json!({"s": "string", "l": {"list": "string"}})).unwrap();
    // Of the fourth, no column asks for what is wrong; the items of the fifth are text only together.
    let record = b"{\"s\":\"a\"}\n{\"s\":\"b\xff\"}\n{\"s\":\"c\"}\n{\"s\":\"d\",\"x\":\"\xc3\"}\n\
        {\"s\":\"e\",\"l\":[\"\xc3\",\"\xa9\"]}\n{\"s\":\"f\",\"l\":[\"\xc3\xa9\"]}"
        .to_vec();
    let row = |s: &str| json!({"s": s, "l": null});
    let last = json!({"s": "f", "l": ["é"]});
    let records = block(Form::Arrived, std::slice::from_ref(&record));
    let decoded = decode(&codec(None, false), &columns, &records);
    assert_eq!(rows(&decoded.batch), [row("a"), row("c"), row("d"), last.clone()]);
    assert_eq!(reasons(&decoded), ["not valid UTF-8"; 2]);
    let decoded = decode(&codec(None, true), &columns, &records);
    assert_eq!(rows(&decoded.batch), [row("a"), row("c"), last]);
    assert_eq!(reasons(&decoded), ["not valid UTF-8"; 3]);
    // A row's fate does not hang on its neighbours.
    for line in record.split(|c| *c == b'\n') {
        let alone = decode(&codec(None, false), &columns, &block(Form::Arrived, &[line.to_vec()]));
        let bad = line.windows(4).any(|w| w == b"b\xff\"}" || w == b"\"\xc3\",");
        assert_eq!(alone.refused.len(), usize::from(bad), "{}", line.escape_ascii());
    }
}

#[test]
fn columns_are_inferred_in_order_of_appearance() {
    let text = r#"{"id":1,"v":1,"t":"2026-11-23T05:14:10Z","d":"2026-11-23","n":null,"ts":1700000000}
{"v":2.5,"id":2,"mixed":1,"o":{"a":1,"b":[{"x":null}]},"big":18446744073709551615,"e":[]}
not json
{"mixed":"x","t":"2026-11-23T05:14:10+01:00","d":"soon","o":{"c":true,"a":2.5},"e":[1,2.5]}"#;
    let block = block(Form::Arrived, &[text.as_bytes().to_vec()]);
    let columns = codec(None, false).infer(&[block]).unwrap().unwrap();
    assert_eq!(
        serde_json::to_string(&columns).unwrap(),
        r#"{"id":"int64","v":"float64","t":"timestamp","d":"string","n":"json","ts":"int64","mixed":"json","o":{"struct":{"a":"float64","b":{"list":{"struct":{"x":"json"}}},"c":"bool"}},"big":"json","e":{"list":"float64"}}"#
    );
    let nothing = Block::pack(&[Record::new("<html>"), Record::new("{}")]).unwrap();
    assert_eq!(codec(None, false).infer(&[nothing]).unwrap(), None);
}
