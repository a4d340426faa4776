//! What PostHog is told of backfills: that they started, completed or failed.
//!
//! Told from what the ledger has of each run, not from the fill itself: a crash loses none, and of several
//! processes one tells. The id of an event follows from the run, so one that is sent twice counts once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ledger::{Captured, RunToCapture};

/// The names of the events.
pub const STARTED: &str = "web_analytics_backfill_started";
pub const COMPLETED: &str = "web_analytics_backfill_completed";
pub const FAILED: &str = "web_analytics_backfill_failed";
/// Sent by `prefill alerts test`.
pub const TEST: &str = "prefill_alert_test";

/// Events that are sent together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// As the batch endpoint takes them.
    pub events: Vec<Value>,
}

/// What is new of a run, and what PostHog will have been told of it then.
pub fn news(run: &RunToCapture, installation: &str, now: Timestamp) -> (Vec<Value>, Captured) {
    let mut told = run.captured;
    let mut events = Vec::new();
    if run.days == 0 {
        // Everything was filled already: nothing started.
        return (events, Captured::Completed);
    }
    let is_over = run.open == 0;
    if told < Captured::Started && (run.begun > 0 || (is_over && run.failed > 0)) {
        told = Captured::Started;
        events.push(event(STARTED, run, installation, now, json!({})));
    }
    if run.filled == run.days {
        told = Captured::Completed;
        let ended = run.filled_at.unwrap_or(now);
        let more = json!({ "rows": run.rows, "elapsed_ms": elapsed_ms(run, ended) });
        events.push(event(COMPLETED, run, installation, now, more));
    } else if told < Captured::Failed && is_over && run.failed > 0 {
        told = Captured::Failed;
        let more = json!({
            "rows": run.rows,
            "elapsed_ms": elapsed_ms(run, now),
            "days_failed": run.failed,
            "error_class": run.error_class,
        });
        events.push(event(FAILED, run, installation, now, more));
    }
    (events, told)
}

/// An event that only says that events arrive.
pub fn test(installation: &str, now: Timestamp) -> Batch {
    let event = json!({
        "event": TEST,
        "distinct_id": "prefill",
        "uuid": Uuid::new_v4(),
        "timestamp": now,
        "properties": { "installation": installation, "$process_person_profile": false },
    });
    Batch {
        events: vec![event],
    }
}

fn event(name: &str, run: &RunToCapture, installation: &str, now: Timestamp, more: Value) -> Value {
    let mut properties = json!({
        "installation": installation,
        "team_id": run.team_id,
        "task_id": run.id,
        "reason": run.reason,
        "date_start": run.date_start,
        "date_end": run.date_end,
        "days": run.days,
        "days_filled": run.filled,
        // A team is no person.
        "$process_person_profile": false,
    });
    if let (Value::Object(properties), Value::Object(more)) = (&mut properties, more) {
        properties.extend(more);
    }
    json!({
        "event": name,
        "distinct_id": format!("team_{}", run.team_id),
        "uuid": Uuid::new_v5(&run.id, name.as_bytes()),
        "timestamp": now,
        "properties": properties,
    })
}

fn elapsed_ms(run: &RunToCapture, ended: Timestamp) -> i64 {
    let elapsed = ended.duration_since(run.requested_at);
    i64::try_from(elapsed.max(SignedDuration::ZERO).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::TeamId;

    fn run(captured: Captured, begun: i64, filled: i64, failed: i64) -> RunToCapture {
        let days = 3;
        RunToCapture {
            id: Uuid::from_u128(7),
            team_id: TeamId(7),
            date_start: "2026-05-01".parse().expect("a date"),
            date_end: "2026-05-04".parse().expect("a date"),
            reason: "request".to_owned(),
            requested_at: at(0),
            captured,
            days,
            begun,
            filled,
            failed,
            open: days - filled - failed,
            filled_at: (filled > 0).then(|| at(60)),
            rows: 12,
            error_class: (failed > 0).then(|| "operator".to_owned()),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).expect("an instant")
    }

    fn names(run: &RunToCapture) -> (Vec<String>, Captured) {
        let (events, told) = news(run, "prefill", at(90));
        let name = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
        (events.iter().map(name).collect(), told)
    }

    #[test]
    fn each_is_told_once_and_one_that_is_retried_completes_after_it_failed() {
        let none: Vec<String> = Vec::new();
        let began = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        use Captured::{Completed, Failed, Nothing, Started};
        assert_eq!(names(&run(Nothing, 0, 0, 0)), (none.clone(), Nothing));
        assert_eq!(names(&run(Nothing, 1, 0, 0)), (began(&[STARTED]), Started));
        assert_eq!(names(&run(Started, 3, 2, 0)), (none.clone(), Started));
        assert_eq!(names(&run(Started, 3, 1, 1)), (none.clone(), Started));
        assert_eq!(names(&run(Started, 3, 2, 1)), (began(&[FAILED]), Failed));
        assert_eq!(names(&run(Failed, 3, 2, 1)), (none, Failed));
        assert_eq!(
            names(&run(Failed, 3, 3, 0)),
            (began(&[COMPLETED]), Completed)
        );
        // All of it between two looks.
        let both = began(&[STARTED, COMPLETED]);
        assert_eq!(names(&run(Nothing, 3, 3, 0)), (both, Completed));
    }

    #[test]
    fn an_event_has_the_numbers_and_an_id_that_follows_from_the_run() {
        let (events, _) = news(&run(Captured::Started, 3, 2, 1), "prod", at(90));
        let (later, _) = news(&run(Captured::Started, 3, 2, 1), "prod", at(500));
        assert_eq!(events[0]["uuid"], later[0]["uuid"]);
        assert_eq!(events[0]["distinct_id"], "team_7");
        let properties = &events[0]["properties"];
        assert_eq!(properties["rows"], 12);
        assert_eq!(properties["days"], 3);
        assert_eq!(properties["elapsed_ms"], 90_000);
        assert_eq!(properties["error_class"], "operator");
        let (completed, _) = news(&run(Captured::Started, 3, 3, 0), "prod", at(90));
        assert_eq!(
            completed[0]["properties"]["elapsed_ms"], 60_000,
            "until the last fill"
        );
        assert_ne!(completed[0]["uuid"], events[0]["uuid"]);
    }
}
