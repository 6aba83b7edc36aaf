//! Where in the file a place in a view's SQL is: through block, folded, plain and quoted scalars alike.
//!
//! YAML only ever changes white space and escapes. So the n-th character of the SQL that is no white
//! space is the n-th such character of the scalar as it is written.

use std::ops::Range;

use super::tree::{Node, Scalar, Style, Value};

/// The bytes of `text` at a line and column (both from 1) of the scalar that `node` holds: the word
/// there. `None` where `${…}` has moved things, or for what is no scalar.
pub(super) fn find(text: &str, node: &Node, line: usize, col: usize) -> Option<Range<usize>> {
    let Value::Scalar(scalar) = &node.value else {
        return None;
    };
    let index = char_index(&scalar.text, line, col);
    let tokens = tokens(text, node, scalar);
    let (mut last_end, mut at) = (node.at.start, 0);
    for (i, c) in scalar.text.chars().enumerate() {
        if c.is_whitespace() {
            if i >= index {
                return Some(last_end..last_end + 1);
            }
            continue;
        }
        let token = tokens.get(at)?;
        if token.char != c {
            return None;
        }
        if i >= index {
            return Some(word(text, &token.at));
        }
        (last_end, at) = (token.at.end, at + 1);
    }
    Some(last_end.saturating_sub(1)..last_end)
}

/// The index of the character at a line and column, at most that of the line's end.
fn char_index(sql: &str, line: usize, col: usize) -> usize {
    let mut index = 0;
    for (i, one) in sql.split('\n').enumerate() {
        let length = one.chars().count();
        if i + 1 == line {
            return index + col.saturating_sub(1).min(length);
        }
        index += length + 1;
    }
    index
}

/// A character as it is written.
struct Token {
    char: char,
    at: Range<usize>,
}

/// Characters of the scalar that are no white space.
fn tokens(text: &str, node: &Node, scalar: &Scalar) -> Vec<Token> {
    let raw = text.get(node.at.clone()).unwrap_or("");
    // A quoted scalar begins with its quote; a block scalar below its `|` or `>`, as the parser has it.
    let skip = usize::from(matches!(scalar.style, Style::Single | Style::Double));
    let mut tokens = Vec::new();
    let mut chars = raw.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if i < skip {
            continue;
        }
        let mut char = Some(c);
        if scalar.style == Style::Single && c == '\'' {
            // Doubled inside, single at the end.
            if chars.next_if(|(_, next)| *next == '\'').is_none() {
                break;
            }
        } else if scalar.style == Style::Double && c == '"' {
            break;
        } else if scalar.style == Style::Double && c == '\\' {
            char = escaped(&mut chars);
        }
        let end = chars.peek().map_or(raw.len(), |(next, _)| *next);
        if let Some(char) = char.filter(|c| !c.is_whitespace()) {
            let start = node.at.start;
            tokens.push(Token { char, at: start + i..start + end });
        }
    }
    tokens
}

type Chars<'t> = std::iter::Peekable<std::str::CharIndices<'t>>;

/// The character that an escape stands for; none for a line that goes on.
fn escaped(chars: &mut Chars<'_>) -> Option<char> {
    let (_, kind) = chars.next()?;
    match kind {
        'x' => char::from_u32(hex(chars, 2)?),
        'U' => char::from_u32(hex(chars, 8)?),
        'u' => {
            let high = hex(chars, 4)?;
            if !(0xD800..0xDC00).contains(&high) {
                return char::from_u32(high);
            }
            chars.next_if(|(_, c)| *c == '\\')?;
            chars.next_if(|(_, c)| *c == 'u')?;
            let low = hex(chars, 4)?.checked_sub(0xDC00)?;
            char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + low)
        }
        '0' => Some('\0'),
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'e' => Some('\u{1b}'),
        // All of these are white space.
        't' | 'n' | 'v' | 'f' | 'r' | ' ' | '\t' | 'N' | '_' | 'L' | 'P' | '\n' | '\r' => None,
        other => Some(other),
    }
}

fn hex(chars: &mut Chars<'_>, digits: usize) -> Option<u32> {
    let mut number = 0;
    for _ in 0..digits {
        number = number * 16 + chars.next()?.1.to_digit(16)?;
    }
    Some(number)
}

/// The rest of the word that begins here.
fn word(text: &str, at: &Range<usize>) -> Range<usize> {
    let rest = text.get(at.start..).unwrap_or("");
    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    at.start..at.end.max(at.start + length)
}
