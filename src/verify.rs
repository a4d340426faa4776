//! Raw events against rollup, value by value, for one local day of some teams.
//!
//! Counting rows proves nothing: what is compared is what dashboards show. Uniques are compared as
//! `uniq` over the raw events against the merged states, which are equal when the states are right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calendar::{Bounds, TeamId};
use crate::error::Result;
use crate::ledger::{Receipt, Verified};
use crate::rollup::{Cut, Tables, sql};
use crate::warehouse::Warehouse;
use crate::warehouse::name::Name;

/// What the raw events say of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Raw {
    team_id: i64,
    begin_s: i64,
    pub sessions: u64,
    pub page_views: u64,
    pub sessions_uniq: u64,
    pub persons: u64,
    pub bounces: u64,
    pub duration_seconds: i64,
    pub events: u64,
    pub checksum: i64,
}

/// What the stats rollup says of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Stats {
    team_id: i64,
    begin_s: i64,
    pub rows: i64,
    pub persons: u64,
    pub sessions_uniq: u64,
    pub page_views: u64,
}

/// What the bounces rollup says of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Bounces {
    team_id: i64,
    begin_s: i64,
    pub rows: i64,
    pub persons: u64,
    pub sessions_uniq: u64,
    pub page_views: u64,
    pub bounces: u64,
    pub duration_seconds: i64,
    pub sessions: u64,
}

/// Raw events against rollup, for one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub raw: Raw,
    pub stats: Stats,
    pub bounces: Bounces,
}

/// A [`Verdict`] as it is told in JSON.
#[derive(Serialize, ToSchema)]
pub struct ToldVerdict {
    raw: ToldRaw,
    stats: ToldStats,
    bounces: ToldBounces,
}

/// What the raw events say of a day.
#[derive(Serialize, ToSchema)]
struct ToldRaw {
    page_views: u64,
    sessions: u64,
    persons: u64,
    bounces: u64,
    duration_seconds: i64,
}

/// What `web_pre_aggregated_stats` says of a day.
#[derive(Serialize, ToSchema)]
struct ToldStats {
    rows: i64,
    page_views: u64,
    sessions: u64,
    persons: u64,
}

/// What `web_pre_aggregated_bounces` says of a day.
#[derive(Serialize, ToSchema)]
struct ToldBounces {
    rows: i64,
    page_views: u64,
    sessions: u64,
    persons: u64,
    bounces: u64,
    duration_seconds: i64,
}

impl From<&Verdict> for ToldVerdict {
    fn from(verdict: &Verdict) -> Self {
        let (raw, stats, bounces) = (&verdict.raw, &verdict.stats, &verdict.bounces);
        Self {
            raw: ToldRaw {
                page_views: raw.page_views,
                sessions: raw.sessions,
                persons: raw.persons,
                bounces: raw.bounces,
                duration_seconds: raw.duration_seconds,
            },
            stats: ToldStats {
                rows: stats.rows,
                page_views: stats.page_views,
                sessions: stats.sessions_uniq,
                persons: stats.persons,
            },
            bounces: ToldBounces {
                rows: bounces.rows,
                page_views: bounces.page_views,
                sessions: bounces.sessions,
                persons: bounces.persons,
                bounces: bounces.bounces,
                duration_seconds: bounces.duration_seconds,
            },
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ToldVerdict::from(self).serialize(serializer)
    }
}

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// Such as `stats page views`.
    pub what: &'static str,
    pub raw: i64,
    pub table: i64,
}

