//! What reports ask of the slices of all teams, in a number of questions that does not grow with them.
//!
//! Counts come from the table of tallies, which triggers keep; days are read one by one only where
//! something is wrong with them, and no more than a limit says.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Ledger;
use super::database::{Row, Statement, json, sql, text};
use super::slices::{State, instant_s, team_ids};
use crate::calendar::{Bounds, Day, Days, TeamId};
use crate::error::Result;

/// How many slices a team has, by what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// All of them; a slice may be counted under several of the numbers below.
    pub slices: i64,
    pub cleaned: i64,
    /// See [`super::Slice::has_data`].
    pub with_data: i64,
    pub stale: i64,
    pub failed: i64,
    pub running: i64,
    /// Without events, of a source that is not known to be complete.
    pub waiting: i64,
    /// From the oldest to the newest.
    pub days: Days,
}

impl Tally {
    /// Whether there is a slice of every day between the oldest and the newest.
    pub fn is_unbroken(&self) -> bool {
        self.days.count() == self.slices
    }
}

/// How many days of some teams there are, by what they are; one may be counted under several of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayCounts {
    /// All that are wanted, or were; without those whose rows were deleted on request.
    pub all: i64,
    /// That the tables hold, be it as they were before.
    pub with_data: i64,
    /// That are filled and to be filled again.
    pub stale: i64,
    pub failed: i64,
    pub running: i64,
    /// Without events, of a source that is not known to be complete.
    pub waiting: i64,
}

/// What was verified of a team's days with data, and how far they reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub oldest: Option<Day>,
    pub newest: Option<Day>,
    /// Summed up over the days, each weighed by its bucket: what [`crate::verify::sums`] gives when the
    /// tables hold it.
    pub page_views_weighed: i64,
    /// As `page_views_weighed`.
    pub sessions_weighed: i64,
}

/// A slice that the tables do not hold.
#[derive(Clone, Debug)]
pub struct WithoutData {
    pub team_id: TeamId,
    pub day: Day,
    pub bounds: Bounds,
    pub state: State,
    pub error: Option<String>,
    /// Whether the tables hold it as it was filled before, perhaps in another zone.
    pub has_data: bool,
}

/// What was verified of a filled day.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedDay {
    pub team_id: TeamId,
    pub day: Day,
    /// Its bucket, in seconds since 1970.
    pub bucket_s: i64,
    pub page_views: i64,
    pub sessions: i64,
}

impl Ledger {
    /// The tallies of all teams that have slices.
    pub async fn tallies(&self) -> Result<BTreeMap<TeamId, (Tally, Verified)>> {
        self.tallies_of(None).await
    }

    /// As [`Ledger::tallies`], or those of some teams.
    pub async fn tallies_of(
        &self,
        teams: Option<&[TeamId]>,
    ) -> Result<BTreeMap<TeamId, (Tally, Verified)>> {
        let statement = Statement::new(sql!("tallies")).bind(teams.map(team_ids));
        let rows = self.database.rows("read the tallies", &statement).await?;
        let mut tallies = BTreeMap::new();
        for row in &rows {
            // A team whose slices are all gone has a row of zeros.
            if row.get::<i64>("slices")? == 0 {
                continue;
            }
            let day = |name| {
                let text: Option<String> = row.get(name)?;
                text.map(|_| row.parsed(name)).transpose()
            };
            let verified = Verified {
                oldest: day("oldest")?,
                newest: day("newest")?,
                page_views_weighed: row.get("page_views_weighed")?,
                sessions_weighed: row.get("sessions_weighed")?,
            };
            tallies.insert(TeamId(row.get("team_id")?), (tally(row)?, verified));
        }
        Ok(tallies)
    }

