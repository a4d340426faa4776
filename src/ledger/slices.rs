//! Slices: wanted, and how each stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Ledger;
use super::claims::comment;
use super::database::{Row, Statement, Transacting, Tries, json, sql, text};
use crate::calendar::{Bounds, Day, Days, TeamId, Zone};
use crate::error::{Class, Error, Result};

/// How far a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Wanted,
    Running,
    Filled,
    /// Filled, and no longer what the raw events say.
    Stale,
    Failed,
    /// Its rows were deleted on request.
    Cleaned,
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "wanted" => Self::Wanted,
            "running" => Self::Running,
            "filled" => Self::Filled,
            "stale" => Self::Stale,
            "failed" => Self::Failed,
            "cleaned" => Self::Cleaned,
            other => return Err(format!("{other:?} is no state of a slice")),
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wanted => "wanted",
            Self::Running => "running",
            Self::Filled => "filled",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Cleaned => "cleaned",
        })
    }
}

/// Why a slice is wanted or stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The setting is on and the day is in the team's window.
    Window,
    /// Somebody asked for it.
    Request,
    /// Somebody asked for it again, filled or not.
    Forced,
    /// Events of the day reached the warehouse after it was filled.
    LateEvents,
    /// The tables do not hold what was verified any more: somebody changed them.
    RowsChanged,
    /// The rollups are made otherwise since it was filled.
    Redefined,
    /// The team moved to another time zone.
    ZoneChanged,
    /// The team moved to another warehouse.
    WarehouseChanged,
    /// Its rows were to be deleted, and nobody knows how many of them are (half_cleaned.sql has its text, too).
    Cleanup,
}

impl Reason {
    /// As the ledger and people have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Request => "request",
            Self::Forced => "forced",
            Self::LateEvents => "late events",
            Self::RowsChanged => "rows changed",
            Self::Redefined => "definition changed",
            Self::ZoneChanged => "time zone changed",
            Self::WarehouseChanged => "warehouse changed",
            Self::Cleanup => "cleanup not ended",
        }
    }
}

/// The partition of both rollups that the bucket at `bucket` falls in: its UTC date as yyyymmdd.
pub fn partition_of(bucket: Timestamp) -> i64 {
    let date = bucket.to_zoned(jiff::tz::TimeZone::UTC).date();
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// The definition of a slice that was filled before definitions were kept.
pub const UNKNOWN_DEFINITION: i64 = 0;

/// What a fill wrote and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Receipt {
    /// Events that had reached the warehouse by then are in it; microseconds since 1970.
    pub as_of_us: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    pub events: i64,
    pub sessions: i64,
    pub page_views: i64,
    pub persons: i64,
    pub bounces: i64,
    pub duration_seconds: i64,
    /// Of the identifiers of all events of the slice.
    pub checksum: i64,
    pub elapsed_ms: i64,
    /// Which rollups it is of, or [`UNKNOWN_DEFINITION`].
    #[serde(skip)]
    pub definition: i64,
}

/// A slice, as the ledger has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Slice {
    pub team_id: TeamId,
    pub day: Day,
    pub state: State,
    pub reason: String,
    pub timezone: String,
    pub warehouse: String,
    #[serde(skip)]
    pub bucket: Timestamp,
    #[serde(skip)]
    pub until: Timestamp,
    /// No events yet, and the source is not known to be complete.
    pub waiting_for_events: bool,
    pub attempts: i64,
    pub not_before: Timestamp,
    pub filled_at: Option<Timestamp>,
    /// Where its rows, if there are any, are those of another day: that of the zone that the team has left.
    #[serde(skip)]
    pub left_bucket: Option<Timestamp>,
    pub receipt: Option<Receipt>,
    pub error: Option<String>,
    /// What kind of error it is, see [`Class::name`]; nothing where nobody knows.
    pub error_class: Option<String>,
    /// The handle by which the statements of the fill under way are found on the warehouse.
    #[serde(skip)]
    pub comment: Option<String>,
}

impl Slice {
    /// Whether the tables hold the day, fresh or not; not where they hold what was this day in the
    /// zone that the team has left.
    pub fn has_data(&self) -> bool {
        self.filled_at.is_some() && self.left_bucket.is_none()
    }
}

/// A slice that is wanted. One that is there is left as it is, unless it is to be done `again`.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub team: TeamId,
    pub day: Day,
    pub zone: &'a Zone,
    /// The name of the warehouse that the team's tables are on.
    pub warehouse: &'a str,
    pub reason: Reason,
    pub again: bool,
}