impl Verdict {
    /// What differs; nothing when the tables are right.
    pub fn differences(&self) -> Vec<Difference> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (raw, stats, bounces) = (&self.raw, &self.stats, &self.bounces);
        [
            (
                "stats page views",
                number(raw.page_views),
                number(stats.page_views),
            ),
            (
                "stats sessions",
                number(raw.sessions_uniq),
                number(stats.sessions_uniq),
            ),
            ("stats persons", number(raw.persons), number(stats.persons)),
            (
                "bounces page views",
                number(raw.page_views),
                number(bounces.page_views),
            ),
            (
                "bounces sessions",
                number(raw.sessions_uniq),
                number(bounces.sessions_uniq),
            ),
            (
                "bounces persons",
                number(raw.persons),
                number(bounces.persons),
            ),
            (
                "session count",
                number(raw.sessions),
                number(bounces.sessions),
            ),
            ("bounces", number(raw.bounces), number(bounces.bounces)),
            (
                "session duration",
                raw.duration_seconds,
                bounces.duration_seconds,
            ),
        ]
        .into_iter()
        .filter(|(_, raw, table)| raw != table)
        .map(|(what, raw, table)| Difference { what, raw, table })
        .collect()
    }

    /// Whether the tables are right.
    pub fn is_clean(&self) -> bool {
        self.differences().is_empty()
    }

    /// The differences on one line: `stats page views 12 in raw events, 24 in the table`.
    pub fn describe(&self) -> String {
        self.differences()
            .iter()
            .map(|difference| {
                format!(
                    "{} {} in the raw events and {} in the table",
                    difference.what, difference.raw, difference.table
                )
            })
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A day of some teams, as of an instant.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub teams: &'a [TeamId],
    pub bounds: Bounds,
    /// Only events that had reached the warehouse by then, in microseconds since 1970.
    pub as_of_us: i64,
    pub comment: &'a str,
}

impl Scope<'_> {
    fn ids(&self) -> Vec<i64> {
        self.teams.iter().map(|team| team.0).collect()
    }
}

/// What the raw events say, a team each; teams without sessions are missing.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn raw(
    warehouse: &Warehouse,
    tables: &Tables,
    scope: &Scope<'_>,
) -> Result<BTreeMap<TeamId, Raw>> {
    let begins = [scope.bounds.from.as_second()];
    let rows = raw_of_days(warehouse, tables, scope, &begins).await?;
    Ok(rows
        .into_iter()
        .map(|row| (TeamId(row.team_id), row))
        .collect())
}

/// What the raw events say, by team and the day, of those that begin at `begins`, in which sessions start.
async fn raw_of_days(
    warehouse: &Warehouse,
    tables: &Tables,
    scope: &Scope<'_>,
    begins: &[i64],
) -> Result<Vec<Raw>> {
    let cut = Cut {
        has_days: begins.len() > 1,
        ..Cut::DAY
    };
    warehouse
        .statement(&tables.render_cut(sql::RAW, cut, &[]), scope.comment)
        .param("teams", scope.ids())
        .param("from_us", scope.bounds.from.as_microsecond())
        .param("until_us", scope.bounds.until.as_microsecond())
        .param("begins", begins.to_vec())
        .param("as_of_us", scope.as_of_us)
        .large()
        .rows::<Raw>("count the raw events")
        .await
}

/// The verdicts of some teams on a day, the rollups being in `stats` and `bounces` or in copies of
/// them. A team that has neither events nor rows has a clean verdict of zeros.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn verdicts(
    warehouse: &Warehouse,
    tables: &Tables,
    scope: &Scope<'_>,
    stats: &Name,
    bounces: &Name,
) -> Result<BTreeMap<TeamId, Verdict>> {
    let days = [scope.bounds.from];
    let verdicts = verdicts_of_days(warehouse, tables, scope, &days, stats, bounces).await?;
    Ok(verdicts
        .into_iter()
        .map(|((team, _), verdict)| (team, verdict))
        .collect())
}

