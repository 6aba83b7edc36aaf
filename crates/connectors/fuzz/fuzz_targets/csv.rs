//! Any bytes as CSV: no panic, and every refused row is refused again by itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_connectors::codec::csv::{Csv, CsvCodec};
use millstream_core::codec::{Codec, Columns};
use millstream_core::record::{Block, Form, Record};

fuzz_target!(|bytes: &[u8]| {
    let columns: Columns = serde_json::from_str(r#"{"a":"int64","b":"string"}"#).unwrap();
    for header in [true, false] {
        let codec = CsvCodec::new(Csv { header, ..Csv::default() }).unwrap();
        let block = Block::pack(&[Record::new(bytes.to_vec())]).unwrap();
        let decoded = codec.decoder(&columns, None).unwrap().decode(&block).unwrap();
        let rows: Vec<Record> =
            decoded.refused.iter().map(|r| Record::new(r.bytes.clone())).collect();
        let again = Block::pack_as(Form::Rows, &rows).unwrap();
        let again = codec.decoder(&columns, None).unwrap().decode(&again).unwrap();
        assert_eq!(again.batch.num_rows(), 0);
    }
});