/// The part of a slice that a plan looks at.
#[derive(Clone, Debug)]
pub struct Planned {
    pub state: State,
    pub timezone: String,
    pub warehouse: String,
    pub reason: String,
    /// Whether the tables hold it, fresh or not.
    pub has_data: bool,
    /// Whether they hold rows of it.
    pub has_rows: bool,
    /// Kept from being claimed.
    pub held: bool,
}

/// The most slices of one statement: enough to be quick, little enough to be sent at once.
pub(super) const CHUNK: usize = 4_000;

/// So many teams with ids beside each other share a lock.
const NEIGHBOURS: i64 = 64;
/// There are so many locks of teams: no more than a transaction of Postgres may well hold.
const LOCKS: i64 = 64;

/// Everything about a slice that arithmetic gives.
fn instants(day: Day, zone: &Zone) -> Option<(Bounds, i64)> {
    let bounds = zone.bounds(day)?;
    Some((bounds, partition_of(bounds.from)))
}

impl Ledger {
    /// Wants slices, each of them once; those that the zone does not have are left out. All of them
    /// are to be done again, or none; `revive` takes up what failed, was cleaned, or waits for its next
    /// try.
    pub(super) async fn want(
        transaction: &mut Transacting,
        wanted: &[Wanted<'_>],
        again: bool,
        revive: bool,
    ) -> Result<()> {
        for chunk in wanted.chunks(CHUNK) {
            // Many teams have the same days, each of which is computed and sent once.
            let mut alike: BTreeMap<_, (&Zone, Vec<i64>)> = BTreeMap::new();
            for slice in chunk {
                let what = (
                    slice.day,
                    slice.zone.name(),
                    slice.reason.text(),
                    slice.warehouse,
                );
                let (_, teams) = alike.entry(what).or_insert((slice.zone, Vec::new()));
                teams.push(slice.team.0);
            }
            let rows = alike.into_iter().filter_map(|(what, (zone, teams))| {
                let (day, name, reason, warehouse) = what;
                let (bounds, partition) = instants(day, zone)?;
                Some(json!([
                    day.to_string(),
                    name,
                    bounds.from.as_second(),
                    bounds.until.as_second(),
                    partition,
                    reason,
                    warehouse,
                    teams,
                ]))
            });
            let statement = Statement::new(sql!("want"))
                .bind(json(rows))
                .bind(again)
                .bind(revive);
            transaction.execute("want slices", &statement).await?;
        }
        Ok(())
    }

    /// Writes what a plan found: slices to want or to do again, and slices to want no more.
    pub async fn apply(&self, wanted: &[Wanted<'_>], released: &[(TeamId, Day)]) -> Result<()> {
        if wanted.is_empty() && released.is_empty() {
            return Ok(());
        }
        let mut tries = Tries::default();
        loop {
            match self.try_apply(wanted, released).await {
                Err(error) if tries.again(&error).await => {}
                done => return done,
            }
        }
    }

    async fn try_apply(&self, wanted: &[Wanted<'_>], released: &[(TeamId, Day)]) -> Result<()> {
        const DOING: &str = "write the plan";
        let mut transaction = self.database.begin(DOING).await?;
        let teams = wanted.iter().map(|wanted| wanted.team);
        let teams = teams.chain(released.iter().map(|(team, _)| *team));
        self.lock_teams(&mut transaction, teams).await?;
        for again in [false, true] {
            let of_these: Vec<Wanted<'_>> = wanted
                .iter()
                .filter(|wanted| wanted.again == again)
                .copied()
                .collect();
            Self::want(&mut transaction, &of_these, again, false).await?;
        }
        for chunk in released.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|(team, day)| json!([team.0, day.to_string()]));
            let statement = Statement::new(sql!("release")).bind(json(rows));
            transaction.execute("release slices", &statement).await?;
        }
        self.tell(&mut transaction).await?;
        transaction.commit(DOING).await
    }

    /// Keeps other planners away from these teams until the transaction ends. Neighbours share a lock,
    /// and locks are taken in their order, so that nobody waits in a circle.
    pub(super) async fn lock_teams(
        &self,
        transaction: &mut Transacting,
        teams: impl Iterator<Item = TeamId>,
    ) -> Result<()> {
        let locks: BTreeSet<i64> = teams
            .map(|team| team.0.div_euclid(NEIGHBOURS).rem_euclid(LOCKS))
            .collect();
        let schema = self.schema();
        let names = locks.iter().map(|lock| format!("{schema}:plan:{lock}"));
        transaction
            .lock_all("wait for another plan", &names.collect::<Vec<_>>())
            .await
    }

    /// The day has changed since it was filled (at `filled_at`, where that is said); false when that
    /// was known, or it is not filled, or has been filled since.
    pub async fn touch(
        &self,
        team: TeamId,
        day: Day,
        reason: Reason,
        filled_at: Option<Timestamp>,
    ) -> Result<bool> {
        let statement = Statement::new(sql!("touch"))
            .bind(team.0)
            .bind(day.to_string())
            .bind(reason.text())
            .bind(filled_at.map(Timestamp::as_millisecond));
        let touched = self
            .database
            .execute("mark a slice stale", &statement)
            .await?;
        Ok(touched > 0)
    }

    /// Keeps a team's slices from being claimed, stopping what runs, or lets them be claimed again.
    pub async fn keep(&self, team: TeamId, held: bool) -> Result<u64> {
        Ok(self.keep_all(&[team], held).await?.values().sum())
    }

    /// As [`Ledger::keep`], of several teams: how many slices of which team it changed.
    pub async fn keep_all(&self, teams: &[TeamId], held: bool) -> Result<BTreeMap<TeamId, u64>> {
        let mut kept = BTreeMap::new();
        if teams.is_empty() {
            return Ok(kept);
        }
        let mut tries = Tries::default();
        let rows = loop {
            match self.try_keep(teams, held).await {
                Err(error) if tries.again(&error).await => {}
                done => break done?,
            }
        };
        for row in rows {
            *kept.entry(TeamId(row.get("team_id")?)).or_default() += 1;
        }
        Ok(kept)
    }

    async fn try_keep(&self, teams: &[TeamId], held: bool) -> Result<Vec<Row>> {
        const DOING: &str = "hold slices";
        // Mostly they are kept as they should be, and nothing has to wait.
        let differ = Statement::new(text!(
            "select distinct team_id from slices where team_id in (select cast(value as bigint) from {rows $1}) and held <> $2"
        ))
        .bind(team_ids(teams))
        .bind(i64::from(held));
        let differ = self.database.rows(DOING, &differ).await?;
        let differ: Vec<TeamId> = differ
            .iter()
            .map(|row| row.get("team_id").map(TeamId))
            .collect::<Result<_>>()?;
        if differ.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.database.begin(DOING).await?;
        self.lock_teams(&mut transaction, differ.iter().copied())
            .await?;
        let statement = Statement::new(sql!("keep"))
            .bind(team_ids(&differ))
            .bind(i64::from(held));
        let rows = transaction.rows(DOING, &statement).await?;
        if !held {
            self.tell(&mut transaction).await?;
        }
        transaction.commit(DOING).await?;
        Ok(rows)
    }

    /// Tells the workers of a team's range to stop; how many slices ran.
    pub async fn stop(&self, team: TeamId, days: Days) -> Result<u64> {
        self.on_range(Statement::new(sql!("stop")), team, days)
            .await
    }

    /// Records that the rows of a range are about to be deleted, see [`Ledger::clean`].
    pub async fn begin_cleaning(&self, team: TeamId, days: Days) -> Result<()> {
        let statement = Statement::new(sql!("cleaning"))
            .bind(team.0)
            .bind(days.from.to_string())
            .bind(days.until.to_string())
            .bind(Reason::Cleanup.text());
        self.database
            .execute("record that rows will be deleted", &statement)
            .await?;
        Ok(())
    }

    /// Takes the days of a warehouse that were filled before definitions were kept for days of this one.
    pub async fn take_for(&self, warehouse: &str, definition: i64) -> Result<()> {
        let statement = Statement::new(sql!("take_for"))
            .bind(warehouse)
            .bind(definition);
        let doing = "record what the filled days are made of";
        self.database.execute(doing, &statement).await?;
        Ok(())
    }

    /// Takes days that cannot be filled again for days of this definition.
    pub async fn take_as(&self, days: &BTreeSet<(TeamId, Day)>, definition: i64) -> Result<()> {
        if days.is_empty() {
            return Ok(());
        }
        let rows = days
            .iter()
            .map(|(team, day)| json!([team.0, day.to_string()]));
        let statement = Statement::new(sql!("take_as"))
            .bind(json(rows))
            .bind(definition);
        let doing = "record what is left as it is";
        self.database.execute(doing, &statement).await?;
        Ok(())
    }

    /// The days that cleanups have left half done, of teams that are there: each range without a day between
    /// that is not one of them.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn half_cleaned(&self) -> Result<Vec<(TeamId, Days)>> {
        let statement = Statement::new(sql!("half_cleaned"));
        let rows = self
            .database
            .rows("look for cleanups that did not end", &statement)
            .await?;
        let mut ranges: Vec<(TeamId, Days)> = Vec::new();
        for row in &rows {
            let (team, day) = (TeamId(row.get("team_id")?), row.parsed("day")?);
            match ranges.last_mut() {
                Some((of, days)) if *of == team && days.until == day => days.until = day.plus(1),
                _ => ranges.push((team, Days::new(day, day.plus(1))?)),
            }
        }
        let teams: BTreeSet<TeamId> = ranges.iter().map(|(team, _)| *team).collect();
        let teams: Vec<TeamId> = teams.into_iter().collect();
        // Nobody sees the rows of a team that is gone, and no command could be given for it.
        let there = self.some_teams(&teams).await?;
        let there: BTreeSet<TeamId> = there.iter().map(|team| team.id).collect();
        ranges.retain(|(team, _)| there.contains(team));
        Ok(ranges)
    }

