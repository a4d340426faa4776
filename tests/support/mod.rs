//! What the stories share: an installation in a directory of its own, with a real engine.

#![allow(dead_code)] // each story uses its part

pub mod ledger;
pub mod midnight;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use prefill::calendar::{Day, Days, TeamId, Zone};
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::event::{Event, PAGEVIEW};
use prefill::freshness;
use prefill::ledger::{NewTeam, TeamChange};
use prefill::load::Load;
use prefill::request::{self, Asked, Target};
use prefill::schema::Store;
use prefill::service::{Place, Prefill};
use prefill::worker::Worker;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_prefill"))
}

/// One installation, gone at the end.
pub struct World {
    pub prefill: Prefill,
    pub store: Store,
    pub dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::made(config, tempfile::tempdir().expect("a directory")).await
    }

    /// With the tables of the source made too: tables like PostHog's, where it is PostHog's.
    pub async fn with_source(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let warehouse = &config.warehouses[DEFAULT_WAREHOUSE];
        Store::prepared(DEFAULT_WAREHOUSE, warehouse, &place(&dir), true)
            .await
            .expect("made");
        Self::made(config, dir).await
    }

    /// On Postgres, whatever the other stories of this run are on.
    pub async fn on_postgres(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        ledger::in_postgres(dir.path());
        Self::made(config, dir).await
    }

    async fn made(mut config: Config, dir: TempDir) -> Self {
        midnight::clear_of_midnight();
        // A failed try is tried again soon: the tests wait for it.
        config.service.backoff_ms = config.service.backoff_ms.min(50);
        config.ledger.url = config
            .ledger
            .url
            .or(ledger::url(dir.path()).map(Into::into));
        let prefill = Prefill::open(&place(&dir), config)
            .await
            .expect("an installation");
        let store = prefill.store(DEFAULT_WAREHOUSE).await;
        let store = store.expect("a warehouse").clone();
        Self {
            prefill,
            store,
            dir,
        }
    }

    /// The same installation, as another process would open it.
    pub async fn again(&self) -> Prefill {
        Prefill::open(&place(&self.dir), self.prefill.config.clone())
            .await
            .expect("the installation")
    }

    /// The same installation, configured otherwise.
    pub async fn reopened(self, config: Config) -> Self {
        let prefill = Prefill::open(&place(&self.dir), config).await;
        let prefill = prefill.expect("the installation");
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("it fits");
        Self {
            store: store.clone(),
            prefill,
            dir: self.dir,
        }
    }

    /// Adds a team with the setting off.
    pub async fn team(&self, id: i64, zone: &str) -> TeamId {
        let team = NewTeam {
            id: TeamId(id),
            name: format!("Team {id}"),
            organization: "Org".to_owned(),
            zone: Zone::get(zone).expect("a zone"),
            backfill_days: None,
            warehouse: None,
        };
        self.prefill.ledger.add_team(&team).await.expect("added");
        team.id
    }

    /// Moves a team to another zone, as `prefill team set` does.
    pub async fn move_to(&self, team: TeamId, zone: &str) {
        let change = TeamChange {
            zone: Some(Zone::get(zone).expect("a zone")),
            ..TeamChange::default()
        };
        let moved = self.prefill.ledger.set_team(team, &change).await;
        moved.expect("moved");
        self.prefill.reconcile(team).await.expect("reconciled");
    }

    /// Turns the setting on, as `prefill enable` does.
    pub async fn enable(&self, team: TeamId) {
        self.prefill
            .ledger
            .set_enabled(team, true)
            .await
            .expect("enabled");
        self.prefill.reconcile(team).await.expect("reconciled");
    }

    /// Brings events into the source.
    pub async fn insert(&self, events: &[Event]) -> u64 {
        let mut load = Load::begin(&self.prefill, || ()).await.expect("begun");
        for event in events {
            load.add(event).await.expect("added");
        }
        load.end().await.expect("loaded").added
    }

    /// Looks for days that events reached since they were filled; how many there are.
    pub async fn look_for_late_events(&self) -> usize {
        freshness::look(&self.prefill.ledger, &self.store)
            .await
            .expect("looked")
    }

    /// A worker that takes whatever is open.
    pub fn worker(&self) -> Worker {
        self.prefill.worker(&self.store, None)
    }

    /// The days `[from, until)` of a team.
    pub async fn target(&self, team: TeamId, from: &str, until: &str) -> Target {
        let asked = Asked {
            days: None,
            date_start: Some(from.parse().expect("a date")),
            date_end: Some(until.parse().expect("a date")),
        };
        request::target(
            &self.prefill.ledger,
            &self.prefill.config,
            team,
            asked,
            Timestamp::now(),
        )
        .await
        .expect("a target")
    }

    /// Fills `[from, until)` of a team to the end; the run's status.
    pub async fn fill(&self, team: TeamId, from: &str, until: &str, force: bool) -> &'static str {
        let target = self.target(team, from, until).await;
        let run = self.prefill.backfill(&target, force).await.expect("asked");
        let stop = CancellationToken::new();
        tokio::time::timeout(Duration::from_secs(120), self.prefill.finish(run, &stop))
            .await
            .expect("done in time")
            .expect("finished");
        self.prefill
            .ledger
            .progress(run)
            .await
            .expect("progress")
            .status()
    }

    /// Which days have been filled at once, the newest first: those that hold what had come by one instant.
    pub async fn filled_together(&self, team: TeamId) -> Vec<Vec<String>> {
        let slices = self.prefill.ledger.slices(team).await.expect("slices");
        let mut found: Vec<(i64, Vec<String>)> = Vec::new();
        for (day, slice) in slices.iter().rev() {
            let Some(receipt) = &slice.receipt else {
                continue;
            };
            match found.last_mut() {
                Some((as_of, days)) if *as_of == receipt.as_of_us => days.push(day.to_string()),
                _ => found.push((receipt.as_of_us, vec![day.to_string()])),
            }
        }
        found.into_iter().map(|(_, days)| days).collect()
    }

    /// Whether every day of `[from, until)` equals the raw events; the differences otherwise.
    pub async fn differences(&self, team: TeamId, from: &str, until: &str) -> Vec<String> {
        let target = self.target(team, from, until).await;
        let validation = self.prefill.validate(&target).await.expect("validated");
        validation
            .days
            .iter()
            .filter(|day| !day.clean)
            .map(|day| format!("{}: {}", day.day, day.verdict.describe()))
            .collect()
    }

    /// A statement's answer as tab-separated values.
    pub async fn query(&self, sql: &str) -> String {
        let answer = self
            .store
            .warehouse
            .statement(sql, "test")
            .bytes("TSV", "ask")
            .await
            .expect("an answer");
        String::from_utf8(answer)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// Everything that readers can see of both tables, merged and in order: equal when the tables are.
    pub async fn tables(&self) -> String {
        let mut text = String::new();
        for (table, measures) in [
            (prefill::rollup::STATS, ""),
            (
                prefill::rollup::BOUNCES,
                ", sumMerge(bounces_count_state), sumMerge(total_session_duration_state), sumMerge(total_session_count_state)",
            ),
        ] {
            text += &self
                .query(&format!(
                    "select * except (persons_uniq_state, sessions_uniq_state, pageviews_count_state{}), \
                     uniqMerge(persons_uniq_state), uniqMerge(sessions_uniq_state), sumMerge(pageviews_count_state){measures} \
                     from {table} group by all order by all",
                    if measures.is_empty() {
                        ""
                    } else {
                        ", bounces_count_state, total_session_duration_state, total_session_count_state"
                    }
                ))
                .await;
            text += "\n--\n";
        }
        text
    }

    /// Runs the program on this installation.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program ran")
    }

    /// The program on this installation, about to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(arguments)
            .env_remove("WEB_ANALYTICS_BACKFILL_DAYS")
            .stdin(Stdio::null());
        ledger::name_ledger(&mut command, self.dir.path());
        command
    }
}

