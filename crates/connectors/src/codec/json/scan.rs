//! Finding the end of JSON values without building anything.

use super::fault::{Fault, Why};
use crate::codec::number::{self, load8};

/// Nesting allowed inside a row, the row itself included.
pub(super) const DEPTH_MAX: u32 = 127;

/// The end of a value, or why it has none.
pub(super) type Scan = Result<usize, Box<Fault>>;

#[cold]
pub(super) fn broken(what: &'static str, at: usize) -> Box<Fault> {
    Fault::boxed(Why::Syntax(what), at)
}

/// The first byte from `at` on that is no white space.
#[inline(always)]
pub(super) fn space(b: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = b.get(at) {
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that ends a plain run of text; right up to the first such byte.
#[inline(always)]
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let slash = word ^ (ONES * 0x5c);
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    (zero(quote) | zero(slash) | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGHS
}

/// The first quote, backslash or control character from `at` on, or the end.
#[inline(always)]
pub(super) fn plain(b: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        let Some(word) = load8(b, at) else { return plain_tail(b, at) };
        let stops = stops(word);
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_long(b, at)
}

/// Long texts: 32 bytes at a time, in a form that compilers turn into vector code, then word by word.
#[inline(never)]
fn plain_long(b: &[u8], mut at: usize) -> usize {
    let any = |chunk: &[u8; 32]| {
        chunk.iter().fold(false, |any, c| any | (*c < 0x20) | (*c == b'"') | (*c == b'\\'))
    };
    while let Some(chunk) = b.get(at..).and_then(|rest| rest.first_chunk()) {
        if any(chunk) {
            break;
        }
        at += 32;
    }
    while let Some(word) = load8(b, at) {
        let stops = stops(word);
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_tail(b, at)
}

#[cold]
fn plain_tail(b: &[u8], at: usize) -> usize {
    let rest = b.get(at..).unwrap_or_default();
    at + rest.iter().position(|c| matches!(c, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// The place after the closing quote of a text whose first byte is at `at`; escapes are stepped
/// over, and checked if `strict`.
#[inline]
pub(super) fn text_end(b: &[u8], mut at: usize, strict: bool) -> Scan {
    loop {
        at = plain(b, at);
        match b.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if strict => at = escape(b, at)?.1,
            Some(b'\\') if b.get(at + 1).is_some_and(|c| *c >= 0x20) => at += 2,
            Some(_) => return Err(broken("a control character in a text", at)),
            None => return Err(broken("it ends in the midst of a text", at)),
        }
    }
}

/// The character that the escape at `at` stands for, and its end.
pub(super) fn escape(b: &[u8], at: usize) -> Result<(char, usize), Box<Fault>> {
    let c = match b.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(b, at),
        _ => return Err(broken("an unknown escape in a text", at)),
    };
    Ok((c, at + 2))
}

fn unicode(b: &[u8], at: usize) -> Result<(char, usize), Box<Fault>> {
    let unit = |at: usize| -> Option<u32> {
        let digits = b.get(at..at + 6).filter(|d| d.starts_with(b"\\u"))?.get(2..)?;
        digits.iter().try_fold(0, |v, c| Some(v * 16 + (*c as char).to_digit(16)?))
    };
    let first = unit(at).ok_or_else(|| broken("an unknown escape in a text", at))?;
    if let Some(c) = char::from_u32(first) {
        return Ok((c, at + 6));
    }
    // Not a char, so half of a surrogate pair: high, then low.
    let lone = || broken("half of a surrogate pair in a text", at);
    let second = unit(at + 6).filter(|s| (0xdc00..0xe000).contains(s)).ok_or_else(lone)?;
    if first >= 0xdc00 {
        return Err(lone());
    }
    let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
    Ok((c.ok_or_else(lone)?, at + 12))
}

/// The end of the value at `at`. Unless `strict`, a nested value on one line is only balanced and
/// escapes are not looked at; `depth` is the nesting around it.
#[inline]
pub(super) fn value(b: &[u8], at: usize, depth: u32, strict: bool) -> Scan {
    match b.get(at) {
        Some(b'"') => text_end(b, at + 1, strict),
        Some(b'{' | b'[') if !strict => match balanced(b, at, depth) {
            Balance::End(end) => Ok(end),
            Balance::Deep => Err(Fault::boxed(Why::Deep, at)),
            Balance::Unsure => nested(b, at, depth),
        },
        Some(b'{' | b'[') => nested(b, at, depth),
        _ => scalar(b, at),
    }
}

/// The end of a number, `true`, `false` or `null`.
pub(super) fn scalar(b: &[u8], at: usize) -> Scan {
    let word = |word: &'static [u8]| {
        let rest = b.get(at..).unwrap_or_default();
        if rest.starts_with(word) {
            return Ok(at + word.len());
        }
        Err(broken("no value", at))
    };
    match b.get(at) {
        Some(b't') => word(b"true"),
        Some(b'f') => word(b"false"),
        Some(b'n') => word(b"null"),
        Some(b'-' | b'0'..=b'9') => number::end(b, at).ok_or_else(|| broken("no valid number", at)),
        Some(_) => Err(broken("no value", at)),
        None => Err(broken("it ends where a value is due", at)),
    }
}

enum Balance {
    End(usize),
    Deep,
    /// A line break, a broken text or the end came first: only a full look tells.
    Unsure,
}

/// Counts brackets up to the one that closes `at`.
fn balanced(b: &[u8], mut at: usize, depth: u32) -> Balance {
    let mut open = 0u32;
    while let Some(c) = b.get(at) {
        match c {
            b'"' => match text_end(b, at + 1, false) {
                Ok(end) => {
                    at = end;
                    continue;
                }
                Err(_) => return Balance::Unsure,
            },
            b'{' | b'[' => {
                open += 1;
                if depth + open > DEPTH_MAX {
                    return Balance::Deep;
                }
            }
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return Balance::End(at + 1);
                }
            }
            0..0x20 => return Balance::Unsure,
            _ => {}
        }
        at += 1;
    }
    Balance::Unsure
}

/// The end of the nested value at `at`, however deep and whatever stands in it, by brackets and
/// quotes alone: how far a row reaches that is refused anyway.
pub(super) fn reach(b: &[u8], mut at: usize) -> Scan {
    let mut open = 0usize;
    while let Some(c) = b.get(at) {
        at += 1;
        match c {
            b'"' => at = text_end(b, at, false)?,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return Ok(at);
        }
    }
    Err(broken("it ends in the midst of a row", at))
}

/// The end of a nested value, fully checked. No recursion: one bit per level tells objects from arrays.
fn nested(b: &[u8], start: usize, depth: u32) -> Scan {
    let (mut at, mut open, mut objects) = (start, 0u32, 0u128);
    loop {
        // A value is due at `at`.
        match b.get(at) {
            Some(c @ (b'{' | b'[')) => {
                open += 1;
                if depth + open > DEPTH_MAX {
                    return Err(Fault::boxed(Why::Deep, start));
                }
                objects = objects << 1 | u128::from(*c == b'{');
                at = space(b, at + 1);
                let close = if *c == b'{' { b'}' } else { b']' };
                if b.get(at) != Some(&close) {
                    if *c == b'{' {
                        at = key_end(b, at)?;
                    }
                    continue;
                }
            }
            Some(b'"') => at = text_end(b, at + 1, true)?,
            _ => at = scalar(b, at)?,
        }
        // A value has ended, or an empty object or array stands before its close.
        loop {
            at = space(b, at);
            let object = objects & 1 == 1;
            match b.get(at) {
                Some(b',') => {
                    at = space(b, at + 1);
                    if object {
                        at = key_end(b, at)?;
                    }
                    break;
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                Some(_) => return Err(broken("neither a comma nor the end of what is open", at)),
                None => return Err(broken("it ends in the midst of a value", at)),
            }
            at += 1;
            open -= 1;
            objects >>= 1;
            if open == 0 {
                return Ok(at);
            }
        }
    }
}

/// From a key's opening quote to its value.
fn key_end(b: &[u8], at: usize) -> Scan {
    if b.get(at) != Some(&b'"') {
        return Err(broken("no key", at));
    }
    let at = text_end(b, at + 1, true)?;
    colon(b, at)
}

/// From a key's end to its value.
#[inline]
pub(super) fn colon(b: &[u8], at: usize) -> Scan {
    let at = space(b, at);
    if b.get(at) != Some(&b':') {
        return Err(broken("no colon after a key", at));
    }
    Ok(space(b, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stops_at_its_first_special_byte_wherever_that_is() {
        for len in 0..100 {
            for stop in [b'"', b'\\', b'\n', 0, 0x1f] {
                let mut b = vec![b'a'; len];
                b.push(stop);
                b.extend_from_slice("é\u{7f}\"\\".repeat(10).as_bytes());
                assert_eq!(plain(&b, 0), len);
            }
            assert_eq!(plain(&"é ~".as_bytes().repeat(len), 0), len * 4);
        }
    }

    #[test]
    fn the_full_look_agrees_with_serde_json() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        let texts = [
            "{}",
            "[]",
            "[{}]",
            r#"{"a":[1,2,{"b":null}],"c":"\u00e9\ud83d\ude00"}"#,
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "[1 2]",
            r#"["\ud800"]"#,
            r#"["\udc00\ud800"]"#,
            r#"["\x"]"#,
            "[tru]",
            "[01]",
            "[}",
            "{]",
            "[\"\n\"]",
            r#"{1:2}"#,
            "[",
            "{\"a\":1",
        ];
        let mut texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        texts.extend([deep(127), deep(128)]);
        for text in texts {
            let ours = value(text.as_bytes(), 0, 0, true).is_ok_and(|e| e == text.len());
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(ours, theirs, "{text}");
        }
    }

    #[test]
    fn the_quick_look_ends_where_the_full_one_does() {
        for text in [r#"{"a":["}",{"b":"]\""}]}"#, "[[[]]]", "{}", "[\n1]"] {
            let line = format!("{text},1");
            assert_eq!(value(line.as_bytes(), 0, 0, false).unwrap(), text.len());
            assert_eq!(reach(line.as_bytes(), 0).unwrap(), text.len());
        }
    }
}
