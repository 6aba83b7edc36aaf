//! Finds a value in JSON text by its path, reading no more than it must.

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    /// The member of an object.
    Name(&'a str),
    /// The item of an array, from 0; below 0 from its end.
    Index(i64),
}

/// The text of the value at `path`, or `None` when there is no such value. Of equal keys the first
/// counts. What comes after the value is not looked at.
pub(super) fn find<'a>(json: &'a str, path: &[Key<'_>]) -> Option<&'a str> {
    let mut at = json;
    for key in path {
        at = match *key {
            Key::Name(name) => members(at)?.find(|(k, _)| same(k, name))?.1,
            Key::Index(i) if i >= 0 => items(at)?.nth(usize::try_from(i).ok()?)?,
            Key::Index(i) => {
                let all = items(at)?.collect::<Vec<_>>();
                all.len()
                    .checked_sub(usize::try_from(i.unsigned_abs()).ok()?)
                    .and_then(|i| all.get(i).copied())?
            }
        };
    }
    let at = at.trim_start();
    at.get(..value_len(at)?)
}

/// The items of an array, each from its first byte to the end of the text.
pub(super) fn items(json: &str) -> Option<impl Iterator<Item = &str>> {
    let mut rest = Some(json.trim_start().strip_prefix('[')?);
    Some(std::iter::from_fn(move || {
        let at = rest?.trim_start();
        let len = value_len(at)?;
        rest = at.get(len..)?.trim_start().strip_prefix(',');
        Some(at)
    }))
}

/// The members of an object: the key as it is written, and the text from the value on.
pub(super) fn members(json: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let mut rest = Some(json.trim_start().strip_prefix('{')?);
    Some(std::iter::from_fn(move || {
        let at = rest?.trim_start();
        let key_len = at.starts_with('"').then(|| string_len(at.as_bytes()))??;
        let key = at.get(1..key_len - 1)?;
        let value = at.get(key_len..)?.trim_start().strip_prefix(':')?.trim_start();
        let len = value_len(value)?;
        rest = value.get(len..)?.trim_start().strip_prefix(',');
        Some((key, value))
    }))
}

/// Whether a key as it is written in JSON is this name.
fn same(written: &str, name: &str) -> bool {
    if written.contains('\\') {
        unescape(written).as_deref() == Some(name)
    } else {
        written == name
    }
}

/// A key as it is meant.
pub(super) fn unescape(written: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{written}\"")).ok()
}

/// The length of the value that the text starts with.
fn value_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'"' => string_len(bytes),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut i = 0;
            loop {
                match bytes.get(i)? {
                    b'"' => {
                        i += string_len(bytes.get(i..)?)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(i + 1);
                        }
                    }
                    _ => {}
                }
                i += 1;
            }
        }
        b',' | b']' | b'}' | b':' => None,
        _ => {
            let end = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
            Some(bytes.iter().position(end).unwrap_or(bytes.len()))
        }
    }
}

/// The length of the string that the bytes start with, quotes included.
fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut i = 1;
    loop {
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let json = r#" {"a": {"b": [1, {"c": "x,]}\"y"}, null]}, "q\"k": 2, "e":[], "a": 9} "#;
        let name = |n| Key::Name(n);
        assert_eq!(find(json, &[name("q\"k")]), Some("2"));
        let path = [name("a"), name("b"), Key::Index(1), name("c")];
        assert_eq!(find(json, &path), Some(r#""x,]}\"y""#));
        assert_eq!(find(json, &[name("a"), name("b"), Key::Index(-1)]), Some("null"));
        assert_eq!(find(json, &[name("a"), name("b"), Key::Index(-4)]), None);
        assert_eq!(find(json, &[name("e")]), Some("[]"));
        assert_eq!(find(json, &[name("e"), Key::Index(0)]), None);
        assert_eq!(find(json, &[name("zz")]), None);
        assert_eq!(find(json, &[Key::Index(0)]), None);
        assert_eq!(find("3", &[]), Some("3"));
    }

    #[test]
    fn broken_text_is_no_value_and_no_panic() {
        let whole = r#"{"a":{"b":[1,"\u00e9\"x"]},"c":tru}"#;
        for cut in (0..whole.len()).filter_map(|end| whole.get(..end)) {
            let _found = find(cut, &[Key::Name("a"), Key::Name("b"), Key::Index(1)]);
            let _found = find(cut, &[Key::Name("c")]);
            let _found = find(cut, &[]);
        }
        for text in ["", " ", "{", "[", "{\"a\"", "{\"a\":", "[,]", "{,}", "]", "\"\\"] {
            assert_eq!(find(text, &[Key::Name("a")]), None);
            assert_eq!(find(text, &[Key::Index(0)]), None);
        }
    }
}
