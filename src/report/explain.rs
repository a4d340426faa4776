//! Why a day of a team is as it is, what comes next, and the command where a person has to do something.
//!
//! The facts are gathered first (ledger, teams table, and the warehouse where it has something to say);
//! what they mean is decided by a plain function. A warehouse that does not answer costs its part of the
//! answer and no more.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::DayVerdict;
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::error::{Error, Result};
use crate::ledger::{Detail, Extent, Reason, Receipt, RunOfSlice, State, Team};
use crate::reconcile;
use crate::request::Target;
use crate::schema::Store;
use crate::service::Prefill;
use crate::verify;
use crate::warehouse;

/// How long a warehouse has to say something about a day.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// The most runs of a day that are told.
const MOST_RUNS: u32 = 100;

/// How it stands with a day of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Situation {
    Filled,
    /// Filled, and to be filled again.
    Stale,
    /// Wanted, and claimed as soon as a worker is free.
    Queued,
    /// A try failed, and the time of the next one has not come.
    Retrying,
    /// There are no events, and the source is not known to be complete.
    Waiting,
    Running,
    Failed,
    /// Somebody paused it, its team or everything.
    Paused,
    /// Its team has the setting off.
    Held,
    /// The runs that asked for it were cancelled.
    Cancelled,
    /// Its rows were deleted on request.
    Cleaned,
    /// Wanted, and not planned yet.
    Unplanned,
    NotWanted,
    /// The team's time zone has no such day.
    NotThere,
    /// Nobody can tell what the team wants, or where.
    Misconfigured,
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Filled => "filled",
            Self::Stale => "stale",
            Self::Queued => "queued",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
            Self::Cleaned => "cleaned",
            Self::Unplanned => "not planned yet",
            Self::NotWanted => "not wanted",
            Self::NotThere => "not there",
            Self::Misconfigured => "misconfigured",
        })
    }
}

/// Why a day is as it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    pub team_id: TeamId,
    pub team_name: String,
    pub day: Day,
    pub timezone: String,
    /// When the day begins and ends; nothing where the zone has no such day, or is unknown.
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub warehouse: Option<String>,
    pub situation: Situation,
    /// Why, in a sentence or two.
    pub why: String,
    /// What is done next, and by whom.
    pub next: String,
    /// What to run, where a person has to do something.
    pub command: Option<String>,
    /// What the ledger calls it; nothing of a day that it does not have.
    pub state: Option<State>,
    /// Why it is wanted, or was made stale.
    pub reason: Option<String>,
    /// Since when it is wanted, or stale.
    pub wanted_since: Option<Timestamp>,
    /// When it was claimed last.
    pub claimed_at: Option<Timestamp>,
    /// Tries that failed since it was filled or asked for; the one under way included.
    pub tries: i64,
    /// So many of them are made.
    pub most_tries: u32,
    pub next_try: Option<Timestamp>,
    /// Of the last try, with its hint.
    pub error: Option<String>,
    /// What kind of error it is: `later`, `narrower`, `operator`, …; nothing where nobody knows.
    pub error_class: Option<String>,
    pub running: Option<Running>,
    /// Of the fill that the tables hold.
    pub receipt: Option<FilledDay>,
    /// What the tables hold, where that was asked.
    pub in_tables: Option<InTables>,
    /// The day against its raw events, where that was asked for.
    pub verdict: Option<DayVerdict>,
    /// What keeps it from being filled.
    pub stops: Vec<Stop>,
    /// The latest tasks that it belongs to, the newest first.
    pub tasks: Vec<TaskOfDay>,
    /// Why the warehouse could not be asked.
    pub warehouse_error: Option<String>,
}

/// Who fills a day right now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Running {
    pub claim: String,
    /// Host and process first.
    pub owner: String,
    pub since: Option<Timestamp>,
    pub lease_until: Option<Timestamp>,
    pub lease_is_over: bool,
    /// It was told to stop.
    pub is_to_stop: bool,
    /// How many days of teams are filled together, this one included.
    pub together: i64,
    /// What the warehouse says of the statements under way, of all of them together.
    pub statements: Option<warehouse::Progress>,
}

/// The receipt of a fill.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FilledDay {
    pub filled_at: Timestamp,
    /// Events that had reached the warehouse by then are in it.
    pub as_of: Option<Timestamp>,
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// What the tables hold of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InTables {
    pub stats_page_views: i64,
    pub bounces_page_views: i64,
    pub sessions: i64,
    /// Whether that is what the receipt says.
    pub as_verified: bool,
}

