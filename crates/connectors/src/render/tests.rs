use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int64Array, LargeStringArray, ListArray,
    NullArray, RecordBatch, StringArray, StringViewArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};

use super::row_json;

fn one(array: impl arrow_array::Array + 'static) -> Vec<String> {
    let array: ArrayRef = Arc::new(array);
    let batch = RecordBatch::try_from_iter([("v", array)]).unwrap();
    (0..batch.num_rows()).map(|row| row_json(&batch, row)).collect()
}

fn values(array: impl arrow_array::Array + 'static) -> Vec<String> {
    let rows = one(array);
    rows.iter()
        .map(|r| r.strip_prefix("{\"v\":").unwrap().strip_suffix('}').unwrap().into())
        .collect()
}

#[test]
fn numbers_are_exact() {
    assert_eq!(
        values(Int64Array::from(vec![Some(i64::MIN), None])),
        ["-9223372036854775808", "null"]
    );
    assert_eq!(values(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(values(Float32Array::from(vec![0.1, 16_777_216.0])), ["0.1", "16777216.0"]);
    let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(values(decimal), ["-123.45"]);
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    assert_eq!(
        values(Float64Array::from(odd.to_vec())),
        ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "-0.0"]
    );
}

#[test]
fn floats_read_back_as_the_same_number() {
    let mut random = fastrand::Rng::with_seed(7);
    let floats: Vec<f64> =
        (0..5_000).map(|_| f64::from_bits(random.u64(..))).filter(|f| f.is_finite()).collect();
    for (text, float) in values(Float64Array::from(floats.clone())).iter().zip(floats) {
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits(), "{text}");
        serde_json::from_str::<f64>(text).unwrap();
    }
}

#[test]
fn any_text_reads_back_as_the_same_text() {
    let all: String = (0..0x300).filter_map(char::from_u32).collect();
    let texts = vec!["", "plain", "\"\\/\u{8}\u{c}\n\r\t\0", "Zürich 東京 🌍", &all];
    for written in [
        values(StringArray::from(texts.clone())),
        values(LargeStringArray::from(texts.clone())),
        values(StringViewArray::from(texts.clone())),
    ] {
        for (json, text) in written.iter().zip(&texts) {
            assert_eq!(serde_json::from_str::<String>(json).unwrap(), *text);
            assert!(!json.contains('\n'));
        }
    }
}

#[test]
fn moments_are_rfc_3339_and_sort_like_time() {
    let us = vec![-62_167_219_200_000_000, -1, 0, 951_782_400_000_000, 253_402_300_799_999_999];
    let micros = TimestampMicrosecondArray::from(us).with_timezone("UTC");
    let texts = values(micros);
    assert_eq!(
        texts,
        [
            "\"0000-01-01T00:00:00.000000Z\"",
            "\"1969-12-31T23:59:59.999999Z\"",
            "\"1970-01-01T00:00:00.000000Z\"",
            "\"2000-02-29T00:00:00.000000Z\"",
            "\"9999-12-31T23:59:59.999999Z\"",
        ]
    );
    assert!(texts.is_sorted());
    assert_eq!(values(TimestampSecondArray::from(vec![5])), ["\"1970-01-01T00:00:05.000000\""]);
    assert_eq!(
        values(TimestampNanosecondArray::from(vec![-1])),
        ["\"1969-12-31T23:59:59.999999999\""]
    );
    assert_eq!(values(Time64MicrosecondArray::from(vec![86_399_000_001])), ["\"23:59:59.000001\""]);
    let far = TimestampMicrosecondArray::from(vec![253_402_300_800_000_000, i64::MIN]);
    assert_eq!(
        values(far),
        ["\"+010000-01-01T00:00:00.000000\"", "\"-290308-12-21T19:59:05.224192\""]
    );
}

#[test]
fn every_day_of_a_thousand_years_is_what_chrono_says() {
    let days: Vec<i32> = (-200_000..200_000).step_by(7).collect();
    let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    for (text, day) in values(Date32Array::from(days.clone())).iter().zip(days) {
        let wanted = epoch + chrono::Duration::days(day.into());
        assert_eq!(*text, format!("\"{}\"", wanted.format("%Y-%m-%d")));
    }
}

#[test]
fn nested_values_are_json() {
    let list = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(list);
    assert_eq!(values(list.slice(1, 2)), ["null", "[]"]);
    let fixed = vec![Some(vec![Some(1), Some(2)]), Some(vec![Some(3), Some(4)])];
    let fixed = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(fixed, 2);
    assert_eq!(values(fixed.slice(1, 1)), ["[3,4]"]);
    let a: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
    let fields = vec![
        (Arc::new(Field::new("a\"", DataType::Boolean, true)), a),
        (
            Arc::new(Field::new("l", list.data_type().clone(), true)),
            Arc::new(list.slice(0, 2)) as ArrayRef,
        ),
    ];
    assert_eq!(
        values(StructArray::from(fields)),
        [r#"{"a\"":true,"l":[1,null]}"#, r#"{"a\"":null,"l":null}"#]
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    let map = map.finish();
    let key = map.entries().fields()[0].name().clone();
    let value = map.entries().fields()[1].name().clone();
    assert_eq!(values(map), [format!("[{{\"{key}\":\"k\",\"{value}\":1}}]")]);
}

#[test]
fn other_types_have_a_form_too() {
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("x"), None, Some("x")].into_iter().collect();
    assert_eq!(values(dictionary), ["\"x\"", "null", "\"x\""]);
    assert_eq!(values(BinaryArray::from(vec![&b"\x00\xfe"[..]])), ["\"00fe\""]);
    assert_eq!(values(NullArray::new(1)), ["null"]);
    let empty = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &arrow_array::RecordBatchOptions::new().with_row_count(Some(1)),
    );
    assert_eq!(row_json(&empty.unwrap(), 0), "{}");
}

#[test]
#[expect(clippy::disallowed_types, reason = "what Arrow takes")]
fn json_columns_stand_as_they_are_if_they_are_json() {
    let metadata = std::collections::HashMap::from([(
        "ARROW:extension:name".to_owned(),
        "arrow.json".to_owned(),
    )]);
    let field = Field::new("v", DataType::Utf8, true).with_metadata(metadata);
    let texts = StringArray::from(vec![Some("{\"a\" : [1.50,\n\"x\"]}"), Some("{oops"), None]);
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(texts)]).unwrap();
    let rows: Vec<String> = (0..3).map(|row| row_json(&batch, row)).collect();
    assert_eq!(rows, ["{\"v\":{\"a\" : [1.50, \"x\"]}}", "{\"v\":\"{oops\"}", "{\"v\":null}"]);
}
