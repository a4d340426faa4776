//! How quick the ledger is, on SQLite and on Postgres: `make bench-ledger`.
//!
//! Prints how long it takes from the commit of a change of the setting to the first claim, how long it
//! takes to plan 10,000 teams that one statement turned on, how many claims there are in a second, and how
//! long reports of many teams take. But for the reports no warehouse is involved: what is claimed is
//! recorded at once. `cargo bench --bench ledger -- plan` does that part only; the others are `claims`,
//! `reports` and `latency`. PREFILL_BENCH_TEAMS and PREFILL_BENCH_DAYS say of how many teams with how many
//! days each the reports are; 1,000 with 60 unless they are set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prefill::calendar::{Day, Days, TeamId, Zone};
use prefill::config::{Config, DEFAULT_WAREHOUSE, Teams};
use prefill::ledger::{Ledger, NewTeam, Reason, Receipt, Request};
use prefill::scrape::Scraper;
use prefill::service::{Place, Prefill};
use prefill::{reconcile, report, rollup};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{Notify, mpsc};

#[path = "../tests/support/ledger.rs"]
mod support;

const LEASE: Duration = Duration::from_secs(60);
const CHANGES: usize = 2_000;
const TEAMS: i64 = 10_000;

/// Somebody else's connection to the database of the ledger.
enum Application {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Application {
    async fn run(&mut self, sql: String) {
        let run = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite(connection) => drop(run.execute(connection).await.expect("done")),
            Self::Postgres(connection) => drop(run.execute(connection).await.expect("done")),
        }
    }
}

struct Bench {
    name: &'static str,
    config: Config,
    ledger: Ledger,
    application: Application,
    dir: tempfile::TempDir,
}

/// All teams ask for their days since then, which are not filled any more.
fn ask_again(since: Day) -> String {
    format!(
        "update slices set state = 'wanted', filled_at = null where day >= '{since}'; \
         insert into runs (id, team_id, date_start, date_end, reason, requested_at) \
         select 'run ' || id, id, '{since}', '9999-12-31', 'window', 1 from teams; \
         insert into run_slices (run_id, team_id, day, after_fence) \
         select 'run ' || team_id, team_id, day, 0 from slices where day >= '{since}'"
    )
}

