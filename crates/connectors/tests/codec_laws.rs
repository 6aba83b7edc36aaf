//! The laws of codecs, kept by JSON and CSV.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use millstream_connectors::codec::csv::{Csv, CsvCodec};
use millstream_connectors::codec::json::{Json, JsonCodec};
use millstream_core::codec::{Codec, Columns};
use millstream_core::record::Record;
use millstream_testkit::laws::codec::{Case, all};

const COLUMNS: &str = r#"{"id":{"type":"int64","required":true},"name":"string","v":"float64","ok":"bool",
    "at":"timestamp","day":"date","ms":"timestamp_ms","raw":"json"}"#;

fn check(codec: &dyn Codec, columns: &str, records: &[&str]) {
    let columns: Columns = serde_json::from_str(columns).unwrap();
    let records = records.iter().map(|r| Record::new(r.as_bytes().to_vec())).collect();
    all(&Case { codec, columns, records, seed: 41 }).unwrap();
}

const ROWS: [&str; 9] = [
    r#"{"id":1,"name":"a","v":1.5,"ok":true,"at":"2026-11-23T05:14:10Z","day":"2026-11-23","ms":1,"raw":{"a":[1]}}"#,
    r#"{"id":2,"name":"b","v":2.5,"ok":false,"at":"2026-11-23T05:14:11.5+01:00","day":"2026-11-24","ms":2,"raw":null}"#,
    r#"{"id":3,"name":"c","v":null,"ok":null,"at":null,"day":null,"ms":null,"raw":"x","more":{"id":9}}"#,
    r#"{"name":"d","id":4}"#,
    r#"{"name":"e"}"#,
    r#"{"id":6,"name":6}"#,
    r#"{"id":7,"v":1e999}"#,
    r#"{"id":8,"id":8}"#,
    r#"{"id":9,"name":"\u00e9 \"x\"","at":"2026-11-23"}"#,
];

#[test]
fn json_lines_keep_the_laws() {
    let lines = ROWS.join("\n");
    let broken = format!("{}\n{{\"id\":1,\n{}\nnonsense\n{}\n", ROWS[0], ROWS[1], ROWS[2]);
    let array = format!("[{}]", ROWS.join(", "));
    for strict in [false, true] {
        let codec = JsonCodec::new(&Json { rows: None, strict }).unwrap();
        check(&codec, COLUMNS, &[&lines, &broken, "<html>", "", &array, "[1,{\"id\":1}]", ROWS[0]]);
    }
}

#[test]
fn json_documents_keep_the_laws() {
    let document = format!("{{\"n\":1,\"data\":{{\"items\":[{}]}},\"m\":[2]}}", ROWS.join(","));
    for strict in [false, true] {
        let rows = Some("/data/items".to_owned());
        let codec = JsonCodec::new(&Json { rows, strict }).unwrap();
        let two = format!("{document}\n{document}");
        let cut = document.get(..document.len() / 2).unwrap();
        check(
            &codec,
            COLUMNS,
            &[&document, cut, &two, "{\"data\":{\"items\":null}}", "[]", "oops"],
        );
    }
}

#[test]
fn json_with_nested_columns_keeps_the_laws() {
    let columns = r#"{"id":"int64","tags":{"list":"string"},"first":{"type":"string","at":"/tags/0"},
        "place":{"struct":{"x":"float64","deep":{"struct":{"y":{"type":"int64","required":true}}}}},
        "y":{"type":"int64","at":"/place/deep/y"},"whole":{"type":"json","at":"/place"}}"#;
    let rows = [
        r#"{"id":1,"tags":["a","b"],"place":{"x":1.5,"deep":{"y":1}}}"#,
        r#"{"id":2,"tags":[],"place":{"x":2.5,"deep":null}}"#,
        r#"{"id":3,"tags":null,"place":null}"#,
        r#"{"id":4,"tags":["a",1],"place":{"deep":{"y":1}}}"#,
        r#"{"id":5,"tags":["c"],"place":{"deep":{}}}"#,
        r#"{"id":6,"tags":["\u0041",null],"place":{"deep":{"y":2},"x":7,"z":[{}]}}"#,
    ];
    let codec = JsonCodec::new(&Json::default()).unwrap();
    check(&codec, columns, &[&rows.join("\n"), rows[0], rows[5], &format!("[{}]", rows.join(","))]);
}

#[test]
fn csv_keeps_the_laws() {
    let header = "id,name,v,ok,at,day,ms,raw";
    let rows = [
        r#"1,a,1.5,true,2026-11-23T05:14:10Z,2026-11-23,1,"{""a"":[1]}""#.to_owned(),
        "2,\"b, \"\"x\"\"\nc\",2.5,FALSE,2026-11-23T05:14:10+01:00,,2,null".into(),
        "3,,,,,,,".into(),
        "x,d,1,true,,,,".into(),
        "5,too,few".into(),
        ",no id,,,,,,".into(),
        "7,\"open,1,true,,,,".into(),
    ];
    let record = format!("{header}\n{}\n", rows.join("\n"));
    let crlf = format!("\u{feff}{header}\r\n{}\r\n\r\n{}", rows[0], rows[2]);
    let codec = CsvCodec::new(Csv::default()).unwrap();
    check(&codec, COLUMNS, &[&record, &crlf, header, "", "other\n1", "id,id\n1,2"]);
    let codec = CsvCodec::new(Csv { header: false, ..Csv::default() }).unwrap();
    check(&codec, COLUMNS, &[&rows.join("\n"), &rows[0], ""]);
}
