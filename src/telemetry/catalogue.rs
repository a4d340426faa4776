//! Every metric of prefill's, and no other: its name, its labels and what it says. `docs/metrics.md` has
//! the same table, and `tests/telemetry.rs` holds that documents, rules and dashboard name nothing else.
//!
//! Names are those of <https://prometheus.io/docs/practices/naming/>. Labels are of a bounded number of
//! values: the warehouses and receivers that are configured, states, outcomes, classes and codes of errors,
//! routes; never teams, and nothing that somebody else makes up. What the ledger knows is the same from every process on it; what a process counts is its own.

use super::{Counter, Entry, Gauge, Histogram, Kind, Metric, Unit};

macro_rules! catalogue {
    ($($type:ident $unit:ident $static:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $static: $type<{ <[&str]>::len(&[$($label),*]) }> = $type(Metric {
                name: $name,
                labels: [$($label),*],
            });
        )*

        /// All of them.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            name: $name,
            kind: Kind::$type,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

catalogue! {
    // The process.
    Gauge Number BUILD_INFO = "prefill_build_info" ["version"]
        "1, with the version of prefill.";

    // What the ledger says: the same from every process on it.
    Gauge Number LEDGER_UP = "prefill_ledger_up" []
        "Whether the ledger answered; where it is 0 everything that the ledger says is missing.";
    Gauge Number TEAMS_ENABLED = "prefill_teams_enabled" []
        "Teams that have the setting on.";
    Gauge Number TEAMS_MISCONFIGURED = "prefill_teams_misconfigured" []
        "Teams that have the setting on and of which nobody can tell what they want: an unknown time zone or warehouse, too many days.";
    Gauge Number SLICES = "prefill_slices" ["warehouse", "state"]
        "Slices by the warehouse of their team and by state; each is counted once.";
    Gauge Ratio COVERAGE = "prefill_coverage_ratio" ["warehouse"]
        "Slices that the tables hold, fresh or not, over slices that teams with the setting on want; 1 where nothing is wanted.";
    Gauge Seconds QUEUE_AGE = "prefill_queue_age_seconds" ["warehouse"]
        "For how long the oldest slice that could be claimed has waited for a worker; 0 where there is none.";
    Gauge Seconds OLDEST_GAP = "prefill_oldest_gap_seconds" ["warehouse"]
        "How long ago the oldest day ended that is wanted and that the tables do not hold; 0 where there is none but today.";
    Gauge Seconds FRESHNESS_LAG = "prefill_freshness_lag_seconds" ["warehouse"]
        "How long ago the events were looked at up to which late ones are known; missing before the first look.";
    Gauge Number RUNS = "prefill_runs" ["status"]
        "Runs that are not completed and not cancelled, by status.";
    Gauge Number PAUSES = "prefill_pauses" ["extent"]
        "Pauses that somebody has to end, of everything and of teams; of runs see prefill_runs.";

    // The warehouses.
    Gauge Number WAREHOUSE_UP = "prefill_warehouse_up" ["warehouse"]
        "Whether this process could open the warehouse, and it answered within two seconds.";
    Gauge Ratio GOVERNOR_BUDGET = "prefill_governor_budget_ratio" ["warehouse"]
        "The share of the time that statements of fills may be under way while others use the warehouse.";
    Gauge Ratio GOVERNOR_USED = "prefill_governor_used_ratio" ["warehouse"]
        "The share of the last minute in which statements of fills were under way; missing where the budget is 1.";
    Gauge Number GOVERNOR_BUSY = "prefill_governor_busy" ["warehouse"]
        "Whether others were seen to use the warehouse within the last seconds; missing where nobody looked.";
    Gauge Number GOVERNOR_WAITING = "prefill_governor_waiting" ["warehouse"]
        "Statements of this process that wait for their turn.";
    Gauge Number MEMORY_WAITING = "prefill_memory_waiting" ["warehouse"]
        "Statements of this process that wait for memory, by max_memory_usage_total.";
    Counter Seconds GOVERNOR_WAITED = "prefill_governor_waited_seconds_total" ["warehouse"]
        "How long fills of all processes have waited for others since the ledger was made.";
    Counter Seconds MEMORY_WAITED = "prefill_memory_waited_seconds_total" ["warehouse"]
        "How long fills of all processes have waited for memory, by max_memory_usage_total, since the ledger was made.";

    // Work of this process.
    Counter Number CLAIMS = "prefill_claims_total" ["warehouse"]
        "Claims that this process made.";
    Counter Number CLAIMS_LOST = "prefill_claims_lost_total" ["warehouse"]
        "Claims that this process lost before their work was done: not renewed in time, or stopped by people.";
    Counter Number CLAIMS_EXPIRED = "prefill_claims_expired_total" ["warehouse"]
        "Claims of workers that stopped without a word, whose slices this process gave to others.";
    Counter Number FILLS = "prefill_fills_total" ["warehouse", "outcome"]
        "Slices that this process worked on, by outcome.";
    Histogram Seconds FILL_SECONDS = "prefill_fill_seconds" ["warehouse"]
        "How long the fill of a portion of slices took from its first statement to its verdicts, with its waits for others.";
    Counter Number FILL_ROWS = "prefill_fill_rows_total" ["warehouse", "rollup"]
        "Rows of slices that were filled.";
    Counter Number FILL_EVENTS = "prefill_fill_events_total" ["warehouse"]
        "Raw events of slices that were filled.";
    Counter Bytes FILL_READ = "prefill_fill_read_bytes_total" ["warehouse"]
        "Bytes that the statements of fills read, as the warehouse counts them.";
    Counter Number RETRIES = "prefill_retries_total" ["warehouse", "class", "code"]
        "Tries of slices that are made again, by class and ClickHouse's code of the error.";
    Counter Number FAILURES = "prefill_failures_total" ["warehouse", "class", "code"]
        "Slices that failed for good, by class and ClickHouse's code of the error.";
    Histogram Seconds LEDGER_SECONDS = "prefill_ledger_seconds" ["call"]
        "How long calls to the ledger took, by kind.";
    Histogram Seconds TRIGGER_LATENCY = "prefill_trigger_latency_seconds" []
        "From the change of a team's setting to the plan for its days.";

    // What people are told.
    Gauge Number ALERTS_WAITING = "prefill_alert_messages_waiting" ["receiver"]
        "Messages that wait in the ledger to be sent, also for receivers that no process has any more.";
    Gauge Seconds ALERTS_OLDEST = "prefill_alert_oldest_message_seconds" ["receiver"]
        "For how long the oldest message has waited to be sent; 0 where there is none.";
    Counter Number ALERT_MESSAGES = "prefill_alert_messages_total" ["receiver", "outcome"]
        "What became of messages in this process: sent, failed (to be tried again: each try counts), or dropped.";

    // Requests over HTTP to this process.
    Counter Number HTTP_REQUESTS = "prefill_http_requests_total" ["route", "method", "status"]
        "Requests that were answered, by the pattern of their path, by method and by class of status.";
    Histogram Seconds HTTP_SECONDS = "prefill_http_request_seconds" ["route", "method"]
        "How long it took until the answer to a request began.";
    Gauge Number HTTP_IN_FLIGHT = "prefill_http_requests_in_flight" []
        "Requests whose answer has not begun; the scrape is one of them.";
    Gauge Number HTTP_STREAMS = "prefill_http_streams" []
        "Streams of events that are open.";
}

/// The upper bounds of the buckets of each histogram, in seconds.
pub const BUCKETS: &[(&str, &[f64])] = &[
    (
        "prefill_fill_seconds",
        &[
            0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
        ],
    ),
    (
        "prefill_ledger_seconds",
        &[
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ],
    ),
    (
        "prefill_http_request_seconds",
        &[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        ],
    ),
    (
        "prefill_trigger_latency_seconds",
        &[
            0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ],
    ),
];

/// What [`SLICES`] counts: open ones (that `waiting` for events, those that somebody `paused` or
/// `cancelled`, are not counted as `wanted` or `stale`), and the others; what is not filled of teams that have
/// the setting off is `held`, also where it failed.
pub const STATES: [&str; 10] = [
    "wanted",
    "stale",
    "waiting",
    "paused",
    "cancelled",
    "held",
    "running",
    "filled",
    "failed",
    "cleaned",
];

/// What becomes of a slice that was worked on: `waiting` for events, tried again (`retry`), or given back
/// because the claim was `lost` or the process was told to stop.
pub const OUTCOMES: [&str; 5] = ["filled", "waiting", "retry", "failed", "lost"];

/// What [`RUNS`] counts.
pub const RUN_STATUSES: [&str; 5] = ["running", "queued", "paused", "failed", "waiting"];

/// The kinds of calls of [`LEDGER_SECONDS`]: a `reconcile` is a look at up to 1,000 teams, and of the reads
/// in it each counts as `read` as well.
pub const CALLS: [&str; 6] = ["claim", "record", "renew", "give_back", "read", "reconcile"];

/// What becomes of a message: it is `sent`; a try `failed` and is made again; or it is `dropped`, because the
/// receiver refuses it, more wait than may, or it waited too long.
pub const MESSAGE_OUTCOMES: [&str; 3] = ["sent", "failed", "dropped"];

/// The counters of a receiver begin at 0, too.
pub fn begin_receiver(receiver: &str) {
    for outcome in MESSAGE_OUTCOMES {
        ALERT_MESSAGES.add([receiver, outcome], 0);
    }
}

/// The counters of a warehouse begin at 0 before anything happens, so that the first time counts as a
/// growth.
pub fn begin(warehouse: &str) {
    for counter in [
        &CLAIMS,
        &CLAIMS_LOST,
        &CLAIMS_EXPIRED,
        &FILL_EVENTS,
        &FILL_READ,
    ] {
        counter.add([warehouse], 0);
    }
    for rollup in ["stats", "bounces"] {
        FILL_ROWS.add([warehouse, rollup], 0);
    }
    for outcome in OUTCOMES {
        FILLS.add([warehouse, outcome], 0);
    }
}