    /// Records that the rows of a range were deleted.
    pub async fn clean(&self, team: TeamId, days: Days) -> Result<u64> {
        self.on_range(Statement::new(sql!("clean")), team, days)
            .await
    }

    async fn on_range(&self, statement: Statement, team: TeamId, days: Days) -> Result<u64> {
        let statement = statement
            .bind(team.0)
            .bind(days.from.to_string())
            .bind(days.until.to_string());
        self.database
            .execute("change a range of slices", &statement)
            .await
    }

    /// Keeps a partition free of claims until the lease is over; false when somebody else does.
    pub async fn hold(
        &self,
        warehouse: &str,
        partition: i64,
        owner: &str,
        lease: Duration,
    ) -> Result<bool> {
        const DOING: &str = "hold a partition";
        let mut transaction = self.database.begin(DOING).await?;
        // A claim under way has been committed before, and is seen by whoever looks from here on.
        transaction
            .lock(
                DOING,
                &format!("{}{partition}", self.partition_lock(warehouse)),
            )
            .await?;
        let statement = Statement::new(sql!("hold"))
            .bind(warehouse)
            .bind(partition)
            .bind(owner)
            .bind(milliseconds(lease));
        let held = transaction.execute(DOING, &statement).await?;
        transaction.commit(DOING).await?;
        Ok(held > 0)
    }

