//! ClickHouse's error codes, and what to do about each.
//!
//! The numbers and names are those of `src/Common/ErrorCodes.cpp` of ClickHouse; a test asks the
//! engine itself for them (`errorCodeToName`). An error that is not listed is tried again, too: one
//! that nobody knows is more often passing than not, and the number of tries is bounded.

use std::borrow::Cow;

use crate::error::Class;

/// Every code that is told apart: its number, ClickHouse's name for it, and what to do.
pub const CODES: &[(u32, &str, Class)] = &[
    // Refused before it began, because the server has its hands full: no try was made.
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES", Class::Unreachable),
    (364, "RECEIVED_ERROR_TOO_MANY_REQUESTS", Class::Unreachable),
    (745, "SERVER_OVERLOADED", Class::Unreachable),
    // It may work later: the server, its disks or its neighbours are busy, away, or starting.
    (3, "UNEXPECTED_END_OF_FILE", Class::Later),
    (32, "ATTEMPT_TO_READ_AFTER_EOF", Class::Later),
    (95, "CANNOT_READ_FROM_SOCKET", Class::Later),
    (96, "CANNOT_WRITE_TO_SOCKET", Class::Later),
    (198, "DNS_ERROR", Class::Later),
    (203, "NO_FREE_CONNECTION", Class::Later),
    (209, "SOCKET_TIMEOUT", Class::Later),
    (210, "NETWORK_ERROR", Class::Later),
    (225, "NO_ZOOKEEPER", Class::Later),
    (236, "ABORTED", Class::Later),
    // a replica that lost its keeper
    (242, "TABLE_IS_READ_ONLY", Class::Later),
    (252, "TOO_MANY_PARTS", Class::Later),
    (254, "NO_ACTIVE_REPLICAS", Class::Later),
    (265, "NO_AVAILABLE_REPLICA", Class::Later),
    (279, "ALL_CONNECTION_TRIES_FAILED", Class::Later),
    (285, "TOO_FEW_LIVE_REPLICAS", Class::Later),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Class::Later),
    // it may have been done: the next try looks at the tables
    (319, "UNKNOWN_STATUS_OF_INSERT", Class::Later),
    (341, "UNFINISHED", Class::Later),
    (369, "ALL_REPLICAS_ARE_STALE", Class::Later),
    (384, "PART_IS_TEMPORARILY_LOCKED", Class::Later),
    (416, "REPLICA_STATUS_CHANGED", Class::Later),
    (425, "SYSTEM_ERROR", Class::Later),
    (439, "CANNOT_SCHEDULE_TASK", Class::Later),
    (473, "DEADLOCK_AVOIDED", Class::Later),
    (499, "S3_ERROR", Class::Later),
    (517, "CANNOT_ASSIGN_ALTER", Class::Later),
    (692, "TOO_MANY_MUTATIONS", Class::Later),
    (999, "KEEPER_EXCEPTION", Class::Later),
    (1000, "POCO_EXCEPTION", Class::Later),
    (1001, "STD_EXCEPTION", Class::Later),
    (1002, "UNKNOWN_EXCEPTION", Class::Later),
    // Too much at once: do less at a time.
    (128, "TOO_LARGE_ARRAY_SIZE", Class::Narrower),
    (158, "TOO_MANY_ROWS", Class::Narrower),
    (159, "TIMEOUT_EXCEEDED", Class::Narrower),
    (160, "TOO_SLOW", Class::Narrower),
    (173, "CANNOT_ALLOCATE_MEMORY", Class::Narrower),
    (191, "SET_SIZE_LIMIT_EXCEEDED", Class::Narrower),
    (241, "MEMORY_LIMIT_EXCEEDED", Class::Narrower),
    (307, "TOO_MANY_BYTES", Class::Narrower),
    (396, "TOO_MANY_ROWS_OR_BYTES", Class::Narrower),
    // Somebody has to change something first.
    (16, "NO_SUCH_COLUMN_IN_TABLE", Class::Operator),
    (36, "BAD_ARGUMENTS", Class::Operator),
    (43, "ILLEGAL_TYPE_OF_ARGUMENT", Class::Operator),
    (47, "UNKNOWN_IDENTIFIER", Class::Operator),
    (53, "TYPE_MISMATCH", Class::Operator),
    (60, "UNKNOWN_TABLE", Class::Operator),
    (62, "SYNTAX_ERROR", Class::Operator),
    (81, "UNKNOWN_DATABASE", Class::Operator),
    (115, "UNKNOWN_SETTING", Class::Operator),
    (164, "READONLY", Class::Operator),
    (192, "UNKNOWN_USER", Class::Operator),
    (193, "WRONG_PASSWORD", Class::Operator),
    (194, "REQUIRED_PASSWORD", Class::Operator),
    (201, "QUOTA_EXCEEDED", Class::Operator),
    (243, "NOT_ENOUGH_SPACE", Class::Operator),
    (291, "DATABASE_ACCESS_DENIED", Class::Operator),
    (452, "SETTING_CONSTRAINT_VIOLATION", Class::Operator),
    (472, "READONLY_SETTING", Class::Operator),
    (497, "ACCESS_DENIED", Class::Operator),
    (516, "AUTHENTICATION_FAILED", Class::Operator),
    // The statement was killed, because its claim was lost or its client went.
    (394, "QUERY_WAS_CANCELLED", Class::Lost),
    (735, "QUERY_WAS_CANCELLED_BY_CLIENT", Class::Lost),
];