/// As [`verdicts`], by team and day: the scope is of the days that begin at `days`, one after the other. No
/// session may last as long as a day where they are several.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn verdicts_of_days(
    warehouse: &Warehouse,
    tables: &Tables,
    scope: &Scope<'_>,
    days: &[Timestamp],
    stats: &Name,
    bounces: &Name,
) -> Result<BTreeMap<(TeamId, Timestamp), Verdict>> {
    let begins: Vec<i64> = days.iter().map(|day| day.as_second()).collect();
    let raw = raw_of_days(warehouse, tables, scope, &begins).await?;
    let names: [(&str, &Name); 2] = [("stats", stats), ("bounces", bounces)];
    let from_table = |statement| {
        warehouse
            .statement(&tables.render(statement, &names), scope.comment)
            .param("teams", scope.ids())
            .param("from_s", scope.bounds.from.as_second())
            .param("until_s", scope.bounds.until.as_second())
            .param("begins", begins.clone())
            .large()
    };
    let of_stats = from_table(sql::FROM_STATS)
        .rows::<Stats>("read the stats rollup")
        .await?;
    let of_bounces = from_table(sql::FROM_BOUNCES)
        .rows::<Bounces>("read the bounces rollup")
        .await?;
    let of = |team_id, begin_s| {
        let begin = Timestamp::from_second(begin_s).unwrap_or_default();
        (TeamId(team_id), begin)
    };
    let mut verdicts: BTreeMap<(TeamId, Timestamp), Verdict> = BTreeMap::new();
    for team in scope.teams {
        verdicts.extend(days.iter().map(|day| ((*team, *day), Verdict::default())));
    }
    for row in raw {
        let day = of(row.team_id, row.begin_s);
        verdicts.entry(day).or_default().raw = row;
    }
    for row in of_stats {
        let day = of(row.team_id, row.begin_s);
        verdicts.entry(day).or_default().stats = row;
    }
    for row in of_bounces {
        let day = of(row.team_id, row.begin_s);
        verdicts.entry(day).or_default().bounces = row;
    }
    Ok(verdicts)
}

/// What both rollups hold of a team's day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Totals {
    team_id: i64,
    bucket_s: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    pub stats_page_views: i64,
    pub bounces_page_views: i64,
    pub sessions: i64,
}

impl Totals {
    /// Whether the tables still hold what a fill verified: a cheap question, asked often. It sees
    /// rows that are gone or double, and not whether the raw events have changed.
    pub fn are_of(&self, receipt: &Receipt) -> bool {
        self.hold(receipt.page_views, receipt.sessions)
    }

    /// As [`Totals::are_of`], of the numbers of a receipt.
    pub fn hold(&self, page_views: i64, sessions: i64) -> bool {
        (
            self.stats_page_views,
            self.bounces_page_views,
            self.sessions,
        ) == (page_views, page_views, sessions)
    }
}

/// All instants that a bucket may begin at, in seconds since 1970; ClickHouse's `DateTime` has no later.
pub const ALL_BUCKETS: Range<i64> = 0..u32::MAX as i64;

/// What both rollups hold of the buckets that begin within `buckets`, by team and the second in which the
/// bucket begins; what has no rows is missing.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn totals(
    warehouse: &Warehouse,
    tables: &Tables,
    teams: &[TeamId],
    buckets: Range<i64>,
) -> Result<BTreeMap<(TeamId, i64), Totals>> {
    let rows = warehouse
        .statement(&tables.render(sql::TOTALS, &[]), "prefill:totals")
        .param("teams", teams.iter().map(|team| team.0).collect::<Vec<_>>())
        .param("from_s", buckets.start)
        .param("until_s", buckets.end)
        .rows::<Totals>("read what the rollups hold")
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((TeamId(row.team_id), row.bucket_s), row))
        .collect())
}

/// What both rollups hold of a team, over all of its days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Sums {
    team_id: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    stats_page_views: i64,
    bounces_page_views: i64,
    sessions: i64,
}

impl Sums {
    /// Whether the tables hold what was verified of the team, and nothing else: then no day of it is
    /// lost or double.
    pub fn are_of(&self, verified: &Verified) -> bool {
        (
            self.stats_page_views,
            self.bounces_page_views,
            self.sessions,
        ) == (
            verified.page_views_weighed,
            verified.page_views_weighed,
            verified.sessions_weighed,
        )
    }
}

/// What both rollups hold, by team: one row a team, whatever number of days it has. A team without rows
/// is missing.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn sums(
    warehouse: &Warehouse,
    tables: &Tables,
    teams: &[TeamId],
) -> Result<BTreeMap<TeamId, Sums>> {
    let rows = warehouse
        .statement(&tables.render(sql::SUMS, &[]), "prefill:sums")
        .param("teams", teams.iter().map(|team| team.0).collect::<Vec<_>>())
        .rows::<Sums>("sum up what the rollups hold")
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (TeamId(row.team_id), row))
        .collect())
}