    /// Renews every hold of `owner` that is not over; how many they are.
    pub async fn renew_holds(&self, owner: &str, lease: Duration) -> Result<u64> {
        let statement = Statement::new(text!(
            "update holds set lease_until = {now} + $2 where owner = $1 and lease_until > {now}"
        ))
        .bind(owner)
        .bind(milliseconds(lease));
        self.database
            .execute("renew the hold on partitions", &statement)
            .await
    }

    /// Lets go of everything that `owner` holds.
    pub async fn let_go(&self, owner: &str) -> Result<()> {
        let statement = Statement::new(text!("delete from holds where owner = $1")).bind(owner);
        self.database
            .execute("let go of a partition", &statement)
            .await?;
        Ok(())
    }

    /// Whether a slice of this partition is being filled.
    pub async fn runs_in(&self, warehouse: &str, partition: i64) -> Result<bool> {
        let statement = Statement::new(text!(
"select exists (select 1 from slices where state = 'running' and warehouse = $1 and partition = $2) as busy"
))
            .bind(warehouse)
            .bind(partition);
        let row = self
            .database
            .row("read a partition's slices", &statement)
            .await?;
        row.get("busy")
    }

    /// What a plan for some teams has to know of their slices.
    pub async fn planned(&self, teams: &[TeamId]) -> Result<BTreeMap<(TeamId, Day), Planned>> {
        let statement = Statement::new(sql!("planned")).bind(team_ids(teams));
        let rows = self.database.rows("read slices", &statement).await?;
        rows.iter()
            .map(|row| {
                let slice = (TeamId(row.get("team_id")?), row.parsed("day")?);
                let planned = Planned {
                    state: row.parsed("state")?,
                    timezone: row.get("timezone")?,
                    warehouse: row.get("warehouse")?,
                    reason: row.get("reason")?,
                    has_data: row.get("has_data")?,
                    has_rows: row.get("has_rows")?,
                    held: row.get("held")?,
                };
                Ok((slice, planned))
            })
            .collect()
    }

