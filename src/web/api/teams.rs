//! Teams: which there are, how far they are, and their setting.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::backfills::Action;
use super::extract::{self, Body, Date, Id, Nothing, Path, Query, malformed};
use crate::calendar::TeamId;
use crate::ledger::Extent;
use crate::report::{self, Explanation, Selection, StateOfTeam, TeamCoverage, TeamDays};
use crate::request::{self, SettingNow, Steered};
use crate::web::problem::Problem;

/// The most days before today of which the states of many teams are told.
const MOST_DAYS_OF_MANY: i64 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Teams {
    /// Part of the name or the organization, in whatever case, or the id.
    #[param(max_length = 200, nullable = false)]
    search: Option<String>,
    /// Whether the setting is on.
    #[param(nullable = false)]
    enabled: Option<bool>,
    #[param(nullable = false, inline)]
    state: Option<StateOfTeam>,
    /// As many at most.
    #[param(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<u32>,
    /// Those after this team: the `next` of the answer before.
    #[param(required = false, nullable = false, value_type = TeamId)]
    after: Option<Id>,
}

impl Teams {
    fn selection(self) -> Result<Selection, Problem> {
        if self
            .search
            .as_ref()
            .is_some_and(|search| search.chars().count() > 200)
        {
            return Err(malformed("search is longer than 200 characters"));
        }
        Ok(Selection {
            search: self.search,
            enabled: self.enabled,
            state: self.state,
            after: self.after.map(|Id(team)| team),
            limit: extract::limit(self.limit)? as usize,
        })
    }
}

/// Teams by their id.
#[derive(Serialize, ToSchema)]
pub struct TeamPage {
    teams: Vec<TeamCoverage>,
    /// What `after` lists the rest with, where there is more.
    next: Option<TeamId>,
}

/// Teams with their coverage, by id.
#[utoipa::path(get, path = "/api/v1/teams", operation_id = "list_teams", params(Teams),
    responses((status = 200, description = "The teams", body = TeamPage)))]
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Teams>,
) -> Result<Json<TeamPage>, Problem> {
    let prefill = shared.prefill()?;
    let (ledger, now) = (&prefill.ledger, prefill.ledger.now().await?);
    let selection = asked.selection()?;
    let (teams, next) = report::select(ledger, &prefill.config, now, &selection).await?;
    Ok(Json(TeamPage { teams, next }))
}

/// A team with its coverage.
#[utoipa::path(get, path = "/api/v1/teams/{team_id}", operation_id = "get_team",
    params(("team_id" = TeamId, Path)),
    responses(
        (status = 200, description = "The team", body = TeamCoverage),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn one(
    State(shared): State<Arc<Shared>>,
    Path(Id(team)): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<TeamCoverage>, Problem> {
    let prefill = shared.prefill()?;
    let (ledger, now) = (&prefill.ledger, prefill.ledger.now().await?);
    Ok(Json(
        report::team(ledger, &prefill.config, now, team).await?,
    ))
}

/// What to change of a team.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamChange {
    /// `web_analytics_pre_aggregated_tables_enabled`: off wants nothing any more and deletes nothing.
    enabled: bool,
}

/// Turns the setting of a team on or off.
#[utoipa::path(patch, path = "/api/v1/teams/{team_id}", operation_id = "change_team",
    params(("team_id" = TeamId, Path)), request_body = TeamChange,
    responses(
        (status = 200, description = "The setting as it is now", body = SettingNow),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn change(
    State(shared): State<Arc<Shared>>,
    Path(Id(team)): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
    Body(change): Body<TeamChange>,
) -> Result<Json<SettingNow>, Problem> {
    let prefill = shared.prefill()?.clone();
    let set = async move {
        request::set_enabled(&prefill.ledger, &prefill.config, team, change.enabled).await
    };
    Ok(Json(shared.to_the_end(set).await?))
}

/// Pauses, resumes, cancels or retries all of a team.
#[utoipa::path(post, path = "/api/v1/teams/{team_id}/{action}", operation_id = "steer_team",
    params(("team_id" = TeamId, Path), ("action" = inline(Action), Path)),
    responses(
        (status = 200, description = "What was done", body = Steered),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is nothing of it to do that with", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn steer(
    State(shared): State<Arc<Shared>>,
    Path((Id(team), action)): Path<(Id, Action)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Steered>, Problem> {
    action.take(&shared, Extent::Team(team)).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Explaining {
    /// Compare the day with its raw events too, which reads them.
    #[param(nullable = false)]
    verify: Option<bool>,
}

/// Why a day of a team is filled, stale, waiting or failed, and what comes next.
#[utoipa::path(get, path = "/api/v1/teams/{team_id}/days/{day}", operation_id = "explain",
    params(("team_id" = TeamId, Path), ("day" = inline(Date), Path), Explaining),
    responses(
        (status = 200, description = "Why", body = Explanation),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No table can hold the day", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn explain(
    State(shared): State<Arc<Shared>>,
    Path((Id(team), day)): Path<(Id, Date)>,
    Query(asked): Query<Explaining>,
) -> Result<Json<Explanation>, Problem> {
    let (prefill, day) = (shared.prefill()?, day.day()?);
    let _place = shared.heavy_place().await?;
    Ok(Json(match asked.verify {
        Some(true) => prefill.explain_verified(team, day).await?,
        _ => prefill.explain(team, day).await?,
    }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DaysOfTeams {
    /// Today and that many days before it, in each team's time zone.
    #[param(minimum = 1, maximum = 100, default = 30, nullable = false)]
    days: Option<i64>,
    /// Part of the name or the organization, in whatever case, or the id.
    #[param(max_length = 200, nullable = false)]
    search: Option<String>,
    /// Whether the setting is on.
    #[param(nullable = false)]
    enabled: Option<bool>,
    #[param(nullable = false, inline)]
    state: Option<StateOfTeam>,
    /// As many teams at most.
    #[param(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<u32>,
    /// Those after this team: the `next` of the answer before.
    #[param(required = false, nullable = false, value_type = TeamId)]
    after: Option<Id>,
}

/// Teams by their id, with their days.
#[derive(Serialize, ToSchema)]
pub struct CoveragePage {
    teams: Vec<TeamDays>,
    /// What `after` lists the rest with, where there is more.
    next: Option<TeamId>,
}

/// Teams by days: how it stands with each day of each team.
#[utoipa::path(get, path = "/api/v1/coverage", operation_id = "coverage", params(DaysOfTeams),
    responses(
        (status = 200, description = "The days", body = CoveragePage),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn coverage(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<DaysOfTeams>,
) -> Result<Json<CoveragePage>, Problem> {
    let days = asked.days.unwrap_or(30);
    if !(1..=MOST_DAYS_OF_MANY).contains(&days) {
        return Err(malformed(format!(
            "days {days} is out of range: 1 to {MOST_DAYS_OF_MANY}"
        )));
    }
    let selection = Teams {
        search: asked.search,
        enabled: asked.enabled,
        state: asked.state,
        limit: asked.limit,
        after: asked.after,
    }
    .selection()?;
    let prefill = shared.prefill()?;
    let _place = shared.heavy_place().await?;
    let (ledger, now) = (&prefill.ledger, prefill.ledger.now().await?);
    let (teams, next) = report::select(ledger, &prefill.config, now, &selection).await?;
    let teams = teams.into_iter().map(|team| team.team).collect();
    let teams = report::days(ledger, teams, days, now).await?;
    Ok(Json(CoveragePage { teams, next }))
}
