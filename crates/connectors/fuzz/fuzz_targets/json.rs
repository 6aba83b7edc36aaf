//! Each line is a row: ours must be what the slow decoder over `serde_json` makes of it, and one
//! decoder over all lines must agree with a new one for each.

#![no_main]

#[expect(dead_code, reason = "the fuzzer makes its own rows")]
#[path = "../../tests/json_oracle/mod.rs"]
mod json_oracle;

use libfuzzer_sys::fuzz_target;
use millstream_connectors::codec::json::{Json, JsonCodec};
use millstream_core::codec::Codec;
use millstream_core::record::{Block, Form, Record};

fuzz_target!(|bytes: &[u8]| {
    let columns = json_oracle::columns();
    let codec = JsonCodec::new(&Json { rows: None, strict: true }).unwrap();
    let records: Vec<Record> =
        bytes.split(|b| *b == b'\n').map(|l| Record::new(l.to_vec())).collect();
    let block = Block::pack_as(Form::Rows, &records).unwrap();
    let decoded = codec.decoder(&columns, None).unwrap().decode(&block).unwrap();
    let mut got = json_oracle::rows(&decoded.batch).into_iter();
    let mut refused = decoded.refused.iter().peekable();
    for (i, record) in records.iter().enumerate() {
        let want = json_oracle::row(&record.value, &columns);
        match refused.next_if(|r| r.ordinal as usize == i) {
            Some(r) => assert_eq!(want, None, "refused: {}", r.reason),
            None => assert_eq!(got.next(), want),
        }
    }
    // As lines, learned or not, strict or not: no panic, and the same each time.
    for options in [Json::default(), Json { rows: Some("/a".into()), strict: false }] {
        let codec = JsonCodec::new(&options).unwrap();
        let block = Block::pack(&[Record::new(bytes.to_vec())]).unwrap();
        let mut decoder = codec.decoder(&columns, None).unwrap();
        let (a, b) = (decoder.decode(&block).unwrap(), decoder.decode(&block).unwrap());
        assert_eq!((a.batch, a.refused), (b.batch, b.refused));
    }
});