impl Bench {
    async fn new(name: &'static str, postgres: bool, teams: Option<Teams>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        let application = if postgres {
            let url = support::new_database();
            config.ledger.url = Some(url.clone().into());
            let options: PgConnectOptions = url.parse().expect("an address");
            Application::Postgres(options.connect().await.expect("connected"))
        } else {
            drop(Ledger::open(dir.path(), &config).await.expect("made"));
            let options = SqliteConnectOptions::new()
                .filename(Ledger::file(dir.path()))
                .busy_timeout(Duration::from_secs(10));
            Application::Sqlite(options.connect().await.expect("connected"))
        };
        let mut bench = Self {
            name,
            ledger: Ledger::open(dir.path(), &config).await.expect("opened"),
            config,
            application,
            dir,
        };
        if let Some(teams) = teams {
            bench
                .application
                .run(
                    "create table posthog_team (id integer primary key, name text not null, timezone text not null, \
                     web_analytics_pre_aggregated_tables_enabled boolean)"
                        .to_owned(),
                )
                .await;
            bench.config.teams = Some(teams);
            let (ledger, _) = Ledger::migrate(bench.dir.path(), &bench.config)
                .await
                .expect("migrated");
            ledger.install_trigger().await.expect("installed");
            bench.ledger = ledger;
        }
        bench
    }

    async fn add_teams(&mut self, count: i64) {
        match (self.ledger.other_teams().is_some(), &self.application) {
            (true, _) => {
                self.application
                    .run(format!("insert into posthog_team select n, 'Team ' || n, 'UTC', false from generate_series(1, {count}) n"))
                    .await;
            }
            (false, Application::Postgres(_)) => {
                self.application
                    .run(format!("insert into prefill.teams (id, name) select n, 'Team ' || n from generate_series(1, {count}) n"))
                    .await;
            }
            (false, Application::Sqlite(_)) => {
                self.application
                    .run(format!("with recursive n(n) as (select 1 union all select n + 1 from n where n < {count}) insert into teams (id, name) select n, 'Team ' || n from n"))
                    .await;
            }
        }
        while let Some(signals) = self.ledger.signals().await.expect("read") {
            self.ledger
                .forget_signals(&signals)
                .await
                .expect("forgotten");
        }
    }

    fn turn_on(&self, which: &str) -> String {
        let (table, on) = match (self.ledger.other_teams(), &self.application) {
            (Some(table), _) => (table, "true"),
            (None, Application::Postgres(_)) => ("prefill.teams", "1"),
            (None, Application::Sqlite(_)) => ("teams", "1"),
        };
        format!(
            "update {table} set web_analytics_pre_aggregated_tables_enabled = {on} where {which}"
        )
    }

    /// What `prefill serve` does from the change to the claim, without a warehouse: a loop that notices
    /// and plans, and a worker that claims and records.
    async fn commit_to_claim(mut self) {
        self.config.backfill_days = 1;
        self.add_teams(CHANGES as i64).await;
        let wake = Arc::new(Notify::new());
        let (claimed, mut claims) = mpsc::unbounded_channel();
        let (ledger, config, told) = (self.ledger.clone(), self.config.clone(), wake.clone());
        let noticing = tokio::spawn(async move {
            let mut watch = ledger.watch().await.expect("watched");
            loop {
                if watch.wait(Duration::from_secs(30)).await.expect("waited") {
                    while let Some(signals) = ledger.signals().await.expect("read") {
                        reconcile::some(&ledger, &config, &signals.teams, Timestamp::now())
                            .await
                            .expect("planned");
                        ledger.forget_signals(&signals).await.expect("forgotten");
                    }
                    told.notify_waiters();
                }
            }
        });
        let ledger = self.ledger.clone();
        let working = tokio::spawn(async move {
            loop {
                let notified = wake.notified();
                let claim = ledger.claim("bench", LEASE, 1, DEFAULT_WAREHOUSE, None);
                match claim.await.expect("claimed") {
                    Some(claim) => {
                        let slice = &claim.slices[0];
                        claimed.send((slice.team_id, Instant::now())).expect("sent");
                        ledger
                            .record(&claim, &[(slice.clone(), Receipt::default())])
                            .await
                            .expect("recorded");
                    }
                    None => notified.await,
                }
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut waits = Vec::with_capacity(CHANGES);
        for team in 1..=CHANGES as i64 {
            let change = self.turn_on(&format!("id = {team}"));
            self.application.run(change).await;
            let committed = Instant::now();
            // The first claim of this team; the second one is awaited, so that the next change finds
            // nobody at work.
            let mut first = None;
            for _ in 0..2 {
                let (of, at) = claims.recv().await.expect("a claim");
                assert_eq!(of, TeamId(team));
                first.get_or_insert(at);
            }
            let first = first.expect("a claim");
            waits.push(first.saturating_duration_since(committed));
            // At no fixed distance from the last one.
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        }
        noticing.abort();
        working.abort();
        waits.sort_unstable();
        let at =
            |share: usize| waits[(waits.len() * share).div_ceil(100) - 1].as_secs_f64() * 1_000.0;
        println!(
            "{:<24} commit to claim, {CHANGES} changes: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.name,
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }

    /// 10,000 teams turned on by one statement.
    async fn plan(mut self) {
        self.add_teams(TEAMS).await;
        let change = self.turn_on("true");
        let begun = Instant::now();
        self.application.run(change).await;
        let changed = begun.elapsed();
        let begun = Instant::now();
        while let Some(signals) = self.ledger.signals().await.expect("read") {
            reconcile::some(&self.ledger, &self.config, &signals.teams, Timestamp::now())
                .await
                .expect("planned");
            self.ledger
                .forget_signals(&signals)
                .await
                .expect("forgotten");
        }
        let planned = begun.elapsed();
        let slices = self
            .ledger
            .slices(TeamId(TEAMS))
            .await
            .expect("slices")
            .len();
        assert_eq!(slices, 8);
        let begun = Instant::now();
        reconcile::all(&self.ledger, &self.config, Timestamp::now())
            .await
            .expect("looked");
        println!(
            "{:<24} {TEAMS} teams turned on by one statement (of {:.2} s): 80000 slices planned in {:.2} s; all looked at again in {:.2} s",
            self.name,
            changed.as_secs_f64(),
            planned.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
    }

    /// What people ask of `teams` that have each of the last `days` filled, in the ledger and in the tables.
    async fn reports(mut self, teams: i64, days: i64) {
        let now = Timestamp::now();
        let utc = Zone::utc();
        let today = Day::of(now, &utc);
        let enabled = now - jiff::SignedDuration::from_hours(24 * (days - 8).max(0));
        self.add_teams(teams).await;
        if matches!(self.application, Application::Postgres(_)) {
            let path = "set search_path to prefill".to_owned();
            self.application.run(path).await;
        }
        let on = format!(
            "update teams set web_analytics_pre_aggregated_tables_enabled = 1; update teams set enabled_at = {}; delete from signals",
            enabled.as_millisecond()
        );
        self.application.run(on).await;
        let place = Place {
            data_dir: self.dir.path().to_owned(),
            program: Some(env!("CARGO_BIN_EXE_prefill").into()),
        };
        let prefill = Prefill::open(&place, self.config.clone());
        let prefill = prefill.await.expect("opened");
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        for day in (0..days).rev().map(|back| today.plus(-back)) {
            let bounds = utc.bounds(day).expect("a day");
            let (begin, end) = (bounds.from.as_second(), bounds.until.as_second());
            self.application
                .run(format!(
                    "insert into slices (team_id, day, timezone, bucket_s, until_s, partition, state, reason, wanted_at, filled_at, \
                     as_of_us, stats_rows, bounces_rows, events, sessions, page_views, persons, bounces, duration_seconds, checksum, elapsed_ms) \
                     select id, '{day}', 'UTC', {begin}, {end}, {}, 'filled', 'window', 1, 1, 1, 1, 1, 5, 2, 5, 1, 1, 1, 1, 1 from teams",
                    day.to_string().replace('-', "")
                ))
                .await;
            for (table, names, values) in [
                (rollup::STATS, "", ""),
                (
                    rollup::BOUNCES,
                    ", total_session_count_state",
                    ", sumState(toUInt64(2))",
                ),
            ] {
                let rows = format!(
                    "insert into {table} (team_id, period_bucket, pageviews_count_state{names}) \
                     select number + 1 as team_id, fromUnixTimestamp({begin}) as period_bucket, sumState(toUInt64(5)){values} \
                     from numbers({teams}) group by team_id"
                );
                let inserted = store.warehouse.statement(&rows, "bench").run("insert rows");
                inserted.await.expect("inserted");
            }
        }
        self.ledger.fold_tallies().await.expect("folded");
        if matches!(self.application, Application::Postgres(_)) {
            // As autovacuum does it sooner or later.
            self.application
                .run("vacuum analyze slices".to_owned())
                .await;
        }
        let mut told = format!(
            "{:<24} reports of {teams} teams with {days} days each:",
            self.name
        );
        for what in [
            "list",
            "health",
            "metrics",
            "status",
            "scrape",
            "scrape while 30 days are open",
        ] {
            if what == "scrape while 30 days are open" {
                self.application.run(ask_again(today.plus(-29))).await;
            }
            let mut fastest = f64::INFINITY;
            let mut slowest: f64 = 0.0;
            for _ in 0..5 {
                let begun = Instant::now();
                match what {
                    "list" => {
                        let list = report::list(&prefill.ledger, &prefill.config, now).await;
                        let list = list.expect("listed");
                        assert!(list.iter().all(|team| team.state == "filled"));
                        assert_eq!(list.len(), teams as usize);
                    }
                    "health" => {
                        let health = prefill.health(now).await.expect("looked");
                        assert_eq!(health.status, "healthy", "{:?}", health.recommendations);
                    }
                    "metrics" => {
                        let metrics = prefill.metrics(7, now).await.expect("counted");
                        assert_eq!(metrics.metrics.total_stats_rows, teams * days.min(8));
                    }
                    "scrape" | "scrape while 30 days are open" => {
                        let told = Scraper::new(prefill.clone()).text().await;
                        assert!(told.contains("prefill_ledger_up 1"), "{told}");
                    }
                    _ => {
                        prefill.ledger.pauses().await.expect("pauses");
                        for run in prefill.ledger.runs(None, None, 20).await.expect("runs") {
                            prefill.ledger.progress(run.id).await.expect("progress");
                        }
                    }
                }
                let elapsed = begun.elapsed().as_secs_f64();
                fastest = fastest.min(elapsed);
                slowest = slowest.max(elapsed);
            }
            told += &format!(" {what} {fastest:.2} to {slowest:.2} s");
        }
        println!("{told}");
    }

    /// Claims by eight workers at a time; with `record`, each is recorded, as a fill is.
    async fn claims(self, together: i64, record: bool) {
        const DAYS: i64 = 2_000;
        let zone = Zone::utc();
        let days = Days::new(
            "2020-01-01".parse().expect("a day"),
            "2025-06-23".parse().expect("a day"),
        )
        .expect("a range");
        assert_eq!(days.count(), DAYS);
        for team in 1..=together {
            let new = NewTeam {
                id: TeamId(team),
                name: "Team".to_owned(),
                organization: String::new(),
                zone: zone.clone(),
                backfill_days: None,
                warehouse: None,
            };
            self.ledger.add_team(&new).await.expect("added");
            let request = Request {
                team: new.id,
                days,
                zone: &zone,
                warehouse: DEFAULT_WAREHOUSE,
                once: None,
            };
            self.ledger
                .request_all(&[request], Reason::Request)
                .await
                .expect("asked");
        }
        let begun = Instant::now();
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let ledger = self.ledger.clone();
                tokio::spawn(async move {
                    let owner = format!("worker {worker}");
                    let (mut claims, mut slices) = (0_i64, 0);
                    while let Some(claim) = ledger
                        .claim(&owner, LEASE, 10, DEFAULT_WAREHOUSE, None)
                        .await
                        .expect("claimed")
                    {
                        claims += 1;
                        slices += claim.slices.len() as i64;
                        if record {
                            for slice in &claim.slices {
                                ledger
                                    .record(&claim, &[(slice.clone(), Receipt::default())])
                                    .await
                                    .expect("recorded");
                            }
                        }
                    }
                    (claims, slices)
                })
            })
            .collect();
        let (mut claims, mut slices) = (0, 0);
        for worker in workers {
            let of_one = worker.await.expect("ended");
            claims += of_one.0;
            slices += of_one.1;
        }
        let elapsed = begun.elapsed().as_secs_f64();
        // Not recorded, a partition stays taken, with what two workers wanted at the same time.
        assert!(slices == DAYS * together || !record, "{slices}");
        println!(
            "{:<24} claims of {together} by 8 workers{}: {:.0} claims, {:.0} slices a second",
            self.name,
            if record { ", each slice recorded" } else { "" },
            claims as f64 / elapsed,
            slices as f64 / elapsed
        );
    }
}

/// What the server does to keep what was committed.
async fn durability() -> String {
    let options: PgConnectOptions = support::cluster().parse().expect("an address");
    let mut connection = options.connect().await.expect("connected");
    let said = sqlx::query("select current_setting('server_version') || ', fsync ' || current_setting('fsync') || ', synchronous_commit ' || current_setting('synchronous_commit') as said")
        .fetch_one(&mut connection)
        .await
        .expect("asked");
    connection.close().await.expect("closed");
    said.get("said")
}

/// A number of the environment.
fn size(name: &str, default: i64) -> i64 {
    let name = format!("PREFILL_BENCH_{name}");
    match std::env::var(&name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| {
        let named =
            |name: &&String| ["plan", "claims", "reports", "latency"].contains(&name.as_str());
        parts.iter().filter(named).count() == 0 || parts.iter().any(|name| name == part)
    };
    runtime.block_on(async {
        println!("Postgres {}", durability().await);
        let ledgers = || {
            [
                ("SQLite", false, None),
                ("Postgres", true, None),
                ("Postgres, posthog_team", true, Some(Teams::default())),
            ]
        };
        if wanted("plan") {
            for (name, postgres, teams) in ledgers() {
                Bench::new(name, postgres, teams).await.plan().await;
            }
        }
        if wanted("claims") {
            for (together, record) in [(1, false), (10, false), (1, true), (10, true)] {
                for (name, postgres) in [("SQLite", false), ("Postgres", true)] {
                    let bench = Bench::new(name, postgres, None).await;
                    bench.claims(together, record).await;
                }
            }
        }
        if wanted("reports") {
            let (teams, days) = (size("TEAMS", 1_000), size("DAYS", 60));
            for (name, postgres) in [("SQLite", false), ("Postgres", true)] {
                let bench = Bench::new(name, postgres, None).await;
                bench.reports(teams, days).await;
            }
        }
        if wanted("latency") {
            for (name, postgres, teams) in ledgers() {
                let bench = Bench::new(name, postgres, teams).await;
                bench.commit_to_claim().await;
            }
        }
    });
}
