//! What filling costs: `make bench`.
//!
//! Prints tables of CPU seconds and of ratios, and writes them as Markdown where `PREFILL_BENCH_REPORT`
//! says. What is measured is the process of the embedded engine, because whatever else the machine does
//! changes how long things take, and hardly how much they cost. Each way is run in turn with the others,
//! and the median is shown.
//!
//! `PREFILL_BENCH_EVENTS` is the number of events of a day (default 100,000), `PREFILL_BENCH_RUNS` how often
//! each is measured (3), `PREFILL_BENCH_TEAMS` the number of small teams (1,000), `PREFILL_BENCH_DAYS` how
//! many days of them are filled (2).
//! `cargo bench --bench fill -- fill` does that part only; the others are `posthog`, `teams`, `size`,
//! `beside` and `first-day`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use prefill::calendar::{Bounds, TeamId, Zone};
use prefill::config::{Config, DEFAULT_WAREHOUSE, SourceKind, Warehouse};
use prefill::ledger::State;
use prefill::rollup::{BOUNCES, STATS};
use prefill::schema::Store;
use prefill::service::{Place, Prefill};
use prefill::verify::{self, Scope};
use prefill::worker::Step;
use support::World;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// 1 May 2026, in days since 1970.
const FIRST: i64 = 20_574;
const DAYS: i64 = 7;
const DAY_US: i64 = 86_400_000_000;
/// How soon a worker with nothing to do looks again, as that of a service.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// A session of the generated sites has so many events.
const EVENTS_OF_A_SESSION: u64 = 6;

const QUESTIONS: [(&str, &str); 6] = [
    ("pages", include_str!("fill/questions/pages.sql")),
    ("by day", include_str!("fill/questions/by_day.sql")),
    ("countries", include_str!("fill/questions/countries.sql")),
    (
        "pages of a browser",
        include_str!("fill/questions/pages_of_a_browser.sql"),
    ),
    (
        "bounce rate",
        include_str!("fill/questions/bounce_rate.sql"),
    ),
    (
        "entry pages",
        include_str!("fill/questions/entry_pages.sql"),
    ),
];

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        // Make hands on what nobody set.
        Ok(text) if text.is_empty() => default,
        Ok(text) => text
            .replace(['_', ','], "")
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: it is a number")),
        Err(_) => default,
    }
}

/// What something took of the engine's process.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: f64,
    wall: f64,
}

fn median(mut costs: Vec<Cost>) -> Cost {
    let middle = costs.len() / 2;
    costs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    let cpu = costs[middle].cpu;
    costs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    Cost {
        cpu,
        wall: costs[middle].wall,
    }
}

/// A report in Markdown that is shown as it grows.
#[derive(Default)]
struct Report(String);

impl Report {
    fn line(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        writeln!(self.0, "{}", line.as_ref()).expect("memory");
    }

    fn table(&mut self, head: &[&str]) {
        self.line("");
        self.line(format!("| {} |", head.join(" | ")));
        let aligned: Vec<&str> = (0..head.len())
            .map(|column| if column == 0 { "---" } else { "--:" })
            .collect();
        self.line(format!("| {} |", aligned.join(" | ")));
    }

    fn row(&mut self, cells: &[String]) {
        self.line(format!("| {} |", cells.join(" | ")));
    }
}

/// What the ways beside prefill's read of a source, as parts of their statements.
struct Parts {
    events: String,
    sessions: &'static str,
    read_and_group: String,
}

impl Parts {
    fn of(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Events => Self {
                events: "events".to_owned(),
                sessions: include_str!("fill/obvious/sessions.sql"),
                read_and_group: include_str!("fill/read_and_group.sql")
                    .replace("{events}", "events"),
            },
            SourceKind::PostHog => Self {
                events: of_posthog(include_str!("fill/posthog/events.sql")),
                sessions: include_str!("fill/posthog/sessions.sql"),
                read_and_group: of_posthog(include_str!("fill/posthog/read_and_group.sql")),
            },
        }
    }
}

