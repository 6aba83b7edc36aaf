//! What becomes of CSV, good and bad.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use millstream_connectors::codec::csv::{Csv, CsvCodec};
use millstream_core::codec::{Codec, Columns, Decoded};
use millstream_core::record::{Block, Record};

fn decode(codec: &CsvCodec, columns: &str, record: &str) -> Decoded {
    let columns: Columns = serde_json::from_str(columns).unwrap();
    let block = Block::pack(&[Record::new(record.as_bytes().to_vec())]).unwrap();
    codec.decoder(&columns, None).unwrap().decode(&block).unwrap()
}

fn codec(options: Csv) -> CsvCodec {
    CsvCodec::new(options).unwrap()
}

fn texts(decoded: &Decoded, column: &str) -> Vec<Option<String>> {
    use arrow_array::Array;
    let column = decoded.batch.column_by_name(column).unwrap();
    let texts = column.as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
    (0..texts.len()).map(|i| texts.is_valid(i).then(|| texts.value(i).to_owned())).collect()
}

#[test]
fn quotes_line_breaks_and_a_byte_order_mark_are_read() {
    let record = "\u{feff}id;\"the name\"\r\n1;\"a;\"\"b\"\"\r\nc\"\r\n\r\n2;NA\r\n3;";
    let options = Csv { delimiter: ';', null: vec!["NA".into()], ..Csv::default() };
    let columns = r#"{"name":{"type":"string","at":"/the name"},"id":"int64"}"#;
    let decoded = decode(&codec(options), columns, record);
    let want = [Some("a;\"b\"\r\nc".to_owned()), None, Some(String::new())];
    assert_eq!(texts(&decoded, "name"), want);
    assert!(decoded.refused.is_empty() && decoded.refused_records.is_empty());
}

#[test]
fn a_row_that_does_not_fit_is_refused_alone_with_its_header() {
    let record = "id,name\n1,a\n2,b,more\nx,c\n007,d\n5,e\n6,\"open";
    let decoded = decode(&codec(Csv::default()), r#"{"id":"int64","name":"string"}"#, record);
    assert_eq!(texts(&decoded, "name"), [Some("a".into()), Some("e".into())]);
    assert_eq!(decoded.ordinals.as_deref(), Some([0, 4].as_slice()));
    let refused: Vec<_> =
        decoded.refused.iter().map(|r| (r.bytes.clone(), r.reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("id,name\n2,b,more".into(), "3 fields, where 2 are due"),
            ("id,name\nx,c".into(), "column `id` is int64, found `x`"),
            ("id,name\n007,d".into(), "column `id` is int64, found `007`"),
            ("id,name\n6,\"open".into(), "a quote is never closed"),
        ]
    );
}

#[test]
fn quotes_that_do_not_match_refuse_their_row_alone() {
    let record = "a,b,c\n5,\"q\"x,5\n6,y\"y,\"\"\"\"\n7,\"open\n8,p,p\n9,\"r\",r\n10,\"s\" ,s\n11,\"t\nu\",t\n12,\"\nv\nw\n";
    let columns = r#"{"a":"int64","b":"string","c":"string"}"#;
    let decoded = decode(&codec(Csv::default()), columns, record);
    let want = [Some("y\"y".to_owned()), Some("t\nu".into())];
    assert_eq!(texts(&decoded, "b"), want);
    assert_eq!(texts(&decoded, "c"), [Some("\"".to_owned()), Some("t".into())]);
    let refused: Vec<_> =
        decoded.refused.iter().map(|r| (r.bytes.clone(), r.reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("a,b,c\n5,\"q\"x,5".into(), "text follows a quote that closes"),
            (
                "a,b,c\n7,\"open\n8,p,p\n9,\"r\",r".into(),
                "text follows a quote that closes, and the row goes over 3 lines"
            ),
            ("a,b,c\n10,\"s\" ,s".into(), "text follows a quote that closes"),
            (
                "a,b,c\n12,\"\nv\nw\n".into(),
                "a quote is never closed: it takes in all 3 lines to the end of the record"
            ),
        ]
    );
}

#[test]
fn a_header_without_any_declared_column_refuses_the_record_whatever_is_used() {
    let columns: Columns = serde_json::from_str(r#"{"id":"int64","name":"string"}"#).unwrap();
    for used in [&[][..], &["id"], &["id", "name"]] {
        let used = used.iter().map(|n| (*n).to_owned()).collect();
        let codec = codec(Csv::default());
        let mut decoder = codec.decoder(&columns, Some(&used)).unwrap();
        for (record, refused) in [("ID,Name\n1,a", 1), ("name\na", 0), ("id\n1", 0)] {
            let block = Block::pack(&[Record::new(record)]).unwrap();
            let decoded = decoder.decode(&block).unwrap();
            assert_eq!(decoded.refused_records.len(), refused, "{record} {used:?}");
            assert_eq!(decoded.batch.num_rows(), 1 - refused);
        }
    }
}

#[test]
fn a_header_that_does_not_fit_refuses_the_record() {
    let columns = r#"{"id":{"type":"int64","required":true},"name":"string"}"#;
    for (record, reason) in [
        ("name\na", "the header has no `id`, which is required"),
        ("id,name,id\n1,a,2", "the header names `id` twice"),
        (
            "id,\"name\n1,a",
            "in the header a quote is never closed: it takes in all 2 lines to the end of the record",
        ),
        ("id,\"na\"me\n1,a", "in the header text follows a quote that closes"),
        ("\u{feff}a;b\n1;2", "the header has none of the columns `id`, `name`: it names `a;b`"),
    ] {
        let decoded = decode(&codec(Csv::default()), columns, record);
        assert_eq!(decoded.refused_records.first().unwrap().reason, reason);
        assert_eq!((decoded.batch.num_rows(), decoded.refused.len()), (0, 0));
    }
    let decoded = decode(&codec(Csv::default()), columns, "id\n1");
    assert_eq!(texts(&decoded, "name"), [None]);
}

#[test]
fn columns_are_inferred_from_what_fields_look_like() {
    let record = "id,v,zip,on,at,day,none,mix\n1,1,007,true,2026-11-23T05:14:10Z,2026-11-23,,1\n\
                  2,2.5,123,False,,2026-11-24,,x\n3,too,few\n";
    let block = Block::pack(&[Record::new(record)]).unwrap();
    let columns = codec(Csv::default()).infer(&[block]).unwrap().unwrap();
    assert_eq!(
        serde_json::to_string(&columns).unwrap(),
        r#"{"id":"int64","v":"float64","zip":"string","on":"bool","at":"timestamp","day":"date","none":"string","mix":"string"}"#
    );
    let block = Block::pack(&[Record::new("1,a\n2,b")]).unwrap();
    let columns = codec(Csv { header: false, ..Csv::default() }).infer(&[block]).unwrap().unwrap();
    assert_eq!(serde_json::to_string(&columns).unwrap(), r#"{"c1":"int64","c2":"string"}"#);
}

#[test]
fn options_that_cannot_be_are_refused_when_built() {
    for options in [
        Csv { delimiter: '"', ..Csv::default() },
        Csv { delimiter: 'é', ..Csv::default() },
        Csv { quote: '\n', ..Csv::default() },
    ] {
        CsvCodec::new(options).unwrap_err();
    }
    let nested: Columns = serde_json::from_str(r#"{"l":{"list":"int64"}}"#).unwrap();
    codec(Csv::default()).decoder(&nested, None).err().unwrap();
}
