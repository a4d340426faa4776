//! ClickHouse's error codes, and the HTTP status that goes with each.
//!
//! The codes that this endpoint raises itself carry the numbers and names of
//! `errorCodeToName`; the statuses are those of
//! `src/Server/HTTP/exceptionCodeToHTTPStatus.cpp` (both ClickHouse, read 2026-11-22).

use axum::http::StatusCode;

/// An error that the endpoint raises itself, in ClickHouse's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16, pub &'static str);

pub const CANNOT_READ_ALL_DATA: Code = Code(33, "CANNOT_READ_ALL_DATA");
pub const BAD_ARGUMENTS: Code = Code(36, "BAD_ARGUMENTS");
pub const NOT_IMPLEMENTED: Code = Code(48, "NOT_IMPLEMENTED");
pub const SYNTAX_ERROR: Code = Code(62, "SYNTAX_ERROR");
pub const UNKNOWN_SETTING: Code = Code(115, "UNKNOWN_SETTING");
pub const UNKNOWN_COMPRESSION_METHOD: Code = Code(89, "UNKNOWN_COMPRESSION_METHOD");
pub const READONLY: Code = Code(164, "READONLY");
pub const TOO_MANY_SIMULTANEOUS_QUERIES: Code = Code(202, "TOO_MANY_SIMULTANEOUS_QUERIES");
pub const QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: Code =
    Code(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING");
pub const CANNOT_READ_FROM_SOCKET: Code = Code(95, "CANNOT_READ_FROM_SOCKET");
pub const QUERY_IS_TOO_LARGE: Code = Code(229, "QUERY_IS_TOO_LARGE");
pub const INTO_OUTFILE_NOT_ALLOWED: Code = Code(358, "INTO_OUTFILE_NOT_ALLOWED");
pub const UNKNOWN_TYPE_OF_QUERY: Code = Code(78, "UNKNOWN_TYPE_OF_QUERY");
pub const QUERY_WAS_CANCELLED: Code = Code(394, "QUERY_WAS_CANCELLED");
pub const SESSION_NOT_FOUND: Code = Code(372, "SESSION_NOT_FOUND");
pub const SESSION_IS_LOCKED: Code = Code(373, "SESSION_IS_LOCKED");
pub const INVALID_SESSION_TIMEOUT: Code = Code(374, "INVALID_SESSION_TIMEOUT");
pub const AUTHENTICATION_FAILED: Code = Code(516, "AUTHENTICATION_FAILED");

/// A failed statement: its code and ClickHouse's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u16,
    pub text: String,
}

impl Failure {
    /// One that the endpoint raises.
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        let Code(number, name) = code;
        Self {
            code: number,
            text: format!(
                "Code: {number}. DB::Exception: {}. ({name})",
                message.as_ref()
            ),
        }
    }

    /// The HTTP status that ClickHouse gives it.
    pub fn status(&self) -> StatusCode {
        http_status(self.code)
    }
}

impl From<String> for Failure {
    /// One that the engine raised. What has no code gets 1002, `UNKNOWN_EXCEPTION`.
    fn from(text: String) -> Self {
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self { code, text },
            None => Self {
                code: 1002,
                text: format!("Code: 1002. DB::Exception: {text}. (UNKNOWN_EXCEPTION)"),
            },
        }
    }
}

fn http_status(code: u16) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        // UNKNOWN_USER, WRONG_PASSWORD, AUTHENTICATION_FAILED, SET_NON_GRANTED_ROLE, ACCESS_DENIED
        192 | 193 | 516 | 512 | 497 => StatusCode::FORBIDDEN,
        // What cannot be parsed or typed.
        6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
        | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
        // What is not known.
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
        229 => StatusCode::PAYLOAD_TOO_LARGE,
        48 => StatusCode::NOT_IMPLEMENTED,
        // SOCKET_TIMEOUT, CANNOT_OPEN_FILE, CANNOT_SCHEDULE_TASK
        209 | 76 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        381 => StatusCode::LENGTH_REQUIRED,
        159 => StatusCode::REQUEST_TIMEOUT,
        779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