/// With the names of PostHog's tables.
fn of_posthog(text: &str) -> String {
    text.replace("{table}", "events")
        .replace("{raw_sessions}", "raw_sessions")
        .replace("{overrides}", "person_distinct_id_overrides")
}

/// An installation with generated sites.
struct Bench {
    world: World,
    pid: u32,
    kind: SourceKind,
    parts: Parts,
}

/// A site's events in the source.
#[derive(Clone, Copy)]
struct Site {
    first_team: i64,
    teams: u64,
    /// Of each team.
    events: u64,
    plain: bool,
}

impl Site {
    fn one(team: i64, events: u64, plain: bool) -> Self {
        Self {
            first_team: team,
            teams: 1,
            events,
            plain,
        }
    }
}

impl Bench {
    async fn new() -> Self {
        Self::of(World::with(Config::default()).await)
    }

    /// On tables like PostHog's.
    async fn on_posthog() -> Self {
        let mut config = Config::default();
        for warehouse in config.warehouses.values_mut() {
            warehouse.source.kind = SourceKind::PostHog;
        }
        let bench = Self::of(World::with_source(config).await);
        let generated = include_str!("../src/event/create_events.sql");
        let generated = generated.replace("{table}", "generated");
        bench.run(&generated, &[]).await;
        bench
    }

    fn of(world: World) -> Self {
        let card = std::fs::read_to_string(world.dir.path().join("engine.json"));
        let card: serde_json::Value =
            serde_json::from_str(&card.expect("the engine's card")).expect("a card");
        let pid = card["pid"].as_u64().expect("a process");
        let kind = world.prefill.config.warehouses[DEFAULT_WAREHOUSE]
            .source
            .kind;
        Self {
            world,
            pid: u32::try_from(pid).expect("a process"),
            kind,
            parts: Parts::of(kind),
        }
    }

