//! What the values of a column have in common, for inference.

use millstream_core::codec::{Column, ColumnType, Columns};

use super::{moment, number};

/// What all values met so far can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing but nulls.
    #[default]
    Null,
    Int,
    Float,
    Bool,
    Date,
    Stamp,
    Text,
    List(Box<Seen>),
    /// Keys in order of first appearance.
    Struct(Vec<(String, Seen)>),
    /// Values of several types, or numbers that no column type holds exactly.
    Mixed,
}

/// More keys than this in one object are data, not columns.
pub(super) const KEYS_MAX: usize = 1_000;

impl Seen {
    /// What a text is: a moment or a day if it is written as one.
    pub(super) fn text(text: &[u8]) -> Self {
        if moment::rfc3339(text).is_some() {
            Self::Stamp
        } else if moment::date(text).is_some() {
            Self::Date
        } else {
            Self::Text
        }
    }

    /// What a number is: an integer if it is written as one and fits, a float if a double comes close.
    pub(super) fn number(text: &[u8]) -> Self {
        let integer = !text.iter().any(|c| matches!(c, b'.' | b'e' | b'E'));
        match (integer, number::scaled(text, 0), number::float(text)) {
            (true, Some(_), _) => Self::Int,
            // An integer beyond 64 bits would lose digits as a double.
            (true, None, _) | (false, _, None) => Self::Mixed,
            (false, _, Some(_)) => Self::Float,
        }
    }

    /// What holds both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, x) | (x, Self::Null) => x,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (
                a @ (Self::Date | Self::Stamp | Self::Text),
                b @ (Self::Date | Self::Stamp | Self::Text),
            ) => {
                if a == b {
                    a
                } else {
                    Self::Text
                }
            }
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.and(*b))),
            (Self::Struct(a), Self::Struct(b)) => Self::Struct(both(a, b)),
            (a, b) if a == b => a,
            _ => Self::Mixed,
        }
    }

    /// The column type that holds all that was met.
    pub(super) fn r#type(&self) -> ColumnType {
        match self {
            Self::Int => ColumnType::Int64,
            Self::Float => ColumnType::Float64,
            Self::Bool => ColumnType::Bool,
            Self::Date => ColumnType::Date,
            Self::Stamp => ColumnType::Timestamp,
            Self::Text => ColumnType::String,
            Self::List(item) => ColumnType::List(Box::new(item.r#type())),
            Self::Struct(keys) if !keys.is_empty() && keys.len() <= KEYS_MAX => {
                ColumnType::Struct(columns(keys))
            }
            Self::Struct(_) | Self::Null | Self::Mixed => ColumnType::Json,
        }
    }
}

/// Columns by name.
pub(super) fn columns(keys: &[(String, Seen)]) -> Columns {
    Columns(keys.iter().map(|(name, seen)| Column::new(name, seen.r#type())).collect())
}

/// The keys of two objects, those of the first one first.
pub(super) fn both(mut a: Vec<(String, Seen)>, b: Vec<(String, Seen)>) -> Vec<(String, Seen)> {
    for (i, (name, seen)) in b.into_iter().enumerate() {
        // Rows tend to agree in their order.
        let at = match a.get(i) {
            Some((n, _)) if *n == name => Some(i),
            _ => a.iter().position(|(n, _)| *n == name),
        };
        if let Some((_, before)) = at.and_then(|at| a.get_mut(at)) {
            *before = std::mem::take(before).and(seen);
        } else if a.len() <= KEYS_MAX {
            // One more than the bound is enough to know that it is passed.
            a.push((name, seen));
        }
    }
    a
}