fn place(dir: &TempDir) -> Place {
    Place {
        data_dir: dir.path().to_path_buf(),
        program: Some(program()),
    }
}

/// An instant.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// A range of days.
pub fn days(from: &str, until: &str) -> Days {
    let day = |text: &str| text.parse::<Day>().expect("a date");
    Days::new(day(from), day(until)).expect("a range")
}

/// A page view, told by what matters; the rest follows from it.
pub fn page_view(team: TeamId, person: u128, session: &str, when: &str, path: &str) -> Event {
    let timestamp = at(when).as_microsecond();
    Event {
        uuid: Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            format!("{team}{person}{session}{when}{path}").as_bytes(),
        ),
        event: PAGEVIEW.to_owned(),
        team_id: team.0,
        distinct_id: person.to_string(),
        person_id: Uuid::from_u128(person),
        session_id: session.to_owned(),
        timestamp,
        host: "acme.test".to_owned(),
        pathname: path.to_owned(),
        current_url: format!("https://acme.test{path}"),
        device_type: "Desktop".to_owned(),
        browser: "Firefox".to_owned(),
        os: "Linux".to_owned(),
        viewport_width: 1280,
        viewport_height: 720,
        referring_domain: "$direct".to_owned(),
        country_code: "IN".to_owned(),
        ..Event::default()
    }
}

/// Looks again until something is there, up to a limit.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {limit:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
