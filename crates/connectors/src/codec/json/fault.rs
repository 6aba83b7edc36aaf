//! Why a row does not fit, kept small until somebody asks for the words.

use std::fmt;

/// Why, and where in the bytes.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) why: Why,
    /// Where in the record the offending value begins.
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Why {
    /// Not JSON.
    Syntax(&'static str),
    /// Valid, but deeper than [`super::scan::DEPTH_MAX`].
    Deep,
    /// Another type than the column's.
    Misfit(usize),
    /// The right type, but not exactly to be held.
    Range(usize),
    /// Required, and null or not there.
    Missing(usize),
    /// A key that is used stands twice.
    Twice(String),
    /// A row that is no object.
    NoObject,
    /// Bytes that are not UTF-8.
    NoText,
}

/// Most of a value that a reason repeats.
const VALUE_CHARS_MAX: usize = 40;

impl Fault {
    #[cold]
    pub(super) fn boxed(why: Why, at: usize) -> Box<Self> {
        Box::new(Self { why, at })
    }

    /// Whether the bytes are not even JSON, so that the row's end cannot be told.
    pub(super) fn is_syntax(&self) -> bool {
        matches!(self.why, Why::Syntax(_))
    }
}

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