/// What to do about an error of ClickHouse.
pub fn class(code: u32) -> Class {
    CODES
        .iter()
        .find(|(listed, ..)| *listed == code)
        .map_or(Class::Later, |(.., class)| *class)
}

/// Whether a statement may fail so because somebody dropped a table, or changed a column that it reads.
pub fn is_of_tables(code: u32) -> bool {
    // A table, its database or a column is missing, or a column has another type: 349 is CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN.
    matches!(code, 16 | 43 | 47 | 53 | 60 | 81 | 349)
}

/// The next step for whoever has to change something. Of what was too much at once it is one where less at a
/// time is not to be had.
pub(super) fn hint(code: u32) -> Option<&'static str> {
    Some(match (code, class(code)) {
        (192 | 193 | 194 | 516, _) => {
            "set user and password under [warehouse], or PREFILL_WAREHOUSE_USER and PREFILL_WAREHOUSE_PASSWORD"
        }
        (164 | 452 | 472, _) => {
            "prefill sets limits for each statement: its user's profile must allow max_threads, max_memory_usage, max_execution_time, log_comment and what the error names to be changed (readonly = 0 or 2)"
        }
        (291 | 497, _) => {
            "grant the user what prefill needs; prefill migrate names what is missing"
        }
        (243, _) => "free some space on the warehouse's disks",
        (201, _) => "raise the user's quota, or wait for its next interval",
        (159, _) => "raise max_execution_time under [warehouse]",
        (128, _) => {
            "a session id has more page views within three days than an array holds: mend what sends it, or delete its events"
        }
        (349, _) => {
            "a column of the events holds null where prefill needs a value (person_id, timestamp): mend the events, or the column"
        }
        (173 | 241, _) => "raise max_memory_usage under [warehouse], or lower max_threads",
        (_, Class::Narrower) => {
            "raise the limit that it names, in the profile of the warehouse's user or under [warehouse.settings]"
        }
        (_, Class::Operator) => {
            "run prefill migrate, which says what is missing; check the database's space and permissions"
        }
        _ => return None,
    })
}

/// The code in the text of an exception: `Code: 241. DB::Exception: …`.
pub fn code_in(text: &str) -> Option<u32> {
    let after = text.split_once("Code: ")?.1;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A code as metrics have it: `241`; `other` for one that is not told apart, `none` where there is none.
pub fn label(code: Option<u32>) -> Cow<'static, str> {
    match code {
        None => "none".into(),
        Some(code) if CODES.iter().any(|(listed, ..)| *listed == code) => code.to_string().into(),
        Some(_) => "other".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_a_bounded_number_of_codes() {
        let told = [Some(241), Some(1_099), None].map(label);
        assert_eq!(told, ["241", "other", "none"]);
    }

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
        assert_eq!(class(1_099), Class::Later, "not listed");
        assert_eq!(code_in("connection refused"), None);
    }
}
