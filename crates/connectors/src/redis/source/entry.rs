//! A stream's entry as a record.

use bytes::Bytes;
use millstream_core::record::Record;

use crate::render::push_string;

/// Field names and values of an entry, in its order.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The value of `field`, or the whole entry as a JSON object; `text` are the fields that always have quotes there.
pub(super) fn record(fields: Fields, field: Option<&str>, text: &[String]) -> Record {
    if let Some(wanted) = field
        && fields.iter().any(|(name, _)| name == wanted.as_bytes())
    {
        let found = fields.into_iter().find(|(name, _)| name == wanted.as_bytes());
        return Record::new(found.map(|(_, value)| Bytes::from(value)).unwrap_or_default());
    }
    Record::new(object(&fields, text))
}

fn object(fields: &Fields, text: &[String]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (i, (name, value)) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(&mut out, &String::from_utf8_lossy(name));
        out.push(b':');
        if is_scalar(value) && !text.iter().any(|text| text.as_bytes() == name) {
            out.extend_from_slice(value);
        } else {
            push_string(&mut out, &String::from_utf8_lossy(value));
        }
    }
    out.push(b'}');
    out
}

/// Whether it is written just as JSON writes a number, a truth value or null: Redis itself knows only text.
fn is_scalar(value: &[u8]) -> bool {
    match value.first() {
        Some(b'-' | b'0'..=b'9') => is_number(value),
        Some(b't' | b'f' | b'n') => matches!(value, b"true" | b"false" | b"null"),
        _ => false,
    }
}

/// JSON's grammar of numbers (RFC 8259, section 6).
fn is_number(value: &[u8]) -> bool {
    fn digits(text: &[u8]) -> (bool, &[u8]) {
        let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        (end > 0, text.get(end..).unwrap_or_default())
    }
    let text = value.strip_prefix(b"-").unwrap_or(value);
    let (whole, rest) = match text.strip_prefix(b"0") {
        Some(rest) => (true, rest),
        None => digits(text),
    };
    let (fraction, rest) = rest.strip_prefix(b".").map_or((true, rest), digits);
    let exponent = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E"));
    let (exponent, rest) = exponent.map_or((true, rest), |rest| {
        let unsigned = rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b"+"));
        digits(unsigned.unwrap_or(rest))
    });
    whole && fraction && exponent && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn numbers_are_just_those_that_json_reads() {
        for text in
            "0 -0 7 -12 0.5 10.25 1e5 1E-5 2.5e+10 007 1. .5 - + 0x1 1e 1e+ 1.5.2 12a NaN 1_0 -01"
                .split(' ')
        {
            let wanted = serde_json::from_str::<serde_json::Number>(text).is_ok();
            assert_eq!(is_number(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn an_entry_is_one_field_or_an_object() {
        let fields = entry(&[
            ("id", "7"),
            ("name", "a \"b\""),
            ("plate", "007"),
            ("on", "true"),
            ("no", "null"),
            ("data", "{}"),
        ]);
        let whole = record(fields.clone(), None, &[]);
        assert_eq!(
            whole.value,
            r#"{"id":7,"name":"a \"b\"","plate":"007","on":true,"no":null,"data":"{}"}"#
        );
        assert_eq!(record(fields.clone(), Some("data"), &[]).value, "{}");
        assert_eq!(record(fields.clone(), Some("other"), &[]), whole);
        let quoted = record(fields, None, &["id".into(), "on".into()]);
        assert!(quoted.value.starts_with(br#"{"id":"7","#), "{:?}", quoted.value);
    }
}
