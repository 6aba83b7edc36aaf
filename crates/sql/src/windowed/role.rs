//! What a column has to do with event time: whether it is one, and which windows it tells of.

use std::sync::Arc;

use arrow_schema::DataType;

use crate::window::Window;

/// What a column has to do with event time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// It is event time: by so much it may lag behind the watermark.
    pub lag: Option<i64>,
    /// It tells of a window of the row, by which rows are not grouped yet.
    pub edge: Option<Edge>,
    /// It tells of a window that the row came out of, of this view or of one below.
    pub past: Option<Edge>,
    /// It is one of the columns that name a row which may be given anew: which, the window being 0.
    pub key: Option<usize>,
}

/// A column of a window that rows are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub side: Side,
    pub of: Arc<Cut>,
}

/// How event time was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub window: Window,
    /// Of the time that was cut.
    pub lag: i64,
    /// Of sessions: the names of the columns that each has its own for.
    pub keys: Vec<String>,
}

/// Which one of a window's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Start,
    End,
    Time,
    /// Of a session: one of the columns that each has its own for.
    Key(usize),
}

impl Side {
    /// Whether it tells when the window is.
    pub(crate) fn is_time(self) -> bool {
        !matches!(self, Self::Key(_))
    }
}

impl Role {
    /// As it is when rows waited until the watermark was past the event time with the role `of`, and `more` past its lag;
    /// `same` says that it is that one, `cut` that the windows which rows are in were made of that.
    ///
    /// What else is known of event time holds no longer, unless it is of the same window.
    pub(crate) fn waited(self, of: &Self, same: bool, cut: bool, more: i64) -> Self {
        let within = cut && self.edge.as_ref().is_some_and(|e| e.side.is_time());
        let (role, of) = (self.behind(), of.clone().behind());
        let Some(past) = &of.past else {
            let lag = role.lag.and_then(|lag| lag.checked_add(more));
            return match role.past {
                None if same => Self { lag, ..Self::default() },
                Some(own) if within => Self { lag, past: own.later(more), ..Self::default() },
                _ => Self::default(),
            };
        };
        let Some(own) = role.past.as_ref().filter(|own| own.of == past.of) else {
            return Self::default();
        };
        // A window's time is a microsecond before its end, which the watermark may be at by then.
        let one = i64::from(past.side != Side::Time);
        let later = if own.side == Side::Time { more.checked_add(one) } else { Some(more) };
        let lag = role.lag.zip(later).and_then(|(lag, later)| lag.checked_add(later));
        let past = more.checked_add(one).and_then(|more| own.clone().later(more));
        Self { lag, past, ..Self::default() }
    }

    /// As it is behind a view: a window that rows are in and are not grouped by is one that they came out of.
    pub(crate) fn behind(self) -> Self {
        let past = self.edge.filter(|e| e.side.is_time()).or(self.past);
        Self { edge: None, past, ..self }
    }
}

impl Edge {
    /// The same of windows whose time lags so much more.
    fn later(self, more: i64) -> Option<Self> {
        let lag = self.of.lag.checked_add(more)?;
        Some(Self { of: Arc::new(Cut { lag, ..self.of.as_ref().clone() }), ..self })
    }

    /// Whether it tells windows apart: those of `CUMULATE` begin together.
    pub(crate) fn names_window(&self) -> bool {
        match self.of.window {
            Window::Cumulate { .. } => matches!(self.side, Side::End | Side::Time),
            _ => self.side.is_time(),
        }
    }
}

/// Whether a cast leaves each value the number that it was: of whole numbers, and of timestamps whatever zone they stood in.
pub(super) fn is_same_number(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (from, DataType::Int64) => from.is_integer(),
        (DataType::Timestamp(from, _), DataType::Timestamp(to, Some(zone))) => {
            from == to && **zone == *"UTC"
        }
        _ => false,
    }
}
