//! What goes wrong, as `application/problem+json` (RFC 9457): the chain of the error that the command line
//! prints, with the same hint.

use std::any::Any;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::error::{Class, Error, Fault};

/// Somebody who is told to come back may do so after this many seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An answer that is none.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:prefill:` and the kind of problem: for programs, and never changed.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind, for people.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What was being done, and what went wrong.
    pub detail: String,
    /// The next step, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the request itself, before anything was asked of the installation.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let (kind, title) = match status {
            StatusCode::UNAUTHORIZED => ("urn:prefill:unauthorized", "A token is needed"),
            StatusCode::FORBIDDEN => ("urn:prefill:forbidden", "That is not allowed"),
            StatusCode::NOT_FOUND => ("urn:prefill:not-found", "There is no such thing"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("urn:prefill:method-not-allowed", "That is not done here")
            }
            StatusCode::CONFLICT => (
                "urn:prefill:conflict",
                "That does not go with how things are",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("urn:prefill:too-large", "The request is too large"),
            StatusCode::UNPROCESSABLE_ENTITY => {
                ("urn:prefill:invalid", "The request cannot be fulfilled")
            }
            StatusCode::TOO_MANY_REQUESTS => ("urn:prefill:too-many", "Too many at once"),
            StatusCode::SERVICE_UNAVAILABLE => {
                ("urn:prefill:unavailable", "It may be possible later")
            }
            StatusCode::INTERNAL_SERVER_ERROR => ("urn:prefill:failed", "It failed"),
            _ => ("urn:prefill:malformed", "The request is malformed"),
        };
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// Something else than the request is wrong, whatever the class of the error.
    pub fn unavailable(error: &Error) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, error.chain());
        problem.hint = error.next_step().map(ToOwned::to_owned);
        problem
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.class() {
            Class::Misuse => match error.fault() {
                Fault::Request => StatusCode::UNPROCESSABLE_ENTITY,
                Fault::Missing => StatusCode::NOT_FOUND,
                Fault::Conflict => StatusCode::CONFLICT,
            },
            Class::Later | Class::Unreachable | Class::Narrower | Class::Lost => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Class::Operator | Class::Never => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = error.next_step().map(ToOwned::to_owned);
        let mut problem = Self::new(status, error.chain());
        problem.hint = hint;
        match error.class() {
            Class::Unreachable => {
                problem.kind = "urn:prefill:unreachable";
                problem.title = "Ledger or warehouse cannot be reached";
            }
            Class::Narrower => {
                problem.kind = "urn:prefill:too-much";
                problem.title = "It is too much for the warehouse";
            }
            Class::Operator => {
                problem.kind = "urn:prefill:operator";
                problem.title = "Somebody has to change something first";
            }
            Class::Misuse | Class::Later | Class::Lost | Class::Never => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"prefill\""),
                );
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", uri.path()),
    )
    .hint("/api/v1/openapi.json lists what there is")
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}", uri.path()),
    )
    .hint("the header Allow says what it takes")
}

/// A bug: told in the log, where somebody can do something about it.
pub(super) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    let why = panic
        .downcast::<String>()
        .map(|text| *text)
        .or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|_| "unknown".to_owned());
    error!(error = why, "an answer died");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer died")
        .hint("the log of prefill serve says more; please report it")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_status_and_the_chain_and_the_hint_are_told() {
        let of = |error: Error| {
            let problem = Problem::from(error.caused_by("the cause").hint("the next step"));
            assert_eq!(problem.detail, "doing: the cause");
            assert_eq!(problem.hint.as_deref(), Some("the next step"));
            (problem.status, problem.kind)
        };
        for (error, expected) in [
            (Error::misuse("doing"), (422, "urn:prefill:invalid")),
            (Error::missing("doing"), (404, "urn:prefill:not-found")),
            (Error::conflict("doing"), (409, "urn:prefill:conflict")),
        ] {
            assert_eq!(of(error), expected);
        }
        for (class, expected) in [
            (Class::Later, (503, "urn:prefill:unavailable")),
            (Class::Lost, (503, "urn:prefill:unavailable")),
            (Class::Unreachable, (503, "urn:prefill:unreachable")),
            (Class::Narrower, (503, "urn:prefill:too-much")),
            (Class::Operator, (500, "urn:prefill:operator")),
            (Class::Never, (500, "urn:prefill:failed")),
        ] {
            assert_eq!(of(Error::new(class, "doing")), expected, "{class:?}");
        }
    }
}