/// What keeps a day from being filled, and how to end that.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Stop {
    /// `everything is paused`, `team 7 is paused`, `task … is paused`, `the setting is off`.
    pub what: String,
    pub since: Option<Timestamp>,
    pub command: String,
}

/// A task that a day belongs to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskOfDay {
    pub task_id: Uuid,
    pub reason: String,
    pub requested_at: Timestamp,
    pub paused_at: Option<Timestamp>,
    pub cancelled_at: Option<Timestamp>,
    /// Whether the day was filled for it.
    pub is_done: bool,
}

/// What is known before the warehouse is asked.
struct Facts {
    team: Team,
    day: Day,
    /// The zone of the team, or what is wrong with the team.
    zone: std::result::Result<Zone, Error>,
    /// The days that the team wants by itself.
    window: Option<Days>,
    /// Whether the warehouse of the slice is configured.
    is_placed: bool,
    today: Option<Day>,
    detail: Option<Detail>,
    runs: Vec<RunOfSlice>,
    pauses: Vec<(Extent, Timestamp)>,
    now: Timestamp,
    most_tries: u32,
    reconcile_every: Duration,
}

/// What the facts mean.
struct Meaning {
    situation: Situation,
    why: String,
    next: String,
    command: Option<String>,
}

impl Prefill {
    /// Why a day of a team is as it is.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such team; when the ledger fails. A warehouse
    /// that does not answer is no error.
    pub async fn explain(&self, team: TeamId, day: Day) -> Result<Explanation> {
        let facts = self.facts(team, day).await?;
        let mut told = facts.told();
        self.ask_warehouse(&facts, &mut told).await;
        Ok(told)
    }

    /// As [`Prefill::explain`], with the day compared with its raw events, which reads them.
    ///
    /// # Errors
    ///
    /// As [`Prefill::explain`], and when the warehouse fails.
    pub async fn explain_verified(&self, team: TeamId, day: Day) -> Result<Explanation> {
        let facts = self.facts(team, day).await?;
        let mut told = facts.told();
        self.ask_warehouse(&facts, &mut told).await;
        let (Ok(zone), Some(_)) = (facts.zone, told.from) else {
            return Ok(told);
        };
        let target = Target {
            team: facts.team,
            zone,
            days: Days::new(day, day.plus(1))?,
            days_of_zone: 1,
            backfill_days: 1,
        };
        let validation = self.validate(&target).await?;
        told.verdict = validation.days.into_iter().next();
        let is_told = told.in_tables.is_some_and(|holds| !holds.as_verified);
        if told.situation == Situation::Filled
            && !is_told
            && told.verdict.as_ref().is_some_and(|verdict| !verdict.clean)
        {
            told.differs();
        }
        Ok(told)
    }

    async fn facts(&self, team: TeamId, day: Day) -> Result<Facts> {
        let (ledger, config) = (&self.ledger, &self.config);
        let (team, detail, runs, pauses, now) = tokio::try_join!(
            ledger.team(team),
            ledger.detail(team, day),
            ledger.runs_of_slice(team, day, MOST_RUNS),
            ledger.pauses_of(team),
            ledger.now(),
        )?;
        let desire = reconcile::desire(&team, config, team.enabled_at.unwrap_or(now));
        let window = desire.as_ref().ok().map(|desire| desire.window(now));
        let zone = desire.map(|desire| desire.zone);
        let placed = |detail: &Detail| config.warehouses.contains_key(&detail.slice.warehouse);
        Ok(Facts {
            today: zone.as_ref().ok().map(|zone| Day::of(now, zone)),
            is_placed: detail.as_ref().is_none_or(placed),
            team,
            day,
            zone,
            window,
            detail,
            runs,
            pauses,
            now,
            most_tries: config.service.attempts,
            reconcile_every: config.service.reconcile_every(),
        })
    }

    /// Asks the warehouse where it has something to say: of statements under way, and of what was filled.
    async fn ask_warehouse(&self, facts: &Facts, told: &mut Explanation) {
        let Some(detail) = &facts.detail else {
            return;
        };
        let slice = &detail.slice;
        let asks = slice.comment.is_some() || (slice.has_data() && slice.state != State::Cleaned);
        if !asks {
            return;
        }
        let asked = tokio::time::timeout(ANSWERS_WITHIN, async {
            let store = self.store(&slice.warehouse).await?;
            match &slice.comment {
                Some(comment) => {
                    let progress = store.warehouse.progress(comment).await?;
                    if let Some(running) = &mut told.running {
                        running.statements = Some(progress);
                    }
                }
                None => told.in_tables = in_tables(store, facts.team.id, detail).await?,
            }
            Ok::<(), Error>(())
        });
        match asked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => told.warehouse_error = Some(error.chain()),
            Err(_) => {
                let seconds = ANSWERS_WITHIN.as_secs();
                told.warehouse_error = Some(format!("it did not answer within {seconds} s"));
            }
        }
        if told.situation == Situation::Filled
            && told.in_tables.is_some_and(|holds| !holds.as_verified)
        {
            told.differs();
        }
    }
}

