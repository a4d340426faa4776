//! One error type, classed where it is born.
//!
//! An error says what was being done to what, keeps its cause in `source`, and carries the one
//! decision that everybody above needs: what to do about it. Worker, command line and logs read
//! that decision from [`Error::class`] and never guess it again from the text.

use std::error::Error as StdError;
use std::fmt;

/// The result of anything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may work later: try again with backoff, and count the attempt.
    Later,
    /// The other side cannot be reached: try again, and count no attempt, because none was made.
    Unreachable,
    /// Too much at once (memory, rows): do less at a time.
    Narrower,
    /// Somebody has to change something first: a missing table, a permission, a full disk.
    Operator,
    /// The claim was lost to another worker, or the work was cancelled: stop, and write nothing.
    Lost,
    /// The request itself is wrong: exit code 2 at the command line.
    Misuse,
    /// No retry mends it.
    Never,
}

impl Class {
    /// As metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Later => "later",
            Self::Unreachable => "unreachable",
            Self::Narrower => "narrower",
            Self::Operator => "operator",
            Self::Lost => "lost",
            Self::Misuse => "misuse",
            Self::Never => "never",
        }
    }
}

/// What is wrong with a request, of an error of [`Class::Misuse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request itself: a value out of range, a range that is empty.
    Request,
    /// It names something that is not there.
    Missing,
    /// It does not go with how things are now: a setting that is off, a task that is over.
    Conflict,
}

/// An error with its class, its cause and, where there is one, the next step.
#[derive(Debug)]
pub struct Error {
    class: Class,
    fault: Fault,
    doing: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `class` while `doing` something: `failed to open ledger.db`.
    pub fn new(class: Class, doing: impl Into<String>) -> Self {
        Self {
            class,
            fault: Fault::Request,
            doing: doing.into(),
            hint: None,
            source: None,
        }
    }

    /// The request itself is wrong.
    pub fn misuse(doing: impl Into<String>) -> Self {
        Self::new(Class::Misuse, doing)
    }

    /// The request names something that is not there.
    pub fn missing(doing: impl Into<String>) -> Self {
        Self {
            fault: Fault::Missing,
            ..Self::misuse(doing)
        }
    }

    /// The request does not go with how things are now.
    pub fn conflict(doing: impl Into<String>) -> Self {
        Self {
            fault: Fault::Conflict,
            ..Self::misuse(doing)
        }
    }

    /// Somebody has to change something first.
    pub fn operator(doing: impl Into<String>) -> Self {
        Self::new(Class::Operator, doing)
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the next step: `run prefill migrate`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Without the next step, where it was made for another caller.
    #[must_use]
    pub fn without_next_step(mut self) -> Self {
        self.hint = None;
        self
    }

    /// Says what a caller was doing when this error came up, keeping class and hint.
    #[must_use]
    pub fn while_doing(self, doing: impl Into<String>) -> Self {
        Self {
            class: self.class,
            fault: self.fault,
            doing: doing.into(),
            hint: self.hint.clone(),
            source: Some(Box::new(self)),
        }
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What is wrong with the request, where the class is [`Class::Misuse`].
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The next step for a person, where there is one.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The whole chain on one line: `failed to fill team 7: Code: 241 …`.
    pub fn chain(&self) -> String {
        let mut text = self.doing.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Some libraries write several lines, and repeat their cause in their own text.
            let next = next.split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Turns a foreign error into ours at the place that knows what was being done.
pub trait Context<T> {
    /// Classes the error and says what was being done.
    fn classed(self, class: Class, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn classed(self, class: Class, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(class, doing()).caused_by(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_once_and_keeps_the_class_and_the_hint_of_its_root() {
        let root = std::io::Error::other("disk full");
        let error = Error::operator("failed to write a.db")
            .caused_by(root)
            .hint("free some space")
            .while_doing("failed to add team 7");
        assert_eq!(
            error.chain(),
            "failed to add team 7: failed to write a.db: disk full"
        );
        assert_eq!(error.class(), Class::Operator);
        assert_eq!(error.next_step(), Some("free some space"));
    }
}
