//! Why a row does not fit, kept small until somebody asks for the words.

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