async fn in_tables(store: &Store, team: TeamId, detail: &Detail) -> Result<Option<InTables>> {
    let Some(receipt) = &detail.slice.receipt else {
        return Ok(None);
    };
    let bucket = detail.slice.bucket.as_second();
    let (warehouse, tables) = (&store.warehouse, &store.tables);
    let totals = verify::totals(warehouse, tables, &[team], bucket..bucket + 1).await?;
    let totals = totals.get(&(team, bucket)).copied().unwrap_or_default();
    Ok(Some(InTables {
        stats_page_views: totals.stats_page_views,
        bounces_page_views: totals.bounces_page_views,
        sessions: totals.sessions,
        as_verified: totals.are_of(receipt),
    }))
}

impl Explanation {
    /// What was filled is not what the tables hold, or not what the raw events say.
    fn differs(&mut self) {
        let (what, next) = if self.in_tables.is_some_and(|holds| !holds.as_verified) {
            (
                "the tables do not hold what was verified any more: somebody changed them",
                "prefill serve notices that and fills the day again",
            )
        } else {
            (
                "the tables differ from the raw events",
                "prefill serve fills the day again if events came since; if not, nobody does",
            )
        };
        self.why = format!("{}, but {what}", self.why);
        self.next = match self.stops.is_empty() {
            true => next.to_owned(),
            false => format!("nothing before that ends; then {next}"),
        };
        let force = format!("{} --force", backfill(self.team_id, self.day));
        self.command = Some(after(&self.stops, &force));
    }
}

fn backfill(team: TeamId, day: Day) -> String {
    format!(
        "prefill backfill --team-id {team} --date-start {day} --date-end {}",
        day.plus(1)
    )
}

/// A command, after those that end what is in its way.
fn after(stops: &[Stop], command: &str) -> String {
    let mut commands = ends_of(stops);
    commands.push(command);
    commands.join(" && ")
}

/// The commands that end what keeps a day: a wider resume ends the narrower pauses, too.
fn ends_of(stops: &[Stop]) -> Vec<&str> {
    let commands = || stops.iter().map(|stop| stop.command.as_str());
    let resumes = |wide: &str| commands().find(|command| command.starts_with(wide));
    let widest = resumes("prefill resume --all").or(resumes("prefill resume --team-id"));
    let is_of = |command: &str| match widest {
        Some(widest) => command == widest || !command.starts_with("prefill resume"),
        None => true,
    };
    commands().filter(|command| is_of(command)).collect()
}

impl Facts {
    fn told(&self) -> Explanation {
        let Meaning {
            situation,
            why,
            next,
            command,
        } = self.meaning();
        let slice = self.detail.as_ref().map(|detail| &detail.slice);
        let of_zone = |zone: &Zone| zone.bounds(self.day);
        let bounds = match slice {
            Some(slice) => Some((slice.bucket, slice.until)),
            None => {
                let bounds = self.zone.as_ref().ok().and_then(of_zone);
                bounds.map(|bounds| (bounds.from, bounds.until))
            }
        };
        let filled = slice.and_then(|slice| {
            Some(FilledDay {
                filled_at: slice.filled_at?,
                as_of: Timestamp::from_microsecond(slice.receipt?.as_of_us).ok(),
                receipt: slice.receipt?,
            })
        });
        let open = matches!(
            slice.map(|slice| slice.state),
            Some(State::Wanted | State::Stale)
        );
        Explanation {
            team_id: self.team.id,
            team_name: self.team.name.clone(),
            day: self.day,
            timezone: slice
                .map_or(&self.team.timezone, |slice| &slice.timezone)
                .clone(),
            from: bounds.map(|(from, _)| from),
            until: bounds.map(|(_, until)| until),
            warehouse: slice.map(|slice| slice.warehouse.clone()),
            situation,
            why,
            next,
            command,
            state: slice.map(|slice| slice.state),
            reason: slice.map(|slice| slice.reason.clone()),
            wanted_since: self
                .detail
                .as_ref()
                .filter(|_| open)
                .and_then(|detail| detail.wanted_at),
            claimed_at: self.detail.as_ref().and_then(|detail| detail.claimed_at),
            tries: slice.map_or(0, |slice| slice.attempts),
            most_tries: self.most_tries,
            next_try: slice
                .filter(|slice| open && slice.not_before > self.now)
                .map(|slice| slice.not_before),
            // That a day waits for events is told as such.
            error: slice
                .filter(|slice| !slice.waiting_for_events)
                .and_then(|slice| slice.error.clone()),
            error_class: slice.and_then(|slice| slice.error_class.clone()),
            running: self.running(),
            receipt: filled,
            in_tables: None,
            verdict: None,
            stops: self.stops(),
            tasks: self.runs.iter().map(task).collect(),
            warehouse_error: None,
        }
    }

