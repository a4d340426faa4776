//! The trigger: a change of the setting, made anywhere, leads to a fill.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prefill::calendar::TeamId;
use prefill::event::Event;
use prefill::ledger::State;
use support::{World, page_view, until};

/// `prefill serve` on a world, killed at the end.
struct Serving(Child);

impl Serving {
    async fn start(world: &World) -> Self {
        let log = std::fs::File::create(world.dir.path().join("serve.log")).expect("a log");
        let child = world
            .command(&["--log-format", "json", "serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("started");
        let serving = Self(child);
        until("serving", Duration::from_secs(30), || async {
            serving_log(world).contains("serving: teams").then_some(())
        })
        .await;
        serving
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serving_log(world: &World) -> String {
    std::fs::read_to_string(world.dir.path().join("serve.log")).unwrap_or_default()
}

fn plain_sql(world: &World, sql: &str) {
    support::ledger::plain_sql(world.dir.path(), sql);
}

/// Events of today and the days before, so that the source is complete for all of them.
fn recent(team: TeamId, days: i64) -> Vec<Event> {
    let now = jiff::Timestamp::now();
    (0..=days)
        .map(|back| {
            let when = now
                - jiff::SignedDuration::from_hours(24 * back)
                - jiff::SignedDuration::from_secs(5);
            page_view(team, 1, &format!("s{back}"), &when.to_string(), "/")
        })
        .collect()
}

async fn all_filled(world: &World, team: TeamId, days: usize) {
    until("every day is filled", Duration::from_secs(60), || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let filled = slices.values().filter(|slice| slice.state == State::Filled);
        (slices.len() == days && filled.count() == days).then_some(())
    })
    .await;
}

async fn runs_of(world: &World, team: TeamId) -> usize {
    let runs = world
        .prefill
        .ledger
        .runs(None, None, 100)
        .await
        .expect("runs");
    runs.iter().filter(|run| run.team_id == team).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_f2_a_change_by_the_cli_by_plain_sql_or_by_an_insert_is_noticed_and_a_rollback_is_not() {
    let world = World::new().await;
    for id in 1..=4 {
        let team = world.team(id, "UTC").await;
        world.insert(&recent(team, 8)).await;
    }
    world.insert(&recent(TeamId(5), 8)).await;
    let _serving = Serving::start(&world).await;

    assert!(world.cli(&["enable", "--team-id", "1"]).status.success());
    all_filled(&world, TeamId(1), 8).await;

    plain_sql(
        &world,
        "update teams set web_analytics_pre_aggregated_tables_enabled = 1 where id in (2, 3)",
    );
    all_filled(&world, TeamId(2), 8).await;
    all_filled(&world, TeamId(3), 8).await;

    plain_sql(
        &world,
        "insert into teams (id, name, timezone, web_analytics_pre_aggregated_tables_enabled) values (5, 'Born on', 'UTC', 1)",
    );
    all_filled(&world, TeamId(5), 8).await;

    plain_sql(
        &world,
        "begin; update teams set web_analytics_pre_aggregated_tables_enabled = 1 where id = 4; rollback;",
    );
    // Something that comes after it has been dealt with, so it would have been too.
    plain_sql(
        &world,
        "update teams set web_analytics_pre_aggregated_tables_enabled = 0 where id = 3",
    );
    until("team 3 is held", Duration::from_secs(10), || async {
        serving_log(&world)
            .contains("\"team_id\":3,\"slices\":8")
            .then_some(())
    })
    .await;
    assert!(
        world
            .prefill
            .ledger
            .slices(TeamId(4))
            .await
            .expect("slices")
            .is_empty()
    );

    for team in [1, 2, 3, 5] {
        assert_eq!(
            runs_of(&world, TeamId(team)).await,
            1,
            "team {team}: one backfill for one change"
        );
    }
    for team in [1, 2, 5] {
        let validated = world.cli(&["validate", "--team-id", &team.to_string()]);
        assert!(
            validated.status.success(),
            "{}",
            String::from_utf8_lossy(&validated.stdout)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_f4_a_storm_while_nobody_serves_leaves_one_plan_and_the_last_setting_wins() {
    let world = World::new().await;
    let (on, off) = (world.team(1, "UTC").await, world.team(2, "UTC").await);
    world.insert(&recent(on, 8)).await;
    world.insert(&recent(off, 8)).await;
    for setting in [1, 0, 1, 0, 1] {
        plain_sql(
            &world,
            &format!(
                "update teams set web_analytics_pre_aggregated_tables_enabled = {setting} where id = 1"
            ),
        );
        plain_sql(
            &world,
            &format!(
                "update teams set web_analytics_pre_aggregated_tables_enabled = 1 - {setting} where id = 2"
            ),
        );
    }
    let serving = Serving::start(&world).await;
    all_filled(&world, on, 8).await;
    assert!(
        world
            .prefill
            .ledger
            .slices(off)
            .await
            .expect("slices")
            .is_empty()
    );
    assert_eq!(runs_of(&world, on).await, 1);
    serving.kill();
    // Down at the moment of the change, and back.
    plain_sql(
        &world,
        "update teams set web_analytics_pre_aggregated_tables_enabled = 1 where id = 2",
    );
    let _serving = Serving::start(&world).await;
    all_filled(&world, off, 8).await;
    assert_eq!(
        world.differences(off, &day(-7), &day(1)).await,
        Vec::<String>::new()
    );
}

fn day(from_today: i64) -> String {
    prefill::calendar::Day::of(jiff::Timestamp::now(), &prefill::calendar::Zone::utc())
        .plus(from_today)
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_commit_of_the_change_to_the_claim_of_the_first_slice_takes_less_than_a_second() {
    const CHANGES: i64 = 100;
    let world = World::new().await;
    for id in 1..=CHANGES {
        world.team(id, "UTC").await;
    }
    let _serving = Serving::start(&world).await;
    let mut waits = Vec::new();
    for id in 1..=CHANGES {
        let begun = jiff::Timestamp::now().as_millisecond();
        plain_sql(
            &world,
            &format!(
                "update teams set web_analytics_pre_aggregated_tables_enabled = 1 where id = {id}"
            ),
        );
        let claimed = until("a claim", Duration::from_secs(10), || async {
            let claimed = world
                .prefill
                .ledger
                .first_claim(TeamId(id))
                .await
                .expect("read");
            claimed.filter(|at| at.as_millisecond() >= begun)
        })
        .await;
        let team = world
            .prefill
            .ledger
            .team(TeamId(id))
            .await
            .expect("the team");
        let enabled = team.enabled_at.expect("the trigger wrote it");
        waits.push(claimed.as_millisecond() - enabled.as_millisecond());
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() * share).div_ceil(100) - 1];
    println!(
        "commit to claim over {CHANGES} changes: p50 {} ms, p99 {} ms, max {} ms",
        at(50),
        at(99),
        at(100)
    );
    assert!(at(99) < 1_000, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_events_that_come_while_it_serves_are_in_the_tables_soon_and_once() {
    let world = World::new().await;
    let team = world.team(1, "Asia/Kolkata").await;
    world.insert(&recent(team, 3)).await;
    let _serving = Serving::start(&world).await;
    world.enable(team).await;
    all_filled(&world, team, 8).await;
    let late = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    world
        .insert(&[page_view(team, 9, "late", &late.to_string(), "/late")])
        .await;
    until("the late view is in the tables", Duration::from_secs(30), || async {
        let views = world
            .query("select sumMerge(pageviews_count_state) from web_pre_aggregated_stats where pathname = '/late'")
            .await;
        (views == "1").then_some(())
    })
    .await;
    all_filled(&world, team, 8).await;
    assert_eq!(
        world
            .query("select sumMerge(pageviews_count_state) from web_pre_aggregated_stats")
            .await,
        "5"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_shells_may_begin_at_once_in_an_empty_directory() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().expect("a directory");
        let shells: Vec<Child> = (0..4)
            .map(|_| {
                let mut command = Command::new(support::program());
                support::ledger::name_ledger(&mut command, dir.path());
                command
                    .arg("--data-dir")
                    .arg(dir.path())
                    .arg("migrate")
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("started")
            })
            .collect();
        for shell in shells {
            let ended = shell.wait_with_output().expect("ended");
            assert!(
                ended.status.success(),
                "{}",
                String::from_utf8_lossy(&ended.stderr)
            );
        }
    }
}

#[test]
fn a_ledger_that_is_replaced_under_a_serve_ends_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prefill.db");
    let mut serve = Command::new(support::program());
    serve.arg("--data-dir").arg(dir.path()).arg("serve");
    serve.env_remove("PREFILL_LEDGER_URL");
    let config = "[http]\nlisten = \"off\"\n";
    std::fs::write(dir.path().join("prefill.toml"), config).expect("written");
    let log = dir.path().join("serve.log");
    serve.stderr(std::fs::File::create(&log).expect("a log"));
    let mut serving = Serving(serve.spawn().expect("started"));
    let begun = std::time::Instant::now();
    let says = || std::fs::read_to_string(&log).expect("a log");
    while !says().contains("serving: teams") {
        assert!(begun.elapsed().as_secs() < 30, "{}", says());
        std::thread::sleep(Duration::from_millis(50));
    }
    let copy = dir.path().join("copy.db");
    std::fs::copy(&file, &copy).expect("copied");
    std::fs::rename(&copy, &file).expect("replaced");
    let ended = loop {
        if let Some(ended) = serving.0.try_wait().expect("asked") {
            break ended;
        }
        assert!(begun.elapsed().as_secs() < 60, "{}", says());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(ended.code(), Some(1), "{}", says());
    let why = "was deleted, moved or replaced while it was open";
    assert!(says().contains(why), "{}", says());
    let list = || {
        let mut list = Command::new(support::program());
        list.arg("--data-dir").arg(dir.path()).arg("list");
        let told = list.env_remove("PREFILL_LEDGER_URL").output();
        let told = told.expect("run");
        assert!(told.status.success(), "{told:?}");
        String::from_utf8_lossy(&told.stderr)
            .matches("was gone, and with it the teams")
            .count()
    };
    assert_eq!(list(), 0);
    std::fs::remove_file(&file).expect("deleted");
    assert_eq!((list(), list()), (1, 0));
    std::fs::write(&file, "").expect("emptied");
    assert_eq!((list(), list()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_or_double_are_filled_again_by_a_serve_that_runs() {
    let mut config = prefill::config::Config::default();
    config.service.freshness_ms = 500;
    let world = World::with(config).await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        // The test looks at the tables all the time, and nothing waits for that.
        "[service]\nfreshness_ms = 500\n[warehouse]\nbudget = 1\n",
    )
    .expect("written");
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 8)).await;
    let _serving = Serving::start(&world).await;
    world.enable(team).await;
    all_filled(&world, team, 8).await;
    let right = world.tables().await;
    world
        .query("truncate table web_pre_aggregated_bounces")
        .await;
    world
        .query("insert into web_pre_aggregated_stats select * from web_pre_aggregated_stats where period_bucket < now() - interval 3 day")
        .await;
    until(
        "the tables are right again",
        Duration::from_secs(60),
        || async { (world.tables().await == right).then_some(()) },
    )
    .await;
    all_filled(&world, team, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_that_was_dropped_is_named_and_its_days_are_filled_again_once_it_is_there() {
    let world = World::new().await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        "[service]\nfreshness_ms = 500\n[warehouse]\nbudget = 1\n",
    )
    .expect("written");
    let (team, other) = (world.team(7, "UTC").await, world.team(8, "UTC").await);
    world.insert(&recent(team, 8)).await;
    world.insert(&recent(other, 8)).await;
    let _serving = Serving::start(&world).await;
    world.enable(team).await;
    all_filled(&world, team, 8).await;
    let right = world.tables().await;
    world
        .query("rename table web_pre_aggregated_stats to kept")
        .await;
    world.enable(other).await;
    let gone = "the table default.web_pre_aggregated_stats is gone";
    until("it is named", Duration::from_secs(60), || async {
        let told = serving_log(&world);
        let failed = told
            .lines()
            .find(|line| line.contains("failed to fill team 8") && line.contains(gone));
        failed.map(drop)
    })
    .await;
    let run = |words: &[&str]| world.command(words).output().expect("run");
    for looks in [&["health"][..], &["validate", "--team-id", "7"]] {
        let told = run(looks);
        let stderr = String::from_utf8_lossy(&told.stderr);
        assert!(stderr.contains(gone), "{stderr}");
        assert_eq!(told.status.code(), Some(1), "{stderr}");
    }
    // Who took it away may put it back: nothing is in the way.
    let back = run(&["query", "rename table kept to web_pre_aggregated_stats"]);
    assert!(back.status.success(), "{back:?}");
    let now = world.tables().await;
    assert!(right.lines().all(|line| now.contains(line)));

    world.query("drop table web_pre_aggregated_stats").await;
    let made = run(&["migrate"]);
    let stdout = String::from_utf8_lossy(&made.stdout);
    assert!(
        stdout.contains("web_pre_aggregated_stats: created"),
        "{made:?}"
    );
    let retried = run(&["retry", "--all"]);
    assert!(retried.status.success(), "{retried:?}");
    all_filled(&world, other, 8).await;
    until("team 7 is right again", Duration::from_secs(60), || async {
        let now = world.tables().await;
        right.lines().all(|line| now.contains(line)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_stops_no_work() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 8)).await;
    let mut child = world
        .command(&["serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    // The first line, and then the reader goes away.
    let mut first = String::new();
    let mut reader = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut reader, &mut first).expect("a line");
    drop(reader);
    let _serving = Serving(child);
    world
        .prefill
        .ledger
        .set_enabled(team, true)
        .await
        .expect("enabled");
    all_filled(&world, team, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_written_is_an_error_and_a_reader_that_went_away_is_none() {
    let world = World::new().await;
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("a full device")
    };
    let code = |command: &mut Command| command.status().expect("ran").code();
    assert_eq!(
        code(
            world
                .command(&["team", "list", "--json"])
                .stdout(full())
                .stderr(Stdio::null())
        ),
        Some(1)
    );
    assert_eq!(
        code(
            world
                .command(&["query", "select 1"])
                .stdout(full())
                .stderr(Stdio::null())
        ),
        Some(1)
    );
    let unknown = ["validate", "--team-id", "999", "--json"];
    assert_eq!(
        code(world.command(&unknown).stdout(full()).stderr(full())),
        Some(2)
    );
    let mut gone = world
        .command(&unknown)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    drop(gone.stdout.take());
    assert_eq!(gone.wait().expect("ended").code(), Some(2));
}
