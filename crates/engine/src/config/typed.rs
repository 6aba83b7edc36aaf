//! What a scalar is, by the core schema of YAML 1.2 and by what is wanted where it stands.

use super::decode::Wish;
use super::tree::{Filled, Scalar, Style};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// What a scalar is. Quoted text is text; text that came whole from `${…}` is whatever is wanted.
pub(super) fn plain(scalar: &Scalar, wish: Wish) -> Plain {
    let text = scalar.text.as_str();
    match (scalar.filled, scalar.style, wish) {
        (Filled::Whole, _, Wish::Number | Wish::Bool)
        | (Filled::Whole, Style::Plain, Wish::Any) => {
            let typed = core(text.trim());
            if typed == Plain::Null { Plain::Text } else { typed }
        }
        (Filled::No, Style::Plain, _) => core(text),
        _ => Plain::Text,
    }
}

fn core(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Plain::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    let based = text
        .strip_prefix("0x")
        .map(|digits| (digits, 16))
        .or_else(|| text.strip_prefix("0o").map(|digits| (digits, 8)));
    if let Some((digits, base)) = based {
        let clean = digits.chars().all(|c| c.is_digit(base));
        let number = clean.then(|| u64::from_str_radix(digits, base).ok()).flatten();
        return number.map_or(Plain::Text, Plain::Unsigned);
    }
    // Rust takes `inf`, `nan` and `1_000` or not as it likes; the core schema wants digits, a sign, a point and an exponent.
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.bytes().any(|b| b.is_ascii_digit())
        || !unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return Plain::Text;
    }
    if let Ok(n) = text.strip_prefix('+').unwrap_or(text).parse() {
        return Plain::Unsigned(n);
    }
    if let Ok(n) = text.parse() {
        return Plain::Signed(n);
    }
    text.parse().map_or(Plain::Text, Plain::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str, style: Style, filled: Filled) -> Scalar {
        Scalar { text: text.into(), style, filled }
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, want) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("on", Plain::Text),
            ("5", Plain::Unsigned(5)),
            ("+5", Plain::Unsigned(5)),
            ("-5", Plain::Signed(-5)),
            ("0x1F", Plain::Unsigned(31)),
            ("0o17", Plain::Unsigned(15)),
            ("0x+1", Plain::Text),
            ("18446744073709551615", Plain::Unsigned(u64::MAX)),
            ("18446744073709551616", Plain::Float(18_446_744_073_709_551_616.0)),
            ("1.5", Plain::Float(1.5)),
            (".5", Plain::Float(0.5)),
            ("1e3", Plain::Float(1000.0)),
            ("1_000", Plain::Text),
            ("inf", Plain::Text),
            ("nan", Plain::Text),
            ("1.2.3", Plain::Text),
            ("2026-11-23", Plain::Text),
            (".", Plain::Text),
            ("e", Plain::Text),
        ] {
            assert_eq!(plain(&scalar(text, Style::Plain, Filled::No), Wish::Any), want, "{text:?}");
        }
    }

    #[test]
    fn a_value_from_the_environment_is_whatever_is_wanted() {
        let whole = |style| scalar("12345", style, Filled::Whole);
        assert_eq!(plain(&whole(Style::Plain), Wish::Number), Plain::Unsigned(12345));
        assert_eq!(plain(&whole(Style::Double), Wish::Number), Plain::Unsigned(12345));
        assert_eq!(plain(&whole(Style::Plain), Wish::Text), Plain::Text);
        assert_eq!(plain(&whole(Style::Double), Wish::Any), Plain::Text);
        assert_eq!(plain(&scalar("", Style::Plain, Filled::Whole), Wish::Any), Plain::Text);
        assert_eq!(plain(&scalar("12", Style::Plain, Filled::Part), Wish::Number), Plain::Text);
    }
}
