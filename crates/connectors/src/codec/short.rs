//! Values as reasons repeat them.

use std::fmt;

/// Most of a value that a reason repeats.
const VALUE_CHARS_MAX: usize = 40;

/// A value as a reason repeats it.
pub(super) struct Short<'a>(pub(super) &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A char has up to four bytes; one more shows that there is more.
        let head = self.0.get(..VALUE_CHARS_MAX * 4 + 4).unwrap_or(self.0);
        let text = String::from_utf8_lossy(head);
        let mut chars = text.chars();
        f.write_str("`")?;
        for c in chars.by_ref().take(VALUE_CHARS_MAX) {
            write!(f, "{}", if c.is_control() { ' ' } else { c })?;
        }
        f.write_str(if chars.next().is_some() { "…`" } else { "`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shortened_and_broken_text_is_shown() {
        assert_eq!(Short(b"a\nb").to_string(), "`a b`");
        assert_eq!(Short(b"\xff").to_string(), "`\u{fffd}`");
        let long = Short("é".repeat(500).as_bytes()).to_string();
        assert_eq!(long, format!("`{}…`", "é".repeat(40)));
    }
}