    fn running(&self) -> Option<Running> {
        let detail = self.detail.as_ref()?;
        let holding = detail.holding.as_ref()?;
        Some(Running {
            claim: holding.claim.clone(),
            owner: holding.owner.clone(),
            since: detail.claimed_at,
            lease_until: holding.lease_until,
            lease_is_over: holding.lease_is_over,
            is_to_stop: holding.is_to_stop,
            together: holding.slices,
            statements: None,
        })
    }

    /// What keeps the day, the strongest first: all of it has to end.
    fn stops(&self) -> Vec<Stop> {
        let mut stops = Vec::new();
        if !self.team.enabled {
            stops.push(Stop {
                what: "the setting is off".to_owned(),
                since: None,
                command: format!("prefill enable --team-id {}", self.team.id),
            });
        }
        for (pause, since) in &self.pauses {
            stops.push(Stop {
                what: format!("{} is paused", pause.name()),
                since: Some(*since),
                command: format!("prefill resume {pause}"),
            });
        }
        for RunOfSlice { run, is_done } in &self.runs {
            if !is_done && let Some(since) = run.paused_at {
                let task = Extent::Task(run.id);
                stops.push(Stop {
                    what: format!("{} is paused", task.name()),
                    since: Some(since),
                    command: format!("prefill resume {task}"),
                });
            }
        }
        stops
    }

    fn meaning(&self) -> Meaning {
        match &self.detail {
            Some(detail) => self.of_slice(detail),
            None => self.of_no_slice(),
        }
    }

    /// Of a day that the ledger has.
    fn of_slice(&self, detail: &Detail) -> Meaning {
        let slice = &detail.slice;
        match slice.state {
            State::Running => running(detail),
            State::Filled => self.filled(),
            State::Cleaned => Meaning {
                situation: Situation::Cleaned,
                why: "its rows were deleted on request".to_owned(),
                next: "nothing: it is filled again when somebody asks for it, or turns the setting on with it among the team's days".to_owned(),
                command: Some(self.ask_for_it()),
            },
            State::Failed if self.is_held(detail) && slice.reason == Reason::Cleanup.text() => {
                self.half_cleaned(detail)
            }
            State::Failed => {
                let tries = slice.attempts;
                let spent = tries >= i64::from(self.most_tries);
                Meaning {
                    situation: Situation::Failed,
                    why: if spent {
                        format!("all {tries} tries failed{}", readers(detail))
                    } else {
                        format!("no retry mends the error{}", readers(detail))
                    },
                    next: "nothing by itself: once the error's cause is mended, somebody has to ask for the day".to_owned(),
                    command: Some(self.ask_for_it()),
                }
            }
            State::Wanted | State::Stale => self.open(detail),
        }
    }

    fn filled(&self) -> Meaning {
        let stops = self.stops();
        let is_today = self.today == Some(self.day);
        let why = match stops.first() {
            Some(stop) => format!(
                "it is filled and verified, and not kept fresh: {}",
                stop.what
            ),
            None => "it is filled and verified".to_owned(),
        };
        let next = match (stops.is_empty(), is_today) {
            (false, _) => "nothing before that ends".to_owned(),
            (true, true) => {
                "prefill serve fills it again as its events come: the day is not over".to_owned()
            }
            (true, false) => {
                "nothing, unless late events come: then prefill serve fills it again".to_owned()
            }
        };
        Meaning {
            situation: Situation::Filled,
            why,
            next,
            command: None,
        }
    }

