//! What must not be shown, in all the forms that text takes on its way out.

use std::borrow::Cow;
use std::sync::Arc;

/// Shorter secrets are only hidden where they stand as a word of their own: hiding each `1` would hide the text.
const ANYWHERE_BYTES_MIN: usize = 4;

/// Values from the environment and from files: never shown. Cheap to clone.
///
/// A secret is found as it is, as `{:?}` writes it, and as a URL has it: percent-encoded, its ASCII letters in lower
/// case, a space as `+`, a backslash as a slash; and as it is once its own percent-encoding is undone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[String]>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    pub(super) fn new(mut values: Vec<String>) -> Self {
        let decoded: Vec<String> = values.iter().filter_map(|value| decoded(value)).collect();
        values.extend(decoded);
        values.retain(|v| !v.trim().is_empty());
        // The longest first: one may be part of another.
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self(values.into())
    }

    /// The text with `***` in place of every secret.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.iter() {
            if let Some(hidden) = hide(&text, secret) {
                text = Cow::Owned(hidden);
            }
        }
        text
    }
}

/// The text without the secret; `None` if it does not hold it.
fn hide(text: &str, secret: &str) -> Option<String> {
    let mut out = String::new();
    let (mut rest, mut found) = (text, false);
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let after = after(rest, secret).filter(|after| {
            let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let inside = word(before) || word(after.chars().next());
            secret.len() >= ANYWHERE_BYTES_MIN || !inside
        });
        match after {
            Some(after) => {
                out.push_str("***");
                (rest, before, found) = (after, Some('*'), true);
            }
            None => {
                out.push(c);
                before = Some(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    found.then_some(out)
}

/// What follows the secret in a text that begins with it, in the form that reaches farthest.
fn after<'t>(text: &'t str, secret: &str) -> Option<&'t str> {
    let formed = secret.chars().try_fold(text, after_char);
    let plain = text.strip_prefix(secret);
    formed.into_iter().chain(plain).min_by_key(|rest| rest.len())
}

fn after_char(text: &str, c: char) -> Option<&str> {
    let first = text.chars().next()?;
    let same = first == c || first == c.to_ascii_lowercase();
    let in_url = matches!((c, first), (' ', '+') | ('\\', '/'));
    // The plain form last: a backslash may be the beginning of two, a percent sign that of its own encoding.
    let escaped = || {
        let mut rest = text;
        for sign in c.escape_debug() {
            rest = rest.strip_prefix(sign)?;
        }
        Some(rest)
    };
    let plain = || (same || in_url).then(|| text.get(first.len_utf8()..)).flatten();
    after_encoded(text, c).or_else(escaped).or_else(plain)
}

/// What follows the percent-encoding of a character.
fn after_encoded(mut text: &str, c: char) -> Option<&str> {
    let mut bytes = [0; 4];
    for byte in c.encode_utf8(&mut bytes).bytes() {
        let (hex, rest) = text.strip_prefix('%')?.split_at_checked(2)?;
        if u8::from_str_radix(hex, 16).ok()? != byte {
            return None;
        }
        text = rest;
    }
    Some(text)
}

/// A value whose percent-encoding is undone, if it has any.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.split_at_checked(2).and_then(|(hex, below)| {
            let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
            Some((digits.then(|| u8::from_str_radix(hex, 16).ok())??, below))
        });
        (rest, _) = match byte {
            Some((byte, below)) => (below, bytes.push(byte)),
            None => (after, bytes.push(b'%')),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().filter(|decoded| decoded != value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form_that_text_gives_it() {
        let secrets = Secrets::new(
            ["SeKrEt9", "pä ss\"w<rd%/x", "a\\b c", "p%40ss", "ab", "line\nbreak", "x%252"]
                .map(str::to_owned)
                .into(),
        );
        for (text, hidden) in [
            ("http://sekret9.invalid/SeKrEt9", "http://***.invalid/***"),
            ("/p%C3%A4%20ss%22w%3Crd%/x?k=p%c3%a4+ss%22w%3Crd%25%2Fx", "/***?k=***"),
            ("path: \"pä ss\\\"w<rd%/x\"", "path: \"***\""),
            ("a\\b c, a/b%20c, \"a\\\\b c\"", "***, ***, \"***\""),
            ("p%40ss of p@ss", "*** of ***"),
            ("ab, cab, ab1, (ab)", "***, cab, ab1, (***)"),
            ("line\\nbreak", "***"),
            ("x%252 x%25252 x%2", "*** *** ***"),
            ("SEKRET9 sekret äö %", "SEKRET9 sekret äö %"),
        ] {
            assert_eq!(secrets.redact(text), hidden, "{text}");
        }
        assert!(matches!(secrets.redact("nothing of them"), Cow::Borrowed(_)));
        assert_eq!(Secrets::default().redact("x"), "x");
    }
}
