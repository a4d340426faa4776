//! The two rollups and the source that they are made from, as data and as SQL.
//!
//! What the tables mean is in `sql/collect_sessions.sql` (one row a session, made of
//! `sql/sessions.sql`) and in `sql/raw.sql`, which computes the same numbers from the raw events by
//! another way; a fill is checked by comparing them. On PostHog's tables the numbers are counted from
//! the events all the same; what else a session has comes from its states in `raw_sessions`. Nothing
//! here runs a statement.

mod source;

use std::fmt::Display;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::config::{self, SourceKind};
use crate::error::Result;
use crate::warehouse::name::{Name, with_names};

pub use source::{Column, ENDS, Layout, Reading, Source};

/// The name of the rollup of page views.
pub const STATS: &str = "web_pre_aggregated_stats";
/// The name of the rollup of sessions.
pub const BOUNCES: &str = "web_pre_aggregated_bounces";

/// The start of the names of all tables that live as long as a fill.
pub const SCRATCH_PREFIX: &str = "prefill_scratch_";

/// The columns of both rollups, each with its type.
const SHARED_COLUMNS: &[(&str, &str)] = &[
    ("period_bucket", "DateTime('UTC')"),
    ("team_id", "UInt64"),
    ("host", "String"),
    ("device_type", "String"),
    ("entry_pathname", "String"),
    ("end_pathname", "String"),
    ("browser", "String"),
    ("os", "String"),
    ("viewport_width", "Int64"),
    ("viewport_height", "Int64"),
    ("referring_domain", "String"),
    ("utm_source", "String"),
    ("utm_medium", "String"),
    ("utm_campaign", "String"),
    ("utm_term", "String"),
    ("utm_content", "String"),
    ("country_code", "String"),
    ("city_name", "String"),
    ("region_code", "String"),
    ("region_name", "String"),
    ("has_gclid", "Bool"),
    ("has_gad_source_paid_search", "Bool"),
    ("has_fbclid", "Bool"),
    ("persons_uniq_state", "AggregateFunction(uniq, UUID)"),
    ("sessions_uniq_state", "AggregateFunction(uniq, String)"),
    ("pageviews_count_state", "AggregateFunction(sum, UInt64)"),
];

const STATS_COLUMNS: &[(&str, &str)] = &[("pathname", "String")];

const BOUNCES_COLUMNS: &[(&str, &str)] = &[
    ("bounces_count_state", "AggregateFunction(sum, UInt64)"),
    (
        "total_session_duration_state",
        "AggregateFunction(sum, Int64)",
    ),
    (
        "total_session_count_state",
        "AggregateFunction(sum, UInt64)",
    ),
];

/// How a statement's work is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whether it is of several days that follow each other, no session of which lasts as long as a day: of
    /// such a session each day by itself tells something else than all of them together.
    pub has_days: bool,
    /// How many pieces are made of the sessions, one after the other, where memory is not enough for all.
    pub pieces: i64,
}

impl Cut {
    /// A day, whole.
    pub const DAY: Self = Self {
        has_days: false,
        pieces: 1,
    };
}