    /// Of a day that is wanted, or stale.
    fn open(&self, detail: &Detail) -> Meaning {
        let slice = &detail.slice;
        let stops = self.stops();
        let held = self.is_held(detail);
        if held && slice.reason == Reason::Cleanup.text() {
            return self.half_cleaned(detail);
        }
        if held || !stops.is_empty() {
            let what: Vec<&str> = stops.iter().map(|stop| stop.what.as_str()).collect();
            let commands = ends_of(&stops);
            return Meaning {
                situation: if held {
                    Situation::Held
                } else {
                    Situation::Paused
                },
                why: match what.is_empty() {
                    // The setting was turned on, and nobody has looked since.
                    true => "the setting was off when somebody last looked at the team".to_owned(),
                    false => format!("{}{}", what.join(", and "), readers(detail)),
                },
                next: match what.is_empty() {
                    true => self.planned_by(),
                    false => "nothing before somebody ends that".to_owned(),
                },
                command: (!commands.is_empty()).then(|| commands.join(" && ")),
            };
        }
        if !self.is_placed {
            return Meaning {
                situation: Situation::Misconfigured,
                why: format!(
                    "it is to be filled on the warehouse {:?}, which is not configured",
                    slice.warehouse
                ),
                next:
                    "nothing before the warehouse is configured, or the team is given another one"
                        .to_owned(),
                command: Some(format!(
                    "prefill team set --team-id {} --warehouse NAME",
                    self.team.id
                )),
            };
        }
        if detail.is_cancelled {
            let cancelled = self
                .runs
                .iter()
                .find(|of| !of.is_done && of.run.cancelled_at.is_some());
            return Meaning {
                situation: Situation::Cancelled,
                why: "the tasks that asked for it were cancelled before it was filled".to_owned(),
                next: "nothing before one of them is resumed, or somebody asks for the day"
                    .to_owned(),
                command: Some(match cancelled {
                    Some(of) => format!("prefill resume {}", of.run.id),
                    None => self.ask_for_it(),
                }),
            };
        }
        if slice.waiting_for_events {
            return Meaning {
                situation: Situation::Waiting,
                why: "it has no events, and the source is not known to be complete for it: some may still come".to_owned(),
                next: "prefill serve fills it when events come, or with no rows once an event of a later instant or events 24 hours after the day prove that there are none".to_owned(),
                command: None,
            };
        }
        let when = if slice.not_before > self.now {
            format!("prefill serve tries it again at {}", slice.not_before)
        } else if detail.partition_is_cleared {
            "prefill serve claims it when the deletion of rows of its partition is over".to_owned()
        } else if detail.partition_is_busy {
            "prefill serve claims it when the claim that fills days of the same partition is over"
                .to_owned()
        } else {
            format!(
                "prefill serve claims it when a worker is free; where none runs, {} fills it",
                self.ask_for_it()
            )
        };
        let situation = if slice.error.is_some() && slice.not_before > self.now {
            Situation::Retrying
        } else if slice.state == State::Stale {
            Situation::Stale
        } else {
            Situation::Queued
        };
        let why = match (situation, slice.attempts) {
            // An error that is no matter of the day costs no try.
            (Situation::Retrying, 0) => "the last try could not be made".to_owned(),
            (Situation::Retrying, tries) => {
                format!("try {tries} of {} failed", self.most_tries)
            }
            (Situation::Stale, _) => {
                format!("it was filled, and is to be filled again: {}", slice.reason)
            }
            _ => format!("it is wanted, and not filled yet: {}", slice.reason),
        };
        Meaning {
            situation,
            why: format!("{why}{}", readers(detail)),
            next: when,
            command: None,
        }
    }

    fn is_held(&self, detail: &Detail) -> bool {
        !self.team.enabled || detail.held
    }

    /// Of a day whose rows are being deleted, or were to be.
    fn half_cleaned(&self, detail: &Detail) -> Meaning {
        if detail.partition_is_cleared {
            return Meaning {
                situation: Situation::Held,
                why: "its rows are being deleted".to_owned(),
                next: "it has no rows when the cleanup is over".to_owned(),
                command: None,
            };
        }
        let (team, day) = (self.team.id, self.day);
        Meaning {
            situation: Situation::Held,
            why: "a cleanup of it did not end: readers see the rows that it has left".to_owned(),
            next: "nothing before somebody runs the cleanup again, or turns the setting on: then the day is filled".to_owned(),
            command: Some(format!("prefill cleanup --team-id {team} --date-start {day} --date-end {}", day.plus(1))),
        }
    }

