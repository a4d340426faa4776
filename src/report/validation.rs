//! Verdicts: the tables against the raw events, day by day.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::calendar::{Day, Days, TeamId};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Slice, State, Team};
use crate::reconcile;
use crate::request::Target;
use crate::service::Prefill;
use crate::verify::{self, Difference, Raw, Scope, ToldVerdict, Verdict};

const COMMENT: &str = "prefill:report";

/// The verdict of one day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DayVerdict {
    pub day: Day,
    pub state: Option<State>,
    pub clean: bool,
    #[serde(flatten)]
    #[schema(value_type = ToldVerdict)]
    pub verdict: Verdict,
    pub differences: Vec<Difference>,
}

/// The verdicts of a range, day by day.
#[derive(Clone, Debug)]
pub struct Validation {
    pub days: Vec<DayVerdict>,
}

impl Validation {
    /// Whether every day is right.
    pub fn is_clean(&self) -> bool {
        self.days.iter().all(|day| day.clean)
    }

    /// As it is told in JSON.
    pub fn told<'a>(&'a self, target: &'a Target) -> Validated<'a> {
        let sum =
            |of: fn(&Verdict) -> i64| self.days.iter().map(|day| of(&day.verdict)).sum::<i64>();
        let raw = |of: fn(&Raw) -> u64| {
            self.days
                .iter()
                .map(|day| of(&day.verdict.raw))
                .sum::<u64>()
        };
        Validated {
            status: if self.is_clean() { "passed" } else { "failed" },
            team_id: target.team.id,
            team_name: &target.team.name,
            timezone: target.zone.name(),
            date_range: DateRange {
                start: target.days.from,
                end: target.days.until,
            },
            validation_results: ValidationResults {
                web_pre_aggregated_stats_rows: sum(|verdict| verdict.stats.rows),
                web_pre_aggregated_bounces_rows: sum(|verdict| verdict.bounces.rows),
                raw_page_views: raw(|raw| raw.page_views),
                raw_sessions: raw(|raw| raw.sessions),
                days_checked: self.days.len(),
                days_that_differ: self.days.iter().filter(|day| !day.clean).count(),
                days: &self.days,
            },
        }
    }
}

/// The verdicts of a range, as they are told in JSON.
#[derive(Serialize, ToSchema)]
pub struct Validated<'a> {
    /// `passed` or `failed`.
    status: &'static str,
    team_id: TeamId,
    team_name: &'a str,
    timezone: &'a str,
    date_range: DateRange,
    validation_results: ValidationResults<'a>,
}

/// From a day to another one, which is not meant any more.
#[derive(Serialize, ToSchema)]
struct DateRange {
    start: Day,
    end: Day,
}

/// Sums of the days, and each of them.
#[derive(Serialize, ToSchema)]
struct ValidationResults<'a> {
    web_pre_aggregated_stats_rows: i64,
    web_pre_aggregated_bounces_rows: i64,
    raw_page_views: u64,
    raw_sessions: u64,
    days_checked: usize,
    days_that_differ: usize,
    days: &'a [DayVerdict],
}

/// A team's wanted days: its window, and what was asked for beyond it.
fn wanted_days(
    team: &Team,
    slices: &BTreeMap<Day, Slice>,
    config: &Config,
    now: Timestamp,
) -> Result<BTreeSet<Day>> {
    let desire = reconcile::desire(team, config, team.enabled_at.unwrap_or(now))?;
    let window = desire.window(now);
    Ok(window
        .newest_first()
        .filter(|day| desire.zone.bounds(*day).is_some())
        .chain(slices.keys().copied())
        .filter(|day| {
            slices
                .get(day)
                .is_none_or(|slice| slice.state != State::Cleaned)
        })
        .collect())
}

impl Prefill {
    /// Compares each day of a target with the raw events as they are now.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn validate(&self, target: &Target) -> Result<Validation> {
        let slices = self.ledger.slices(target.team.id).await?;
        self.validate_days(target, &slices, target.days.newest_first())
            .await
    }

    /// As [`Prefill::validate`], for the days that a team should have: those that are filled, and
    /// those that it wants. The target's range becomes that of the days.
    ///
    /// # Errors
    ///
    /// As [`Prefill::validate`].
    pub async fn validate_wanted(&self, target: &mut Target, now: Timestamp) -> Result<Validation> {
        let slices = self.ledger.slices(target.team.id).await?;
        let filled = slices
            .values()
            .filter(|slice| slice.has_data())
            .map(|slice| slice.day);
        let mut days: BTreeSet<Day> = filled.collect();
        if target.team.enabled {
            days.extend(wanted_days(&target.team, &slices, &self.config, now)?);
        }
        if let (Some(first), Some(last)) = (days.first(), days.last()) {
            target.days = Days::new(*first, last.plus(1))?;
        }
        self.validate_days(target, &slices, days.into_iter().rev())
            .await
    }

    async fn validate_days(
        &self,
        target: &Target,
        slices: &BTreeMap<Day, Slice>,
        asked: impl Iterator<Item = Day>,
    ) -> Result<Validation> {
        let store = self.store_of(&target.team).await?;
        let mut days = Vec::new();
        for day in asked {
            let Some(bounds) = target.zone.bounds(day) else {
                continue;
            };
            let scope = Scope {
                teams: &[target.team.id],
                bounds,
                as_of_us: i64::MAX / 2,
                comment: COMMENT,
            };
            let verdict = verify::verdicts(
                &store.warehouse,
                &store.tables,
                &scope,
                &store.tables.stats,
                &store.tables.bounces,
            )
            .await?
            .remove(&target.team.id)
            .unwrap_or_default();
            days.push(DayVerdict {
                day,
                state: slices.get(&day).map(|slice| slice.state),
                clean: verdict.is_clean(),
                differences: verdict.differences(),
                verdict,
            });
        }
        Ok(Validation { days })
    }
}