    /// CPU seconds of the engine so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("Linux");
        let (_, numbers) = stat.rsplit_once(')').expect("a name");
        let ticks: f64 = numbers
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().expect("ticks"))
            .sum();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }

    /// From now on, [`Bench::peak_bytes`] is about what comes.
    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("Linux");
    }

    fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.expect("a peak").parse::<u64>().expect("a number") * 1024
    }

    async fn cost<T>(&self, work: impl Future<Output = T>) -> (Cost, T) {
        let (cpu, begun) = (self.cpu(), Instant::now());
        let done = work.await;
        let wall = begun.elapsed().as_secs_f64();
        (
            Cost {
                cpu: self.cpu() - cpu,
                wall,
            },
            done,
        )
    }

    /// Runs a statement that is not prefill's: when it goes on on disk is ClickHouse's own choice.
    async fn run(&self, text: &str, params: &[(&str, i64)]) {
        let statement = self
            .world
            .store
            .warehouse
            .statement(text, "bench")
            .setting("max_bytes_before_external_group_by", 0)
            .setting("max_bytes_before_external_sort", 0);
        let statement = params.iter().fold(statement, |statement, (name, value)| {
            statement.param(name, *value)
        });
        statement.run("bench").await.expect("done");
    }

    /// Makes the days `first..first + days` of a site, and one more on either side.
    async fn generate(&self, site: Site, first: i64, days: i64) {
        let into = match self.kind {
            SourceKind::Events => "events",
            SourceKind::PostHog => "generated",
        };
        let text = include_str!("fill/site.sql").replace("{events}", into);
        for day in first - 1..=first + days {
            let sessions = (site.events / EVENTS_OF_A_SESSION).max(1);
            let sessions = i64::try_from(sessions).expect("small");
            let params = [
                ("day", day),
                ("first_team", site.first_team),
                ("teams", i64::try_from(site.teams).expect("small")),
                ("sessions", sessions),
                ("plain", i64::from(site.plain)),
            ];
            self.run(&text, &params).await;
        }
        if self.kind == SourceKind::PostHog {
            for text in [
                include_str!("fill/posthog/site.sql"),
                include_str!("fill/posthog/overrides.sql"),
                "truncate table {generated}",
                "optimize table {raw_sessions} final",
            ] {
                let text = text.replace("{events}", "events");
                let text = of_posthog(&text).replace("{generated}", into);
                self.run(&text, &[]).await;
            }
        }
        self.run("optimize table events final", &[]).await;
    }

    /// Adds teams with the setting on, without their days of this week, which have no events.
    async fn teams(&self, site: Site) {
        for team in site.first_team..site.first_team + i64::try_from(site.teams).expect("small") {
            let team = self.world.team(team, "UTC").await;
            self.world
                .prefill
                .ledger
                .set_enabled(team, true)
                .await
                .expect("on");
        }
    }

    /// Asks for the first days of a site, whatever is filled.
    async fn ask(&self, site: Site, days: i64) -> Vec<Uuid> {
        let prefill = &self.world.prefill;
        let (from, until) = (day(FIRST), day(FIRST + days));
        let mut runs = Vec::new();
        for team in site.first_team..site.first_team + i64::try_from(site.teams).expect("small") {
            let target = self.world.target(TeamId(team), &from, &until).await;
            let run = prefill.ledger.request(
                target.team.id,
                target.days,
                &target.zone,
                DEFAULT_WAREHOUSE,
                prefill::ledger::Reason::Forced,
                None,
            );
            runs.push(run.await.expect("asked").expect("a run"));
        }
        runs
    }

    /// Asks for days of a site and does all that is asked for.
    async fn fill(&self, site: Site, days: i64) {
        self.fill_by(&self.world.prefill, site, days).await;
    }

    async fn fill_by(&self, prefill: &Prefill, site: Site, days: i64) {
        let runs = self.ask(site, days).await;
        let stop = CancellationToken::new();
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        let work = async || {
            let worker = prefill.worker(store, None);
            loop {
                // What another one has claimed it may give back.
                if worker.step(&stop).await.expect("a step") == Step::Idle {
                    let running = prefill.ledger.running_claims().await;
                    if running.expect("claims").is_empty() {
                        break;
                    }
                    tokio::time::sleep(LOOK_SOON).await;
                }
            }
        };
        tokio::join!(work(), work());
        for run in runs {
            let progress = prefill.ledger.progress(run).await.expect("progress");
            assert_eq!(progress.status(), "completed");
        }
    }

    /// The same installation with other settings of its warehouse.
    async fn with(&self, change: impl Fn(&mut Warehouse)) -> Prefill {
        let mut config = self.world.prefill.config.clone();
        config.warehouses.values_mut().for_each(change);
        let place = Place {
            data_dir: self.world.dir.path().to_path_buf(),
            program: Some(support::program()),
        };
        Prefill::open(&place, config).await.expect("opened")
    }

    /// Fills a week of a team again and again until it is stopped; how many days.
    async fn fill_again(&self, site: Site, budget: f64, stop: &CancellationToken) -> usize {
        let prefill = self.with(|warehouse| warehouse.budget = budget).await;
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        let worker = prefill.worker(store, None);
        let mut filled = 0;
        while !stop.is_cancelled() {
            self.ask(site, DAYS).await;
            while !stop.is_cancelled() {
                match worker.step(stop).await.expect("a step") {
                    Step::Idle => break,
                    Step::Filled => filled += 1,
                    Step::Failed => {}
                }
            }
        }
        filled
    }

    /// Deletes all rows, and what is known of the days of a site that were filled.
    async fn empty_rollups(&self, site: Site, days: i64) {
        for table in [STATS, BOUNCES] {
            self.run(&format!("truncate table {table}"), &[]).await;
        }
        let ledger = &self.world.prefill.ledger;
        let days = support::days(&day(FIRST), &day(FIRST + days));
        for team in site.first_team..site.first_team + i64::try_from(site.teams).expect("small") {
            ledger.clean(TeamId(team), days).await.expect("cleaned");
        }
    }

    /// What the verification of a week of a site is, of the days together that were filled together.
    async fn verify(&self, site: Site) {
        let Store {
            warehouse, tables, ..
        } = &self.world.store;
        let team = TeamId(site.first_team);
        for together in self.world.filled_together(team).await {
            let portion: Vec<Bounds> = together
                .iter()
                .filter_map(|day| Zone::utc().bounds(day.parse().expect("a day")))
                .collect();
            let scope = Scope {
                teams: &[team],
                bounds: Bounds {
                    from: portion[portion.len() - 1].from,
                    until: portion[0].until,
                },
                as_of_us: i64::MAX / 2,
                comment: "bench",
            };
            let begins: Vec<_> = portion.iter().rev().map(|day| day.from).collect();
            let (stats, bounces) = (&tables.stats, &tables.bounces);
            let verdicts =
                verify::verdicts_of_days(warehouse, tables, &scope, &begins, stats, bounces).await;
            for ((_, day), verdict) in verdicts.expect("verdicts") {
                assert!(verdict.is_clean(), "{day}: {}", verdict.describe());
            }
        }
    }

    /// A table as a rollup is, sorted by all dimensions, as the obvious way has it.
    async fn obvious_table(&self, table: &str) -> String {
        let of = format!(
            "select arrayStringConcat(groupArray(name), ', ') from (select name from system.columns \
             where database = currentDatabase() and table = '{table}' and type not like 'Aggregate%' \
             order by name != 'team_id', position)"
        );
        let key = self.world.query(&of).await;
        let name = format!("obvious_{table}");
        self.run(&format!("drop table if exists {name} sync"), &[])
            .await;
        self.run(
            &format!(
                "create table {name} as {table} engine = AggregatingMergeTree \
                 partition by toYYYYMMDD(period_bucket) order by ({key})"
            ),
            &[],
        )
        .await;
        name
    }

    /// Both rollups of a team's days by two statements that know nothing of each other.
    async fn fill_the_obvious_way(&self, team: i64, stats: &str, bounces: &str) {
        for text in [
            include_str!("fill/obvious/stats.sql"),
            include_str!("fill/obvious/bounces.sql"),
        ] {
            let text = text
                .replace("{sessions}", &of_posthog(self.parts.sessions))
                .replace("{events}", &self.parts.events)
                .replace("{stats}", stats)
                .replace("{bounces}", bounces);
            for day in FIRST..FIRST + DAYS {
                self.run(&of_day(&text, team), &bounds(day)).await;
            }
        }
    }

    /// What no way can do without: reads and groups each day, and writes the rows that are to be there,
    /// in the order in which they are to lie.
    async fn least(&self, team: i64) -> Cost {
        for table in [STATS, BOUNCES] {
            self.run(&format!("drop table if exists least_{table} sync"), &[])
                .await;
            self.run(&format!("create table least_{table} as {table}"), &[])
                .await;
            self.run(&format!("drop table if exists rows_{table} sync"), &[])
                .await;
            self.run(
                &format!(
                    "create table rows_{table} engine = Memory as select * from {table} where team_id = {team}"
                ),
                &[],
            )
            .await;
        }
        let text = of_day(&self.parts.read_and_group, team);
        let (cost, ()) = self
            .cost(async {
                for day in FIRST..FIRST + DAYS {
                    let read = self.world.store.warehouse.statement(&text, "bench");
                    let read = bounds(day)
                        .iter()
                        .fold(read, |read, (name, value)| read.param(name, *value));
                    // All of it is made, and nothing of it sent.
                    drop(read.bytes("Null", "bench").await.expect("read"));
                    let bucket = day * 86_400;
                    for table in [STATS, BOUNCES] {
                        self.run(
                            &format!(
                                "insert into least_{table} select * from rows_{table} \
                                 where period_bucket = fromUnixTimestamp(toInt64({bucket}))"
                            ),
                            &[],
                        )
                        .await;
                    }
                }
            })
            .await;
        cost
    }

    /// Everything that readers see of a team in a rollup, as one number.
    async fn merged(&self, table: &str, team: i64) -> String {
        let states = "persons_uniq_state, sessions_uniq_state, pageviews_count_state";
        let (more, measures) = if table.ends_with(BOUNCES) {
            (
                ", bounces_count_state, total_session_duration_state, total_session_count_state",
                ", sumMerge(bounces_count_state), sumMerge(total_session_duration_state), sumMerge(total_session_count_state)",
            )
        } else {
            ("", "")
        };
        self.world
            .query(&format!(
                "select count(), sum(cityHash64(*)) from (select * except ({states}{more}), uniqMerge(persons_uniq_state), \
                 uniqMerge(sessions_uniq_state), sumMerge(pageviews_count_state){measures} from {table} \
                 where team_id = {team} group by all)"
            ))
            .await
    }

    async fn size(&self, table: &str) -> (u64, u64) {
        let told = self
            .world
            .query(&format!(
                "select sum(rows), sum(bytes_on_disk) from system.parts where active and table = '{table}'"
            ))
            .await;
        let mut numbers = told
            .split('\t')
            .map(|number| number.parse::<u64>().expect("a number"));
        let mut next = || numbers.next().expect("a number");
        (next(), next())
    }
}

