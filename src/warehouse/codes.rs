//! ClickHouse's error codes, and what to do about each.
//!
//! The numbers and names are those of `src/Common/ErrorCodes.cpp` of ClickHouse. What is not listed
//! here is tried again: an error that nobody knows is more often passing than not, and the number
//! of tries is bounded.

use crate::error::Class;

/// Too much at once: do less at a time.
const NARROWER: &[u32] = &[
    158, // TOO_MANY_ROWS
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    173, // CANNOT_ALLOCATE_MEMORY
    191, // SET_SIZE_LIMIT_EXCEEDED
    241, // MEMORY_LIMIT_EXCEEDED
    307, // TOO_MANY_BYTES
    396, // TOO_MANY_ROWS_OR_BYTES
];

/// Somebody has to change something first.
const OPERATOR: &[u32] = &[
    16,  // NO_SUCH_COLUMN_IN_TABLE
    36,  // BAD_ARGUMENTS
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    47,  // UNKNOWN_IDENTIFIER
    53,  // TYPE_MISMATCH
    60,  // UNKNOWN_TABLE
    62,  // SYNTAX_ERROR
    81,  // UNKNOWN_DATABASE
    115, // UNKNOWN_SETTING
    164, // READONLY
    192, // UNKNOWN_USER
    193, // WRONG_PASSWORD
    194, // REQUIRED_PASSWORD
    243, // NOT_ENOUGH_SPACE
    291, // DATABASE_ACCESS_DENIED
    452, // SETTING_CONSTRAINT_VIOLATION
    497, // ACCESS_DENIED
    516, // AUTHENTICATION_FAILED
];

/// The statement was killed, because its claim was lost or its client went.
const KILLED: &[u32] = &[
    394, // QUERY_WAS_CANCELLED
    735, // QUERY_WAS_CANCELLED_BY_CLIENT
];

/// What to do about an error of ClickHouse.
pub fn class(code: u32) -> Class {
    if NARROWER.contains(&code) {
        Class::Narrower
    } else if OPERATOR.contains(&code) {
        Class::Operator
    } else if KILLED.contains(&code) {
        Class::Lost
    } else {
        Class::Later
    }
}

/// The code in the text of an exception: `Code: 241. DB::Exception: …`.
pub fn code_in(text: &str) -> Option<u32> {
    let after = text.split_once("Code: ")?.1;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_classed_by_its_code() {
        let text = "bad response: Code: 241. DB::Exception: (total) memory limit exceeded";
        assert_eq!(code_in(text), Some(241));
        assert_eq!(class(241), Class::Narrower);
        assert_eq!(class(60), Class::Operator);
        assert_eq!(class(394), Class::Lost);
        assert_eq!(
            class(319),
            Class::Later,
            "unknown status: look at the tables, then again"
        );
        assert_eq!(code_in("connection refused"), None);
    }
}