    /// Of a day that the ledger does not have.
    fn of_no_slice(&self) -> Meaning {
        let zone = match &self.zone {
            Ok(zone) => zone,
            Err(error) => {
                return Meaning {
                    situation: Situation::Misconfigured,
                    why: format!("nobody can tell what the team wants: {}", error.chain()),
                    next: error.next_step().map_or_else(
                        || "nothing before that is mended".to_owned(),
                        |hint| format!("nothing before that is mended: {hint}"),
                    ),
                    command: None,
                };
            }
        };
        if zone.bounds(self.day).is_none() {
            return Meaning {
                situation: Situation::NotThere,
                why: format!("the zone {zone} has no such day: its clocks were set past it"),
                next: "nothing: there is nothing to fill".to_owned(),
                command: None,
            };
        }
        let not_wanted = |why: String, next: String, command: Option<String>| Meaning {
            situation: Situation::NotWanted,
            why,
            next,
            command,
        };
        if self.today.is_some_and(|today| self.day > today) {
            return not_wanted(
                "the day has not begun".to_owned(),
                "it is planned when it begins, if the setting is on then".to_owned(),
                None,
            );
        }
        if !self.team.enabled {
            return not_wanted(
                "the setting is off, and nobody asked for the day".to_owned(),
                "nothing before somebody turns the setting on".to_owned(),
                Some(match self.window {
                    // What is wanted then is counted from the day on which it is turned on.
                    Some(_) if self.today == Some(self.day) => {
                        format!("prefill enable --team-id {}", self.team.id)
                    }
                    _ => self.ask_for_it(),
                }),
            );
        }
        match self.window {
            Some(window) if !window.contains(self.day) => not_wanted(
                format!(
                    "the team wants the days from {} on, and nobody asked for this one",
                    window.from
                ),
                "nothing before somebody asks for it".to_owned(),
                Some(self.ask_for_it()),
            ),
            _ => Meaning {
                situation: Situation::Unplanned,
                why: "the team wants it, and nobody has planned it yet".to_owned(),
                next: self.planned_by(),
                command: None,
            },
        }
    }

    fn planned_by(&self) -> String {
        format!(
            "prefill serve looks at the team within {} s; where none runs, {} fills it",
            self.reconcile_every.as_secs().max(1),
            self.ask_for_it()
        )
    }

    /// What asks for the day, from where the team stands.
    fn ask_for_it(&self) -> String {
        after(&self.stops(), &backfill(self.team.id, self.day))
    }
}

fn running(detail: &Detail) -> Meaning {
    let holding = detail.holding.as_ref();
    let owner = holding.map_or("", |holding| holding.owner.as_str());
    let (why, next) = match holding {
        Some(holding) if holding.is_to_stop => (
            "it was being filled, and its worker was told to stop",
            "the worker stops its statements, undoes its half and gives the day back",
        ),
        Some(holding) if holding.lease_is_over => (
            "it was being filled, and its worker gives no sign of life",
            "another worker on the warehouse kills its statements and puts the day back into the queue",
        ),
        _ if detail.again => (
            "it is being filled, and was asked for again meanwhile",
            "it is verified and recorded, and then filled once more",
        ),
        _ => (
            "it is being filled",
            "it is verified against the raw events and recorded",
        ),
    };
    Meaning {
        situation: Situation::Running,
        why: format!("{why}: {}{}", process(owner), readers(detail)),
        next: next.to_owned(),
        command: None,
    }
}

/// Host and number of a worker's process, without what tells processes of the same number apart.
pub fn process(owner: &str) -> String {
    let parts: Vec<&str> = owner.rsplitn(4, ':').collect();
    match parts[..] {
        [_, _, number, host] => format!("process {number} on {host}"),
        _ => format!("worker {owner}"),
    }
}

/// What readers of the tables have meanwhile.
fn readers(detail: &Detail) -> &'static str {
    if !detail.slice.has_data() {
        ""
    } else if detail.slice.reason == Reason::RowsChanged.text() {
        "; readers see other rows than were verified meanwhile: somebody changed them"
    } else if detail.slice.reason == Reason::Cleanup.text() {
        "; readers see what a cleanup that did not end has left of it meanwhile"
    } else {
        "; readers see the rows of the last fill meanwhile"
    }
}

fn task(of: &RunOfSlice) -> TaskOfDay {
    let run = &of.run;
    TaskOfDay {
        task_id: run.id,
        reason: run.reason.clone(),
        requested_at: run.requested_at,
        paused_at: run.paused_at,
        cancelled_at: run.cancelled_at,
        is_done: of.is_done,
    }
}