/// A column that has to be there, and its type where that matters.
pub type Required = (String, Option<&'static str>);

/// The tables of one warehouse under their names there.
#[derive(Clone, Debug)]
pub struct Tables {
    pub source: Source,
    pub events: Name,
    pub stats: Name,
    pub bounces: Name,
    /// Another number where the rollups are made otherwise, so that what was filled before has to be filled again: a
    /// hash of `VERSION`, the kind of the source, and what its columns are called. Not of where the tables lie.
    pub definition: i64,
    database: String,
}

/// Counts up with a change of the statements that makes other rows of the same events: then all that is filled is
/// filled again.
const VERSION: u32 = 1;

fn definition(source: &config::Source) -> i64 {
    let mut columns = source.columns.clone();
    columns.retain(|name, there| name != there);
    let made_of = serde_json::json!([VERSION, source.kind, columns]).to_string();
    let [a, b, c, d, e, f, g, h, ..] = Sha256::digest(made_of.as_bytes()).0;
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Tables {
    /// The tables as they are configured, of whose columns nothing is known yet.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when the configuration maps a column that the contract does
    /// not have, or a name is none.
    pub fn new(config: &config::Warehouse) -> Result<Self> {
        let database = &config.database;
        Ok(Self {
            source: Source::new(config)?,
            events: Name::table(database, &config.source.table)?,
            stats: Name::table(database, STATS)?,
            bounces: Name::table(database, BOUNCES)?,
            definition: definition(&config.source),
            database: database.clone(),
        })
    }

    /// Decides how the events are read, their table having these columns and lying so; whether that is another
    /// way than before. It is so for all clones.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when a column that is needed has a name that none should have.
    pub fn look_at(&self, columns: &[Column], layout: &Layout) -> Result<bool> {
        self.source.look_at(columns, layout)
    }

    /// How the events are read.
    pub fn reading(&self) -> Arc<Reading> {
        self.source.reading()
    }

    /// A table of prefill's own beside the rollups.
    pub fn own(&self, name: &str) -> Result<Name> {
        Name::table(&self.database, name)
    }

    /// A statement of ours with the names of this warehouse in it; `more` are names of tables that
    /// live as long as a fill.
    pub fn render(&self, statement: &str, more: &[(&str, &Name)]) -> String {
        self.render_cut(statement, Cut::DAY, more)
    }

    /// As [`Tables::render`], of more than a day, or less.
    pub fn render_cut(&self, statement: &str, cut: Cut, more: &[(&str, &Name)]) -> String {
        let reading = self.reading();
        let mut text = self.with_source(statement, cut, &reading);
        for (column, expression) in &reading.expressions {
            text = with_names(&text, &[(column, expression)]);
        }
        for (column, name) in &reading.columns {
            text = with_names(&text, &[(&format!("plain_{column}"), name)]);
        }
        let mut names: Vec<(&str, &(dyn Display + Sync))> = more
            .iter()
            .map(|(place, name)| (*place, *name as &(dyn Display + Sync)))
            .collect();
        names.extend([
            ("events", &self.events as &(dyn Display + Sync)),
            ("raw_sessions", &self.source.raw_sessions),
            ("overrides", &self.source.overrides),
            ("stats", &self.stats),
            ("bounces", &self.bounces),
        ]);
        with_names(&text, &names)
    }

    /// A statement that writes a rollup from the sessions table. Grouped, it makes one row of what has
    /// the same key; otherwise each session and page view is a row, and readers merge more of them.
    pub fn render_write(
        &self,
        statement: &str,
        grouped: bool,
        cut: Cut,
        more: &[(&str, &Name)],
    ) -> String {
        let of_page_views = statement.contains("array join");
        let (page_views, key) = if of_page_views {
            ("1", parts::KEY_OF_PAGE_VIEWS)
        } else {
            ("length(page_views)", parts::KEY_OF_SESSIONS)
        };
        let mut text = statement.to_owned();
        for (place, function, value) in [
            ("persons_state", "uniq", "person_id"),
            ("sessions_state", "uniq", "session_id"),
            (
                "page_views_state",
                "sum",
                &format!("toUInt64({page_views})"),
            ),
            ("bounces_state", "sum", "toUInt64(bounced)"),
            ("duration_state", "sum", "toInt64(duration_seconds)"),
            ("session_count_state", "sum", "toUInt64(1)"),
        ] {
            let state = if grouped {
                format!("{function}State({value})")
            } else {
                format!("initializeAggregation('{function}State', {value})")
            };
            text = with_names(&text, &[(place, &state)]);
        }
        let (one_of, grouping) = if grouped {
            ("any", parts::GROUPING)
        } else {
            ("", "")
        };
        let text = with_names(&text, &[("one_of", &one_of), ("grouping", &grouping)]);
        let text = with_names(&in_pieces(&text, cut.pieces), &[("key", &key)]);
        self.render_cut(&text, cut, more)
    }

    /// The statement that collects the sessions of which [`sql::COLLECT_SESSIONS`] could not know all, by
    /// reading all properties of their events; nothing where that always knows all.
    pub fn render_collect_inexact(&self, sessions: &Name, cut: Cut) -> Option<String> {
        if self.source.kind == SourceKind::Events {
            return None;
        }
        let text = with_names(
            sql::COLLECT_SESSIONS,
            &[("collected", &"{inexact_sessions}"), ("is_whole", &"true")],
        );
        Some(self.render_cut(&text, cut, &[("sessions", sessions)]))
    }

    /// A statement with the parts that it is made of, by the kind of the source.
    fn with_source(&self, statement: &str, cut: Cut, reading: &Reading) -> String {
        let statement = self.with_parts(statement);
        // Pieces are made where memory is little: an id that is used forever has nothing to do in it.
        let looks_back = cut.has_days || cut.pieces == 1 && !reading.parses(&statement);
        let not_begun_before = |session: &str| {
            if looks_back {
                "true".to_owned()
            } else {
                with_names(parts::NOT_BEGUN_BEFORE, &[("session", &session)])
            }
        };
        let (from, until) = ("{from_us:Int64}", "{until_us:Int64}");
        let day_before = format!("{from} - 86400000000");
        let next_day = format!("{until} + 86400000000");
        let (first, is_of_the_days) = if looks_back {
            (day_before.as_str(), is_within(from, until, false))
        } else {
            (from, parts::IS_NOT_AFTER_THE_DAYS.to_owned())
        };
        let is_within = |begin_us, end_us| is_within(begin_us, end_us, reading.has_days_in_key);
        let late_dates = if reading.has_days_in_key {
            parts::LATE_DATES
        } else {
            ""
        };
        let (began, ended) = if reading.sessions_have_ends {
            ("min(min_timestamp)", "max(max_timestamp)")
        } else {
            (NEVER, NEVER)
        };
        let or_lasts_long = if cut.has_days {
            parts::OR_LASTS_LONG
        } else {
            ""
        };
        with_names(
            &in_pieces(&statement, cut.pieces),
            &[
                ("is_of_the_days", &is_of_the_days),
                ("or_lasts_long", &or_lasts_long),
                // Asked of sessions, which are fewer: with an aggregate in it ClickHouse does not move it before
                // the grouping, where it would be asked of each event.
                (
                    "not_begun_before",
                    &not_begun_before("if(count() > 0, session_id, '')"),
                ),
                // Asked of each event.
                ("not_of_one_begun_before", &not_begun_before("session_id")),
                ("ids_of_the_day", &parts::IDS_OF_THE_DAY),
                ("is_around_the_days", &is_within(first, &next_day)),
                ("is_within_the_days", &is_within(from, until)),
                ("is_of_the_days_or_the_next", &is_within(from, &next_day)),
                ("is_on_the_day_before", &is_within(&day_before, from)),
                ("late_dates", &late_dates),
                ("began", &began),
                ("ended", &ended),
                ("uuid_of_session", &parts::UUID_OF_SESSION),
                ("joined", &parts::JOINED),
                ("parted", &parts::PARTED),
            ],
        )
    }

    fn with_parts(&self, statement: &str) -> String {
        // With no more columns than are asked for: to say what nobody asks for takes time, too.
        let source = |columns: &[&str], person: &str, sender: &str, persons: &str| {
            let columns: String = columns.iter().map(|more| format!(",\n{more}")).collect();
            with_names(
                parts::SOURCE,
                &[
                    ("columns", &columns),
                    ("person", &person),
                    ("sender", &sender),
                    ("persons", &persons),
                ],
            )
        };
        let of_page_views = &[parts::COLUMNS_OF_PAGE_VIEWS];
        let all = &[parts::COLUMNS_OF_PAGE_VIEWS, parts::COLUMNS_OF_SESSIONS];
        if self.source.kind == SourceKind::Events {
            let alone = source(&[], "{person_id}", "''", "");
            return with_names(
                statement,
                &[
                    ("collected", &parts::SESSIONS),
                    ("person_of_session", &"person"),
                    ("persons_of_sessions", &""),
                    ("is_whole", &"true"),
                    ("sender_of_session", &"''"),
                    ("has_clear_ends", &"true"),
                    ("attributes", &parts::ATTRIBUTES),
                    ("source", &source(all, "{person_id}", "''", "")),
                    ("source_alone", &alone),
                    ("raw_source", &alone),
                ],
            );
        }
        let person = |own: &str| format!("if(o.overridden = 1, o.person_id, {own})");
        let sessions_of = |source: &str, attributes: &str, has_clear_ends: &str| {
            with_names(
                parts::SESSIONS,
                &[
                    ("source", &source),
                    ("attributes", &attributes),
                    ("sender_of_session", &parts::SENDER_OF_SESSION),
                    ("has_clear_ends", &has_clear_ends),
                ],
            )
        };
        with_names(
            statement,
            &[
                ("collected", &parts::ATTRIBUTED_SESSIONS),
                (
                    "counted_sessions",
                    // The attributes are known of raw_sessions.
                    &sessions_of("{counted_source}", "['']", parts::HAS_CLEAR_ENDS),
                ),
                (
                    "inexact_sessions",
                    &sessions_of(parts::SOURCE_OF_INEXACT, parts::ATTRIBUTES, "true"),
                ),
                ("person_of_session", &person("s.person")),
                ("persons_of_sessions", &parts::PERSONS),
                ("is_whole", &"s.is_whole"),
                ("raw_sessions_of_the_day", &parts::RAW_SESSIONS_OF_THE_DAY),
                ("v7_of_session", &parts::V7_OF_SESSION),
                (
                    "counted_source",
                    &source(of_page_views, "{person_id}", "{distinct_id}", ""),
                ),
                (
                    "whole_source",
                    &source(all, "{person_id}", "{distinct_id}", ""),
                ),
                ("source_alone", &source(&[], "{person_id}", "''", "")),
                (
                    "raw_source",
                    &source(&[], &person("{person_id}"), "''", parts::RAW_PERSONS),
                ),
            ],
        )
    }

    /// Every table that a fill touches, with the columns (and, where they matter, their types) that
    /// it has to have.
    pub fn required(&self) -> Vec<(&Name, Vec<Required>)> {
        let target = |own: &'static [(&str, &str)]| {
            SHARED_COLUMNS
                .iter()
                .chain(own)
                .map(|(name, kind)| ((*name).to_owned(), Some(*kind)))
                .collect()
        };
        let mut required = self.source.required(&self.events);
        required.push((&self.stats, target(STATS_COLUMNS)));
        required.push((&self.bounces, target(BOUNCES_COLUMNS)));
        required
    }
}

/// The instant that stands for none.
const NEVER: &str = "toDateTime64(0, 6, 'UTC')";

/// Whether an event happened within `[begin_us, end_us)`, both in microseconds since 1970.
fn is_within(begin_us: &str, end_us: &str, by_date: bool) -> String {
    let dates = if by_date { parts::DATES_WITHIN } else { "" };
    with_names(
        &format!("{}{dates}", parts::IS_WITHIN),
        &[("begin_us", &begin_us), ("end_us", &end_us)],
    )
}

/// A statement with what tells its pieces apart; of one piece that is everything.
fn in_pieces(statement: &str, pieces: i64) -> String {
    let is_in = |part: &'static str| if pieces == 1 { "true" } else { part };
    with_names(
        statement,
        &[
            ("is_in_piece", &is_in(parts::IS_IN_PIECE)),
            ("is_in_piece_of_known", &is_in(parts::IS_IN_PIECE_OF_KNOWN)),
            ("is_in_piece_of_rows", &is_in(parts::IS_IN_PIECE_OF_ROWS)),
        ],
    )
}

/// What statements are made of: the places `{source}`, `{collected}` and so on.
mod parts {
    pub const SOURCE: &str = include_str!("rollup/sql/source.sql");
    pub const COLUMNS_OF_PAGE_VIEWS: &str = include_str!("rollup/sql/columns_of_page_views.sql");
    pub const COLUMNS_OF_SESSIONS: &str = include_str!("rollup/sql/columns_of_sessions.sql");
    pub const IS_IN_PIECE: &str = include_str!("rollup/sql/is_in_piece.sql");
    pub const IS_IN_PIECE_OF_KNOWN: &str = include_str!("rollup/sql/is_in_piece_of_known.sql");
    pub const IS_IN_PIECE_OF_ROWS: &str = include_str!("rollup/sql/is_in_piece_of_rows.sql");
    pub const NOT_BEGUN_BEFORE: &str = include_str!("rollup/sql/not_begun_before.sql");
    pub const IDS_OF_THE_DAY: &str = include_str!("rollup/sql/ids_of_the_day.sql");
    pub const GROUPING: &str = include_str!("rollup/sql/grouping.sql");
    /// By everything that is no state.
    pub const KEY_OF_PAGE_VIEWS: &str = "s.bucket, s.team_id, s.entry, s.end_pathname, view_of_it";
    pub const KEY_OF_SESSIONS: &str =
        "s.bucket, s.team_id, s.entry, s.end_pathname, s.first_view, s.first_event";
    pub const IS_WITHIN: &str = include_str!("rollup/sql/is_within.sql");
    pub const DATES_WITHIN: &str = include_str!("rollup/sql/dates_within.sql");
    pub const LATE_DATES: &str = include_str!("rollup/sql/late_dates.sql");
    pub const IS_NOT_AFTER_THE_DAYS: &str =
        "{timestamp} < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')";
    pub const OR_LASTS_LONG: &str = include_str!("rollup/sql/or_lasts_long.sql");
    pub const SESSIONS: &str = include_str!("rollup/sql/sessions.sql");
    pub const JOINED: &str = include_str!("rollup/sql/joined.sql");
    pub const PARTED: &str = include_str!("rollup/sql/parted.sql");
    pub const PERSONS: &str = include_str!("rollup/sql/persons.sql");
    pub const RAW_PERSONS: &str = include_str!("rollup/sql/raw_persons.sql");
    pub const ATTRIBUTED_SESSIONS: &str = include_str!("rollup/sql/attributed_sessions.sql");
    pub const RAW_SESSIONS_OF_THE_DAY: &str =
        include_str!("rollup/sql/raw_sessions_of_the_day.sql");
    pub const ATTRIBUTES: &str = include_str!("rollup/sql/attributes.sql");
    pub const SENDER_OF_SESSION: &str = include_str!("rollup/sql/sender_of_session.sql");
    pub const HAS_CLEAR_ENDS: &str = include_str!("rollup/sql/has_clear_ends.sql");
    pub const SOURCE_OF_INEXACT: &str = include_str!("rollup/sql/source_of_inexact.sql");
    pub const V7_OF_SESSION: &str = include_str!("rollup/sql/v7_of_session.sql");
    pub const UUID_OF_SESSION: &str = include_str!("rollup/sql/uuid_of_session.sql");
}

/// The statements, by what they do.
pub mod sql {
    pub const CREATE_STATS: &str = include_str!("rollup/sql/create_stats.sql");
    pub const CREATE_BOUNCES: &str = include_str!("rollup/sql/create_bounces.sql");
    pub const CREATE_SESSIONS: &str = include_str!("rollup/sql/create_sessions.sql");
    pub const COLLECT_SESSIONS: &str = include_str!("rollup/sql/collect_sessions.sql");
    pub const COUNT_SESSIONS: &str = include_str!("rollup/sql/count_sessions.sql");
    pub const COPY_OVERRIDES: &str = include_str!("rollup/sql/copy_overrides.sql");
    pub const WRITE_STATS: &str = include_str!("rollup/sql/write_stats.sql");
    pub const WRITE_BOUNCES: &str = include_str!("rollup/sql/write_bounces.sql");
    pub const SAMPLE_KEYS: &str = include_str!("rollup/sql/sample_keys.sql");
    pub const WEIGH: &str = include_str!("rollup/sql/weigh.sql");
    pub const RAW: &str = include_str!("rollup/sql/raw.sql");
    pub const FROM_STATS: &str = include_str!("rollup/sql/from_stats.sql");
    pub const FROM_BOUNCES: &str = include_str!("rollup/sql/from_bounces.sql");
    pub const COMPLETE: &str = include_str!("rollup/sql/complete.sql");
    pub const EXISTING: &str = include_str!("rollup/sql/existing.sql");
    pub const DELETE_ROWS: &str = include_str!("rollup/sql/delete_rows.sql");
    pub const DELETE_WITHIN: &str = include_str!("rollup/sql/delete_within.sql");
    pub const PARTITIONS: &str = include_str!("rollup/sql/partitions.sql");
    pub const DELETE_ELSEWHERE: &str = include_str!("rollup/sql/delete_elsewhere.sql");
    pub const PARTITIONS_ELSEWHERE: &str = include_str!("rollup/sql/partitions_elsewhere.sql");
    pub const MUTATIONS: &str = include_str!("rollup/sql/mutations.sql");
    pub const KILL_MUTATIONS: &str = include_str!("rollup/sql/kill_mutations.sql");
    pub const VERSION: &str = include_str!("rollup/sql/version.sql");
    pub const COUNT_EVENTS: &str = include_str!("rollup/sql/count_events.sql");
    pub const COUNT_ROWS: &str = include_str!("rollup/sql/count_rows.sql");
    pub const COUNT_NEW_EVENTS: &str = include_str!("rollup/sql/count_new_events.sql");
    pub const ADD_NEW_EVENTS: &str = include_str!("rollup/sql/add_new_events.sql");
    pub const ID_OF_LINE: &str = include_str!("rollup/sql/id_of_line.sql");
    pub const TOTALS: &str = include_str!("rollup/sql/totals.sql");
    pub const NUMBERS_BY_DAY: &str = include_str!("rollup/sql/numbers_by_day.sql");
    pub const SUMS: &str = include_str!("rollup/sql/sums.sql");
    pub const ROWS_WITHIN: &str = include_str!("rollup/sql/rows_within.sql");
    pub const DAYS_WITH_SESSIONS: &str = include_str!("rollup/sql/days_with_sessions.sql");
    pub const IS_NEW: &str = include_str!("rollup/sql/is_new.sql");
    pub const IS_NEW_UNTIL: &str = include_str!("rollup/sql/is_new_until.sql");
    pub const LATE_DAYS: &str = include_str!("rollup/sql/late_days.sql");
    pub const LATE_PERSONS: &str = include_str!("rollup/sql/late_persons.sql");
    /// PostHog's tables, for development.
    pub mod posthog {
        pub const CREATE_EVENTS: &str = include_str!("rollup/sql/posthog/create_events.sql");
        pub const CREATE_RAW_SESSIONS: &str =
            include_str!("rollup/sql/posthog/create_raw_sessions.sql");
        pub const CREATE_RAW_SESSIONS_VIEW: &str =
            include_str!("rollup/sql/posthog/create_raw_sessions_view.sql");
        pub const CREATE_OVERRIDES: &str = include_str!("rollup/sql/posthog/create_overrides.sql");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posthog(columns: &[&str]) -> Tables {
        let mut config = config::Warehouse::default();
        config.source.kind = SourceKind::PostHog;
        let tables = Tables::new(&config).expect("tables");
        let there: Vec<Column> = columns
            .iter()
            .map(|name| Column {
                name: (*name).to_owned(),
                ..Column::default()
            })
            .collect();
        tables.look_at(&there, &Layout::default()).expect("looked");
        tables
    }

    /// Whether a statement reads the day before with the others, and does not ask who began on it.
    fn looks_back(tables: &Tables, statement: &str, cut: Cut) -> bool {
        let sessions = Name::new("sessions").expect("a name");
        let text = tables.render_cut(statement, cut, &[("sessions", &sessions)]);
        let asks = text.contains("if(count() > 0, session_id, '')) not in");
        let reads = text.contains(
            "{from_us:Int64} - 86400000000, 'UTC')\n    and e.`timestamp` < fromUnixTimestamp64Micro({until_us",
        );
        assert_ne!(asks, reads, "{text}");
        reads
    }

    #[test]
    fn the_day_before_is_read_with_the_day_but_not_its_json_and_not_where_memory_is_little() {
        let pieces = Cut {
            pieces: 4,
            ..Cut::DAY
        };
        let own = Tables::new(&config::Warehouse::default()).expect("tables");
        assert!(looks_back(&own, sql::COLLECT_SESSIONS, Cut::DAY));
        assert!(looks_back(&own, sql::RAW, Cut::DAY));
        assert!(!looks_back(&own, sql::COLLECT_SESSIONS, pieces));

        let json = posthog(&["$session_id", "mat_$host"]);
        assert!(!looks_back(&json, sql::COLLECT_SESSIONS, Cut::DAY));
        assert!(looks_back(&json, sql::RAW, Cut::DAY), "the id is a column");
        let columns = posthog(&[
            "$session_id",
            "mat_$host",
            "mat_$pathname",
            "mat_$device_type",
            "mat_$browser",
            "mat_$os",
            "mat_$viewport_width",
            "mat_$viewport_height",
            "mat_$geoip_country_code",
            "mat_$geoip_city_name",
            "mat_$geoip_subdivision_1_code",
        ]);
        assert!(looks_back(&columns, sql::COLLECT_SESSIONS, Cut::DAY));
    }
}
