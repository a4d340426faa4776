//! The two rollups and the source that they are made from, as data and as SQL.
//!
//! What the tables mean is in `sql/collect_sessions.sql` (one row a session) and in `sql/raw.sql`,
//! which computes the same numbers from the raw events by another way; a fill is checked by
//! comparing them. Nothing here runs a statement.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::config;
use crate::error::{Error, Result};
use crate::warehouse::name::{Name, with_names};

/// The name of the rollup of page views.
pub const STATS: &str = "web_pre_aggregated_stats";
/// The name of the rollup of sessions.
pub const BOUNCES: &str = "web_pre_aggregated_bounces";

/// The start of the names of all tables that live as long as a fill.
pub const SCRATCH_PREFIX: &str = "prefill_scratch_";

/// The columns of the `events` contract that prefill reads.
const SOURCE_COLUMNS: &[&str] = &[
    "uuid",
    "event",
    "team_id",
    "person_id",
    "session_id",
    "timestamp",
    "inserted_at",
    "host",
    "pathname",
    "device_type",
    "browser",
    "os",
    "viewport_width",
    "viewport_height",
    "referring_domain",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "gclid",
    "gad_source",
    "fbclid",
    "country_code",
    "city_name",
    "region_code",
    "region_name",
];

/// The columns of the contract that only importers write.
const WRITTEN_COLUMNS: &[&str] = &["distinct_id", "current_url"];

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

/// A column that has to be there, and its type where that matters.
pub type Required = (String, Option<&'static str>);

/// The tables of one warehouse under their names there.
#[derive(Clone, Debug)]
pub struct Tables {
    pub events: Name,
    pub stats: Name,
    pub bounces: Name,
    database: String,
    columns: BTreeMap<&'static str, Name>,
}

impl Tables {
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when the configuration maps a column that the contract does
    /// not have, or a name is none.
    pub fn new(config: &config::Warehouse) -> Result<Self> {
        let database = &config.database;
        let mapped = &config.source.columns;
        let contract = || SOURCE_COLUMNS.iter().chain(WRITTEN_COLUMNS);
        if let Some(unknown) = mapped
            .keys()
            .find(|name| !contract().any(|column| column == name))
        {
            return Err(Error::misuse(format!(
                "[source.columns] names {unknown:?}, which is no column of the events contract"
            ))
            .hint(format!(
                "its columns are {}",
                contract().copied().collect::<Vec<_>>().join(", ")
            )));
        }
        let columns = contract()
            .map(|column| {
                let theirs = mapped.get(*column).map_or(*column, String::as_str);
                Ok((*column, Name::new(theirs)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            events: Name::table(database, &config.source.table)?,
            stats: Name::table(database, STATS)?,
            bounces: Name::table(database, BOUNCES)?,
            database: database.clone(),
            columns,
        })
    }

    /// A table of prefill's own beside the rollups.
    pub fn own(&self, name: &str) -> Result<Name> {
        Name::table(&self.database, name)
    }

    /// A statement of ours with the names of this warehouse in it; `more` are names of tables that
    /// live as long as a fill.
    pub fn render(&self, statement: &str, more: &[(&str, &Name)]) -> String {
        let mut text = statement.replace("{source}", include_str!("rollup/sql/source.sql"));
        for (column, name) in &self.columns {
            // Qualified, so that an alias of the same name does not hide the column.
            text = with_names(
                &text,
                &[
                    (column, &format!("e.{name}")),
                    (&format!("plain_{column}"), name),
                ],
            );
        }
        let mut names: Vec<(&str, &(dyn Display + Sync))> = more
            .iter()
            .map(|(place, name)| (*place, *name as &(dyn Display + Sync)))
            .collect();
        names.extend([
            ("events", &self.events as &(dyn Display + Sync)),
            ("stats", &self.stats),
            ("bounces", &self.bounces),
        ]);
        with_names(&text, &names)
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
        let source = SOURCE_COLUMNS
            .iter()
            .filter_map(|column| self.columns.get(column))
            .map(|name| (name.parts().1.to_owned(), None))
            .collect();
        vec![
            (&self.events, source),
            (&self.stats, target(STATS_COLUMNS)),
            (&self.bounces, target(BOUNCES_COLUMNS)),
        ]
    }
}

/// The statements, by what they do.
pub mod sql {
    pub const CREATE_STATS: &str = include_str!("rollup/sql/create_stats.sql");
    pub const CREATE_BOUNCES: &str = include_str!("rollup/sql/create_bounces.sql");
    pub const CREATE_SESSIONS: &str = include_str!("rollup/sql/create_sessions.sql");
    pub const COLLECT_SESSIONS: &str = include_str!("rollup/sql/collect_sessions.sql");
    pub const WRITE_STATS: &str = include_str!("rollup/sql/write_stats.sql");
    pub const WRITE_BOUNCES: &str = include_str!("rollup/sql/write_bounces.sql");
    pub const RAW: &str = include_str!("rollup/sql/raw.sql");
    pub const FROM_STATS: &str = include_str!("rollup/sql/from_stats.sql");
    pub const FROM_BOUNCES: &str = include_str!("rollup/sql/from_bounces.sql");
    pub const COMPLETE: &str = include_str!("rollup/sql/complete.sql");
    pub const EXISTING: &str = include_str!("rollup/sql/existing.sql");
    pub const DELETE_ROWS: &str = include_str!("rollup/sql/delete_rows.sql");
    pub const DELETE_ELSEWHERE: &str = include_str!("rollup/sql/delete_elsewhere.sql");
    pub const DELETE_WITHIN: &str = include_str!("rollup/sql/delete_within.sql");
    pub const PARTITIONS: &str = include_str!("rollup/sql/partitions.sql");
    pub const MUTATIONS: &str = include_str!("rollup/sql/mutations.sql");
    pub const KILL_MUTATIONS: &str = include_str!("rollup/sql/kill_mutations.sql");
    pub const VERSION: &str = include_str!("rollup/sql/version.sql");
    pub const COUNT_EVENTS: &str = include_str!("rollup/sql/count_events.sql");
    pub const COUNT_ROWS: &str = include_str!("rollup/sql/count_rows.sql");
    pub const COUNT_NEW_EVENTS: &str = include_str!("rollup/sql/count_new_events.sql");
    pub const ADD_NEW_EVENTS: &str = include_str!("rollup/sql/add_new_events.sql");
    pub const TOTALS: &str = include_str!("rollup/sql/totals.sql");
    pub const LATE_DAYS: &str = include_str!("rollup/sql/late_days.sql");
}