/// How many rows both rollups have of a team's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct BucketRows {
    team_id: i64,
    /// In seconds since 1970.
    pub bucket_s: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
}

impl BucketRows {
    /// Whose they are.
    pub fn team(&self) -> TeamId {
        TeamId(self.team_id)
    }
}

/// How many rows both rollups have of the buckets that begin within `[from_s, until_s)`, in seconds since
/// 1970, by team and bucket.
///
/// # Errors
///
/// When the warehouse fails.
pub async fn rows_within(
    warehouse: &Warehouse,
    tables: &Tables,
    teams: &[TeamId],
    from_s: i64,
    until_s: i64,
) -> Result<Vec<BucketRows>> {
    warehouse
        .statement(&tables.render(sql::ROWS_WITHIN, &[]), "prefill:rows")
        .param("teams", teams.iter().map(|team| team.0).collect::<Vec<_>>())
        .param("from_s", from_s)
        .param("until_s", until_s)
        .rows("count the rows of a period")
        .await
}

#[derive(Row, Deserialize)]
struct WithSessions {
    team_id: i64,
    begin_s: i64,
}

/// The most days of [`with_sessions`]: ClickHouse takes parameters of 128 KiB
/// (`http_max_field_value_size`), and a number here has at most ten digits.
pub const MOST_DAYS: usize = 10_000;

/// Which of some teams' days have sessions in the raw events: one question for all of them. The days of
/// a team do not overlap; there are at most [`MOST_DAYS`].
///
/// # Errors
///
/// When the warehouse fails.
pub async fn with_sessions(
    warehouse: &Warehouse,
    tables: &Tables,
    days: &[(TeamId, Bounds)],
) -> Result<BTreeSet<(TeamId, Timestamp)>> {
    const DAY_S: i64 = 86_400;
    let begins = || days.iter().map(|(_, bounds)| bounds.from.as_second());
    let ends = || days.iter().map(|(_, bounds)| bounds.until.as_second());
    let (Some(from), Some(until)) = (begins().min(), ends().max()) else {
        return Ok(BTreeSet::new());
    };
    let teams: BTreeSet<i64> = days.iter().map(|(team, _)| team.0).collect();
    // The UTC dates of the days' events, and of those within the 24 hours around, as numbers.
    let distinct: BTreeSet<(i64, i64)> = begins().zip(ends()).collect();
    let dates: BTreeSet<i64> = distinct
        .into_iter()
        .flat_map(|(begin, end)| (begin - DAY_S) / DAY_S..=(end + DAY_S) / DAY_S)
        .collect();
    let rows = warehouse
        .statement(
            &tables.render(sql::DAYS_WITH_SESSIONS, &[]),
            "prefill:report",
        )
        .param("teams", teams.into_iter().collect::<Vec<_>>())
        .param("from_us", from * 1_000_000)
        .param("until_us", until * 1_000_000)
        .param("as_of_us", i64::MAX / 2)
        .param("dates", dates.into_iter().collect::<Vec<_>>())
        .param(
            "day_teams",
            days.iter().map(|(team, _)| team.0).collect::<Vec<_>>(),
        )
        .param("begins_s", begins().collect::<Vec<_>>())
        .param("ends_s", ends().collect::<Vec<_>>())
        .rows::<WithSessions>("look for sessions of days that are not filled")
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let begin = Timestamp::from_second(row.begin_s).ok()?;
            Some((TeamId(row.team_id), begin))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f24_zero_rows_beside_a_source_that_has_some_is_a_difference() {
        let verdict = Verdict {
            raw: Raw {
                sessions: 3,
                page_views: 5,
                sessions_uniq: 3,
                persons: 2,
                ..Raw::default()
            },
            ..Verdict::default()
        };
        assert!(!verdict.is_clean());
        assert!(
            verdict
                .describe()
                .contains("stats page views 5 in the raw events and 0 in the table")
        );
        assert!(Verdict::default().is_clean(), "nothing on either side");
    }
}