    /// How it stands with the days of some teams, whether somebody asked for them or not.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn day_counts(&self, teams: &[TeamId]) -> Result<DayCounts> {
        let statement = Statement::new(sql!("day_counts")).bind(team_ids(teams));
        let row = self.database.row("count the days", &statement).await?;
        Ok(DayCounts {
            all: row.get("all_days")?,
            with_data: row.get("with_data")?,
            stale: row.get("stale")?,
            failed: row.get("failed")?,
            running: row.get("running")?,
            waiting: row.get("waiting")?,
        })
    }

    /// The tallies of the slices within a range of days, each team's own.
    pub async fn tallies_within(
        &self,
        ranges: &[(TeamId, Days)],
    ) -> Result<BTreeMap<TeamId, Tally>> {
        let statement =
            Statement::new(sql!("tallies_within")).bind(json(ranges.iter().map(|(team, days)| {
                json!([team.0, days.from.to_string(), days.until.to_string()])
            })));
        let rows = self
            .database
            .rows("count the slices of a period", &statement)
            .await?;
        rows.iter()
            .map(|row| Ok((TeamId(row.get("team_id")?), tally(row)?)))
            .collect()
    }

    /// How it stands with the slices within a range of days, each team's own, the oldest first; and whether
    /// they wait for events.
    pub async fn states_within(
        &self,
        ranges: &[(TeamId, Days)],
    ) -> Result<BTreeMap<TeamId, Vec<(Day, State, bool)>>> {
        let statement =
            Statement::new(sql!("states_within")).bind(json(ranges.iter().map(|(team, days)| {
                json!([team.0, days.from.to_string(), days.until.to_string()])
            })));
        let rows = self
            .database
            .rows("read the slices of a period", &statement)
            .await?;
        let mut states: BTreeMap<TeamId, Vec<_>> = BTreeMap::new();
        for row in &rows {
            let of_team = states.entry(TeamId(row.get("team_id")?)).or_default();
            of_team.push((
                row.parsed("day")?,
                row.parsed("state")?,
                row.get("waiting")?,
            ));
        }
        Ok(states)
    }

    /// The days between slices of some teams of which there are none, oldest first.
    pub async fn gaps(&self, teams: &[TeamId]) -> Result<BTreeMap<TeamId, Vec<Days>>> {
        let mut gaps: BTreeMap<TeamId, Vec<Days>> = BTreeMap::new();
        if teams.is_empty() {
            return Ok(gaps);
        }
        let statement = Statement::new(sql!("gaps")).bind(team_ids(teams));
        let rows = self
            .database
            .rows("look for gaps between slices", &statement)
            .await?;
        for row in &rows {
            let days = Days {
                from: row.parsed::<Day>("before")?.plus(1),
                until: row.parsed("day")?,
            };
            if days.count() > 0 {
                let of_team = gaps.entry(TeamId(row.get("team_id")?)).or_default();
                of_team.push(days);
            }
        }
        for of_team in gaps.values_mut() {
            of_team.sort_unstable_by_key(|days| days.from);
        }
        Ok(gaps)
    }

    /// The days that are wanted, that nobody cancelled, and that the tables do not hold, and those that they
    /// hold and whose refill failed: at most so many that failed, of either, that run, and that are open.
    pub async fn without_data(&self, most: u32) -> Result<Vec<WithoutData>> {
        const DOING: &str = "read the slices without data";
        let cancelled = Statement::new(text!(
            "select distinct team_id from runs where cancelled_at is not null"
        ));
        let cancelled = self.database.rows(DOING, &cancelled).await?;
        let cancelled: Vec<TeamId> = cancelled
            .iter()
            .map(|row| row.get("team_id").map(TeamId))
            .collect::<Result<_>>()?;
        let of = |statement: Statement| statement.bind(most).bind(team_ids(&cancelled));
        let statement = of(Statement::new(sql!("without_data")));
        let mut rows = self.database.rows(DOING, &statement).await?;
        if !cancelled.is_empty() {
            let statement = of(Statement::new(sql!("without_data_cancelled")));
            rows.extend(self.database.rows(DOING, &statement).await?);
        }
        rows.iter()
            .map(|row| {
                Ok(WithoutData {
                    team_id: TeamId(row.get("team_id")?),
                    day: row.parsed("day")?,
                    bounds: Bounds {
                        from: instant_s(row, "bucket_s")?,
                        until: instant_s(row, "until_s")?,
                    },
                    state: row.parsed("state")?,
                    error: row.get("error")?,
                    has_data: row.get("has_data")?,
                })
            })
            .collect()
    }

    /// What was verified of the filled days of some teams, by team and day: of so many days at most.
    pub async fn verified(&self, teams: &[TeamId], most: u32) -> Result<Vec<VerifiedDay>> {
        if teams.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::new(sql!("receipts"))
            .bind(team_ids(teams))
            .bind(most);
        let rows = self
            .database
            .rows("read what was verified", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(VerifiedDay {
                    team_id: TeamId(row.get("team_id")?),
                    day: row.parsed("day")?,
                    bucket_s: row.get("bucket_s")?,
                    page_views: row.get("page_views")?,
                    sessions: row.get("sessions")?,
                })
            })
            .collect()
    }

    /// Makes the tallies quick to read again, where they are written in pieces: on Postgres.
    pub async fn fold_tallies(&self) -> Result<()> {
        const DOING: &str = "fold the tallies";
        if self.transacts_alone() {
            return Ok(());
        }
        let mut transaction = self.database.begin(DOING).await?;
        let lock = format!("{}:tallies", self.schema());
        transaction.lock(DOING, &lock).await?;
        let fold = Statement::new(sql!("postgres/fold_tallies"));
        transaction.execute(DOING, &fold).await?;
        transaction.commit(DOING).await
    }
}

fn tally(row: &Row) -> Result<Tally> {
    Ok(Tally {
        slices: row.get("slices")?,
        cleaned: row.get("cleaned")?,
        with_data: row.get("with_data")?,
        stale: row.get("stale")?,
        failed: row.get("failed")?,
        running: row.get("running")?,
        waiting: row.get("waiting")?,
        days: Days {
            from: row.parsed("first")?,
            until: row.parsed::<Day>("last")?.plus(1),
        },
    })
}
