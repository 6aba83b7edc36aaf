//! What a view does, in so few words that a test can work it out again by itself.

use millstream_core::{Error, Result};

/// What happens to each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `all`: it goes on as it is.
    All,
    /// `odd`: it goes on if it is odd.
    Odd,
    /// `plus K`: K is added.
    Plus(i64),
    /// `count`: it becomes the number of rows so far, its own included, times 1,000,000, plus itself.
    Count,
    /// `not K`: rows that K divides are refused one by one.
    Not(i64),
    /// `tumble N`: a row for each window of N microseconds.
    Tumble(i64),
}

/// A view: `RULE of TABLE, TABLE …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub rule: Rule,
    /// What it reads.
    pub tables: Vec<String>,
    /// The lookup it asks, and whether rows without an answer are left out: `find L` and `keep L`.
    pub lookup: Option<(String, bool)>,
    /// The reference table it joins: `with T`.
    pub joins: Option<String>,
}

/// What a row counts for in `count`.
pub(super) const COUNT: i64 = 1_000_000;

impl Step {
    /// Reads the text of a view.
    ///
    /// # Errors
    /// `Stop` when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::stop(format!("`{text}` is no view of the testkit"));
        let (rule, tables) = text.split_once(" of ").ok_or_else(bad)?;
        let tables = tables.split(", ").map(str::to_owned).collect();
        let find = rule.strip_prefix("find ").map(|l| (l.to_owned(), false));
        let keep = rule.strip_prefix("keep ").map(|l| (l.to_owned(), true));
        if let Some(lookup) = find.or(keep) {
            return Ok(Self { rule: Rule::All, tables, lookup: Some(lookup), joins: None });
        }
        if let Some(table) = rule.strip_prefix("with ") {
            let joins = Some(table.to_owned());
            return Ok(Self { rule: Rule::All, tables, lookup: None, joins });
        }
        let mut words = rule.split(' ');
        let word = words.next().unwrap_or_default();
        let number = words.next().and_then(|n| n.parse().ok());
        let rule = match (word, number) {
            ("all", None) => Rule::All,
            ("odd", None) => Rule::Odd,
            ("count", None) => Rule::Count,
            ("plus", Some(k)) => Rule::Plus(k),
            ("not", Some(k)) if k != 0 => Rule::Not(k),
            ("tumble", Some(n)) if n > 0 => Rule::Tumble(n),
            _ => return Err(bad()),
        };
        Ok(Self { rule, tables, lookup: None, joins: None })
    }
}

impl Rule {
    /// What becomes of a value: `Ok(None)` if it is left out, `Err` if it is refused. `count` is the state.
    ///
    /// # Errors
    /// The reason.
    pub fn apply(self, value: i64, count: &mut i64) -> Result<Option<i64>, String> {
        match self {
            Self::All | Self::Tumble(_) => Ok(Some(value)),
            Self::Odd => Ok((value % 2 != 0).then_some(value)),
            Self::Plus(k) => Ok(Some(value + k)),
            Self::Count => {
                *count += 1;
                Ok(Some(*count * COUNT + value))
            }
            Self::Not(k) if value % k == 0 => Err(format!("{k} divides {value}")),
            Self::Not(_) => Ok(Some(value)),
        }
    }
}