/// A date, of days since 1970.
fn day(days: i64) -> String {
    jiff::Timestamp::from_second(days * 86_400)
        .expect("an instant")
        .strftime("%F")
        .to_string()
}

fn bounds(day: i64) -> [(&'static str, i64); 3] {
    [
        ("from_us", day * DAY_US),
        ("until_us", (day + 1) * DAY_US),
        ("bucket", day * 86_400),
    ]
}

fn of_day(text: &str, team: i64) -> String {
    text.replace("{teams:Array(Int64)}", &format!("[{team}]"))
}

fn ratio(of: f64, to: f64) -> String {
    format!("{:.2}", of / to)
}

/// The cost of filling a week, with that of the obvious way and the least that is possible.
async fn fill(bench: &Bench, report: &mut Report, events: u64, runs: u64) {
    report.line("");
    report.line(match bench.kind {
        SourceKind::Events => "## A week of one team",
        SourceKind::PostHog => "## A week of one team, in PostHog's tables",
    });
    for (team, plain) in [(1, false), (2, true)] {
        let site = Site::one(team, events, plain);
        bench.generate(site, FIRST, DAYS).await;
        bench.teams(site).await;
        let kind = if plain {
            "A plain site, as in an access log: few pages, browsers and countries, and nothing else"
        } else {
            "A varied site: 2,000 pages, 1,000 cities, 100 screens, campaigns"
        };
        report.line("");
        report.line(format!("{kind}; {events} events a day."));
        let (stats, bounces) = (
            bench.obvious_table(STATS).await,
            bench.obvious_table(BOUNCES).await,
        );
        let [mut obvious, mut filled, mut verified, mut least] = [const { Vec::new() }; 4];
        for _ in 0..runs {
            for table in [&stats, &bounces] {
                bench.run(&format!("truncate table {table}"), &[]).await;
            }
            let work = bench.fill_the_obvious_way(team, &stats, &bounces);
            obvious.push(bench.cost(work).await.0);
            bench.empty_rollups(site, DAYS).await;
            filled.push(bench.cost(bench.fill(site, DAYS)).await.0);
            verified.push(bench.cost(bench.verify(site)).await.0);
            least.push(bench.least(team).await);
        }
        for (own, theirs) in [(STATS, &stats), (BOUNCES, &bounces)] {
            assert_eq!(
                bench.merged(own, team).await,
                bench.merged(theirs, team).await,
                "the same answers, whatever is asked"
            );
        }
        let [obvious, filled, verified, least] = [obvious, filled, verified, least].map(median);
        let filling = Cost {
            cpu: filled.cpu - verified.cpu,
            wall: filled.wall - verified.wall,
        };
        report.table(&["way", "CPU s", "to the least", "obvious way to it", "s"]);
        for (name, cost) in [
            ("the obvious way, not verified", obvious),
            ("prefill, without its verification", filling),
            ("prefill, verified", filled),
            ("the least: read, group by session, write the rows", least),
        ] {
            report.row(&[
                name.to_owned(),
                format!("{:.2}", cost.cpu),
                ratio(cost.cpu, least.cpu),
                ratio(obvious.cpu, cost.cpu),
                format!("{:.2}", cost.wall),
            ]);
        }
        // What was written is as the other source has it.
        if bench.kind == SourceKind::Events {
            questions(bench, report, team, &stats, &bounces, runs).await;
        }
    }
}

/// What readers pay: the questions of a dashboard about the week, on the tables of either way.
async fn questions(
    bench: &Bench,
    report: &mut Report,
    team: i64,
    stats: &str,
    bounces: &str,
    runs: u64,
) {
    let of = |text: &str, stats: &str, bounces: &str| {
        text.replace("{stats}", stats)
            .replace("{bounces}", bounces)
            .replace("{team:UInt64}", &team.to_string())
    };
    for table in [STATS, BOUNCES, stats, bounces] {
        bench
            .run(&format!("optimize table {table} final"), &[])
            .await;
    }
    report.table(&[
        "question",
        "CPU ms",
        "grouped and sorted by all: CPU ms",
        "ratio",
    ]);
    let mut sums = [0.0, 0.0];
    for (name, text) in QUESTIONS {
        let texts = [of(text, STATS, BOUNCES), of(text, stats, bounces)];
        let mut costs = [const { Vec::new() }; 2];
        let mut answers = Vec::new();
        for _ in 0..runs * 5 {
            for (text, costs) in texts.iter().zip(&mut costs) {
                let (cost, answer) = bench.cost(bench.world.query(text)).await;
                costs.push(cost);
                answers.push(answer);
            }
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        // A question takes few ticks of the clock, so that their mean says more than one of them.
        let [own, theirs] = costs.map(|costs| {
            let count = costs.len() as f64;
            costs.iter().map(|cost| cost.cpu).sum::<f64>() * 1e3 / count
        });
        sums[0] += own;
        sums[1] += theirs;
        report.row(&[
            name.to_owned(),
            format!("{own:.1}"),
            format!("{theirs:.1}"),
            ratio(own, theirs),
        ]);
    }
    report.row(&[
        "all".to_owned(),
        format!("{:.1}", sums[0]),
        format!("{:.1}", sums[1]),
        ratio(sums[0], sums[1]),
    ]);
    report.table(&["table", "rows", "MB", "grouped: rows", "grouped: MB"]);
    for (own, theirs) in [(STATS, stats), (BOUNCES, bounces)] {
        let ((rows, bytes), (their_rows, their_bytes)) =
            (bench.size(own).await, bench.size(theirs).await);
        report.row(&[
            own.to_owned(),
            rows.to_string(),
            format!("{:.1}", bytes as f64 / 1e6),
            their_rows.to_string(),
            format!("{:.1}", their_bytes as f64 / 1e6),
        ]);
    }
}

/// Many small teams beside one that has as many events.
async fn teams(bench: &Bench, report: &mut Report, teams: u64, days: i64) {
    let each = 1_000;
    let many = Site {
        first_team: 1_000,
        teams,
        events: each,
        plain: false,
    };
    let one = Site::one(100, each * teams, false);
    for site in [many, one] {
        bench.generate(site, FIRST, days).await;
        bench.teams(site).await;
    }
    bench.empty_rollups(one, days).await;
    let (one_cost, ()) = bench.cost(bench.fill(one, days)).await;
    bench.empty_rollups(many, days).await;
    let (many_cost, ()) = bench.cost(bench.fill(many, days)).await;
    let parts = bench
        .world
        .query(&format!(
            "select count() from system.parts where active and table in ('{STATS}', '{BOUNCES}')"
        ))
        .await;
    report.line("");
    report.line("## Many small teams");
    report.line("");
    report.line(format!(
        "{days} days of {teams} teams with {each} events a day each, beside one team with as many as all of them. They left \
         {parts} parts in both tables."
    ));
    report.table(&["", "CPU s", "s", "CPU to one team's", "time to one team's"]);
    for (name, cost) in [("one team", one_cost), ("many teams", many_cost)] {
        report.row(&[
            name.to_owned(),
            format!("{:.2}", cost.cpu),
            format!("{:.2}", cost.wall),
            ratio(cost.cpu, one_cost.cpu),
            ratio(cost.wall, one_cost.wall),
        ]);
    }
}

/// Time and memory by the number of events of a day, with the limit of memory that is the default, and a lower one.
async fn size(bench: &Bench, report: &mut Report, events: u64) {
    const LOWER: u64 = 1 << 30;
    report.line("");
    report.line("## By the number of events");
    report.line("");
    report.line(
        "A day of one team. Memory is the most that the engine's process held, less what it held before. A \
         statement groups on disk once it takes 512 MiB, or half of `max_memory_usage` where that is less.",
    );
    report.table(&[
        "events",
        "`max_memory_usage`, MB",
        "CPU s",
        "s",
        "CPU s a million",
        "memory, MB",
    ]);
    let limits = [Warehouse::default().max_memory_usage, LOWER];
    for (team, events) in (201..).zip([events / 10, events, events * 10]) {
        let site = Site::one(team, events, false);
        bench.generate(site, FIRST, 1).await;
        bench.teams(site).await;
        for limit in limits {
            let prefill = bench.with(|warehouse| warehouse.max_memory_usage = limit);
            let prefill = prefill.await;
            bench.empty_rollups(site, 1).await;
            bench.run("system jemalloc purge", &[]).await;
            bench.forget_peak();
            let before = bench.peak_bytes();
            let (cost, ()) = bench.cost(bench.fill_by(&prefill, site, 1)).await;
            let most = bench.peak_bytes().saturating_sub(before);
            report.row(&[
                events.to_string(),
                format!("{:.0}", limit as f64 / 1e6),
                format!("{:.2}", cost.cpu),
                format!("{:.2}", cost.wall),
                format!("{:.2}", cost.cpu * 1e6 / events as f64),
                format!("{:.0}", most as f64 / 1e6),
            ]);
        }
    }
}

/// How long others wait for their answers, beside fills that never end and without.
async fn beside(bench: &Bench, report: &mut Report, events: u64, runs: u64) {
    const ASKED_FOR: Duration = Duration::from_secs(15);
    report.line("");
    report.line("## Beside the queries of others");
    report.line("");
    report.line(
        "Somebody asks one question after the other, while a week is filled again and again by one worker: the median of \
         the answers' times in ms, of each question by itself. With a budget of 1 nobody waits for anybody.",
    );
    let site = Site::one(401, events, false);
    bench.generate(site, FIRST, DAYS).await;
    bench.teams(site).await;
    bench.empty_rollups(site, DAYS).await;
    bench.fill(site, DAYS).await;
    let pages = include_str!("fill/questions/pages.sql")
        .replace("{stats}", STATS)
        .replace("{team:UInt64}", "401");
    let raw = "select toDate(timestamp) as day, uniq(person_id), count() from events \
               where team_id = 401 and event = '$pageview' group by day order by day";
    let ask = async |seconds: Duration| {
        let (begun, mut times) = (Instant::now(), [const { Vec::new() }; 2]);
        while begun.elapsed() < seconds {
            for (text, times) in [pages.as_str(), raw].iter().zip(&mut times) {
                let asked = Instant::now();
                drop(bench.world.query(text).await);
                times.push(asked.elapsed().as_secs_f64() * 1e3);
            }
        }
        times
    };
    let mut all = [const { [const { Vec::new() }; 2] }; 3];
    let mut filled = [0, 0, 0];
    for _ in 0..runs {
        for (way, budget) in [None, Some(0.1), Some(1.0)].into_iter().enumerate() {
            let stop = CancellationToken::new();
            let times = match budget {
                None => ask(ASKED_FOR).await,
                Some(budget) => {
                    let (times, days) = tokio::join!(
                        async {
                            // It takes a moment until others are noticed, once.
                            ask(Duration::from_secs(3)).await;
                            let times = ask(ASKED_FOR).await;
                            stop.cancel();
                            times
                        },
                        bench.fill_again(site, budget, &stop)
                    );
                    filled[way] += days;
                    times
                }
            };
            for (all, times) in all[way].iter_mut().zip(times) {
                all.extend(times);
            }
        }
    }
    report.table(&[
        "",
        "a question about the tables",
        "about the raw events",
        "days filled",
    ]);
    let medians = all.map(|times| {
        times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
    });
    for (name, way) in [
        ("alone", 0),
        ("beside fills", 1),
        ("beside fills, budget 1", 2),
    ] {
        let cell = |question: usize| {
            let (time, alone) = (medians[way][question], medians[0][question]);
            format!("{time:.1} ({:+.0} %)", (time / alone - 1.0) * 100.0)
        };
        report.row(&[name.to_owned(), cell(0), cell(1), filled[way].to_string()]);
    }
}

/// From the change of the setting to yesterday in the tables, by a running service.
async fn first_day(bench: &Bench, report: &mut Report, events: u64) {
    report.line("");
    report.line("## The first day");
    report.line("");
    report.line("From the change of the setting to yesterday in the tables and verified, `prefill serve` running, all of the week to be filled.");
    report.table(&["events a day", "s"]);
    let today = jiff::Timestamp::now().as_second() / 86_400;
    let mut serve = std::process::Command::new(support::program())
        .args(["--data-dir"])
        .arg(bench.world.dir.path())
        .arg("serve")
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    for (team, events) in [(301, 1_000), (302, events)] {
        let site = Site::one(team, events, false);
        bench.generate(site, today - 7, 7).await;
        let team = bench.world.team(team, "UTC").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let yesterday = day(today - 1).parse().expect("a date");
        let begun = Instant::now();
        let ledger = &bench.world.prefill.ledger;
        ledger.set_enabled(team, true).await.expect("on");
        loop {
            let slices = ledger.slices(team).await.expect("slices");
            let yesterday = slices.get(&yesterday);
            if yesterday.is_some_and(|slice| slice.state == State::Filled) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(300), "{slices:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        report.row(&[
            events.to_string(),
            format!("{:.2}", begun.elapsed().as_secs_f64()),
        ]);
        // Who generates the next site meanwhile is somebody else on the warehouse, for whom fills wait.
        while ledger.queue().await.expect("read").slices > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    serve.kill().expect("it ends");
    serve.wait().expect("it ended");
}

fn machine() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |model| {
            model.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let events = number("PREFILL_BENCH_EVENTS", 100_000);
    let runs = number("PREFILL_BENCH_RUNS", 3);
    let small_teams = number("PREFILL_BENCH_TEAMS", 1_000);
    let days = number("PREFILL_BENCH_DAYS", 2);
    let bench = Bench::new().await;
    let mut report = Report::default();
    report.line("# How much filling costs");
    report.line("");
    report.line("Measured by `make bench`; see `benches/fill.rs` for what is measured and how.");
    report.line("");
    report.line(format!(
        "- {}; ClickHouse {} (embedded), prefill {}",
        machine(),
        bench.world.query("select version()").await,
        env!("CARGO_PKG_VERSION")
    ));
    report.line(format!(
        "- `make bench PREFILL_BENCH_EVENTS={events} PREFILL_BENCH_RUNS={runs} PREFILL_BENCH_TEAMS={small_teams} PREFILL_BENCH_DAYS={days}`, on {}",
        jiff::Timestamp::now().strftime("%F")
    ));
    if wants("fill") {
        fill(&bench, &mut report, events, runs).await;
    }
    if wants("posthog") {
        fill(&Bench::on_posthog().await, &mut report, events, runs).await;
    }
    if wants("teams") {
        let days = i64::try_from(days).expect("small");
        teams(&bench, &mut report, small_teams, days).await;
    }
    if wants("size") {
        size(&bench, &mut report, events).await;
    }
    if wants("beside") {
        beside(&bench, &mut report, events, runs).await;
    }
    if wants("first-day") {
        // Where nobody else has anything to be filled.
        first_day(&Bench::new().await, &mut report, events).await;
    }
    if let Ok(path) = std::env::var("PREFILL_BENCH_REPORT") {
        std::fs::write(path, report.0).expect("the report is written");
    }
}
