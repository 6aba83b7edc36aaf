//! What is wrong with a view's text, and where.

use millstream_core::Error;
use millstream_core::operator::ViewError;

/// Line and column in a view's SQL, both from 1.
pub(crate) type Place = (usize, usize);

/// One thing that is wrong with one view.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub place: Option<Place>,
    pub error: Error,
}

impl Complaint {
    pub(crate) fn new(place: Option<Place>, error: Error) -> Self {
        Self { place, error }
    }

    pub(crate) fn of(self, view: &str) -> ViewError {
        ViewError { view: view.to_owned(), place: self.place, error: self.error }
    }
}
