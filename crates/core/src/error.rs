//! One error type for every seam, with what the engine shall do about it.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail in Millstream.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the engine does about an [`Error`]. Code looks at this, people at the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remedy {
    /// Wait and call the same method again: the part is still sound.
    Retry,
    /// Wait and `open` the part again: whatever it had not flushed is discarded.
    Reopen,
    /// Keep the offending record or row in the dead letters and go on with its neighbours.
    SetAside,
    /// Stop the pipeline: only a person can mend this.
    Stop,
}

/// What happened, where, why, and how to mend it.
///
/// Text is lower case, without a full stop, values in backticks.
pub struct Error(Box<Inner>);

struct Inner {
    remedy: Remedy,
    what: String,
    place: Option<String>,
    fix: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    mended_by_forgetting: bool,
}

impl Error {
    /// An error with its remedy and what happened.
    pub fn new(remedy: Remedy, what: impl Into<String>) -> Self {
        let (place, fix, cause, mended_by_forgetting) = (None, None, None, false);
        Self(Box::new(Inner { remedy, what: what.into(), place, fix, cause, mended_by_forgetting }))
    }

    /// An error after which the same call may succeed.
    pub fn retry(what: impl Into<String>) -> Self {
        Self::new(Remedy::Retry, what)
    }

    /// An error after which the part has to be opened again.
    pub fn reopen(what: impl Into<String>) -> Self {
        Self::new(Remedy::Reopen, what)
    }

    /// An error of one record or row.
    pub fn set_aside(what: impl Into<String>) -> Self {
        Self::new(Remedy::SetAside, what)
    }

    /// An error that only a person can mend.
    pub fn stop(what: impl Into<String>) -> Self {
        Self::new(Remedy::Stop, what)
    }

    /// Says where it happened: a file and offset, a URL, a place in the pipeline file.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.0.fix = Some(fix.into());
        self
    }

    /// Says why it happened.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Says that a sink which was told to forget what it holds (`--resume`, by a person) can be opened all the same.
    #[must_use]
    pub fn mended_by_forgetting(mut self) -> Self {
        self.0.mended_by_forgetting = true;
        self
    }

    /// Whether the sink that says so has to forget what it holds to go on.
    #[must_use]
    pub fn is_mended_by_forgetting(&self) -> bool {
        self.0.mended_by_forgetting
    }

    /// The same error with another remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.remedy = remedy;
        self
    }

    /// What the engine shall do.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        self.0.remedy
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where it happened, if it has a place.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// How to mend it, if that is known.
    #[must_use]
    pub fn how_to_fix(&self) -> Option<&str> {
        self.0.fix.as_deref()
    }

    /// What happened, where and why on one line, without the fix: for logs and dead letters.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.0.what.clone();
        if let Some(place) = &self.0.place {
            line.push_str(" at ");
            line.push_str(place);
        }
        let mut cause = self.0.cause.as_deref().map(|c| c as &dyn StdError);
        while let Some(c) = cause {
            let text = c.to_string();
            // Many libraries repeat their source in their own text.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = c.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        if let Some(fix) = &self.0.fix {
            write!(f, "\n  fix: {fix}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.remedy)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // `Display` already shows the causes; reporting them again would say everything twice.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_where_why_and_how_to_mend() {
        let e = Error::retry("cannot append to `orders`")
            .at("/data/000042.log:8192")
            .because(std::io::Error::other("no space left on device"))
            .fix("free 64 MiB; appends resume by themselves");
        assert_eq!(
            e.to_string(),
            "cannot append to `orders` at /data/000042.log:8192: no space left on device\n  fix: free 64 MiB; appends resume by themselves"
        );
        assert_eq!(e.remedy(), Remedy::Retry);
    }
}