    /// A team's slices by day.
    pub async fn slices(&self, team: TeamId) -> Result<BTreeMap<Day, Slice>> {
        let statement = Statement::new(text!(
            "select * from slices where team_id = $1 order by day"
        ))
        .bind(team.0);
        let rows = self
            .database
            .rows("read a team's slices", &statement)
            .await?;
        rows.iter()
            .map(|row| slice(row).map(|slice| (slice.day, slice)))
            .collect()
    }

    /// Whether there is any slice of a warehouse.
    pub async fn has_slices(&self, warehouse: &str) -> Result<bool> {
        let statement = Statement::new(text!(
            "select 1 as there from slices where warehouse = $1 limit 1"
        ))
        .bind(warehouse);
        let rows = self.database.rows("look for slices", &statement).await?;
        Ok(!rows.is_empty())
    }

    /// As of when the earliest of a warehouse's fills saw the source, in microseconds since 1970.
    pub async fn first_fill(&self, warehouse: &str) -> Result<Option<i64>> {
        let statement = Statement::new(text!(
            "select min(as_of_us) as as_of_us from slices where warehouse = $1"
        ))
        .bind(warehouse);
        let row = self.database.row("read the first fill", &statement).await?;
        row.get("as_of_us")
    }

    /// When a slice of a team was first under its latest claim, of the earliest such claim.
    pub async fn first_claim(&self, team: TeamId) -> Result<Option<Timestamp>> {
        let statement = Statement::new(text!(
            "select min(claimed_at) as at from slices where team_id = $1"
        ))
        .bind(team.0);
        let row = self
            .database
            .row("read a team's claims", &statement)
            .await?;
        let at: Option<i64> = row.get("at")?;
        Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
    }

    /// When the next open slice of a warehouse can be claimed; `None` when there is none.
    pub async fn next_open(&self, warehouse: &str) -> Result<Option<Duration>> {
        let statement = Statement::new(text!(
"select min(case when not_before > {now} then not_before - {now} else 0 end) as wait from slices s where state in ('wanted', 'stale') and held = 0 and warehouse = $1 and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day) and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)"
))
            .bind(warehouse);
        let row = self.database.row("read the queue", &statement).await?;
        let wait: Option<i64> = row.get("wait")?;
        Ok(wait.map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))))
    }
}

/// Teams as a statement takes them.
pub(super) fn team_ids(teams: &[TeamId]) -> String {
    json(teams.iter().map(|team| json!(team.0)))
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn instant_s(row: &Row, name: &str) -> Result<Timestamp> {
    Timestamp::from_second(row.get(name)?).map_err(|error| {
        Error::new(Class::Never, format!("the ledger's {name} is out of range")).caused_by(error)
    })
}

pub(super) fn slice(row: &Row) -> Result<Slice> {
    let filled_at: Option<i64> = row.get("filled_at")?;
    let error: Option<String> = row.get("error")?;
    let receipt = match row.get::<Option<i64>>("as_of_us")? {
        None => None,
        Some(as_of_us) => Some(Receipt {
            as_of_us,
            stats_rows: row.get("stats_rows")?,
            bounces_rows: row.get("bounces_rows")?,
            events: row.get("events")?,
            sessions: row.get("sessions")?,
            page_views: row.get("page_views")?,
            persons: row.get("persons")?,
            bounces: row.get("bounces")?,
            duration_seconds: row.get("duration_seconds")?,
            checksum: row.get("checksum")?,
            elapsed_ms: row.get("elapsed_ms")?,
            definition: row.get("definition")?,
        }),
    };
    Ok(Slice {
        team_id: TeamId(row.get("team_id")?),
        day: row.parsed("day")?,
        state: row.parsed("state")?,
        reason: row.get("reason")?,
        timezone: row.get("timezone")?,
        warehouse: row.get("warehouse")?,
        bucket: instant_s(row, "bucket_s")?,
        until: instant_s(row, "until_s")?,
        waiting_for_events: row.get("waiting")?,
        attempts: row.get("attempts")?,
        not_before: Timestamp::from_millisecond(row.get("not_before")?).unwrap_or_default(),
        filled_at: filled_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        left_bucket: row
            .get::<Option<i64>>("left_bucket_s")?
            .and_then(|at| Timestamp::from_second(at).ok()),
        receipt,
        error_class: match error {
            Some(_) => row.get("error_class")?,
            None => None,
        },
        error,
        comment: row
            .get::<Option<String>>("claim")?
            .map(|claim| comment(&claim)),
    })
}
