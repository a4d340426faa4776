//! The database of the ledger restarted under what runs. Alone in its file: the cluster is everybody's.

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use prefill::calendar::TeamId;
use prefill::config::Config;
use prefill::ledger::State;
use serving::Serving;
use support::ledger::psql;
use support::{World, page_view, until};

/// One story at a time: a restart for one is an outage for the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Restarts the cluster of `tests/with_postgres`, which is down for so long.
fn restart(how: &str, down: Duration) {
    let dir = std::env::var("PREFILL_TEST_POSTGRES_DIR")
        .expect("no Postgres: run the tests by `make test`, or by tests/with_postgres");
    let done = Command::new(format!("{dir}/restart"))
        .arg(how)
        .arg(down.as_secs().to_string())
        .status()
        .expect("restarted");
    assert!(done.success());
}

async fn filled(world: &World, team: TeamId, from: &str, until_day: &str) {
    until("every day is filled", Duration::from_secs(60), || async {
        let slices = world.prefill.ledger.slices(team).await.ok()?;
        let asked: Vec<_> = slices
            .values()
            .filter(|slice| (from..until_day).contains(&slice.day.to_string().as_str()))
            .collect();
        (asked.len() == 3 && asked.iter().all(|slice| slice.state == State::Filled)).then_some(())
    })
    .await;
    assert_eq!(
        world.differences(team, from, until_day).await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_f37_a_database_that_is_restarted_under_two_workers_loses_nothing_and_is_listened_to_again()
 {
    let _alone = ALONE.lock().await;
    let config = Config {
        backfill_days: 1,
        ..Config::default()
    };
    let world = World::on_postgres(config).await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        "backfill_days = 1\n[service]\nlease_ms = 2000\nbackoff_ms = 50\nreconcile_ms = 3600000\n",
    )
    .expect("written");
    let url = support::ledger::url(world.dir.path()).expect("on Postgres");
    let mut teams = Vec::new();
    for id in 1..=4 {
        let team = world.team(id, "UTC").await;
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', {id}, reinterpretAsUUID(sipHash128(number % 9000)), toString(number % 30000), \
                 toDateTime64('2026-05-01 01:00:00', 6, 'UTC') + number % 30000 * 8, '/' from numbers(90000)"
            ))
            .await;
        teams.push(team);
    }
    world
        .insert(&[page_view(teams[0], 1, "last", "2026-06-01T00:00:00Z", "/")])
        .await;
    let mut one = Serving::start(&world, "one").await;
    let mut two = Serving::start(&world, "two").await;
    for (team, how, down) in [
        (teams[0], "fast", Duration::ZERO),
        (teams[1], "immediate", Duration::from_secs(2)),
        (teams[2], "fast", Duration::from_secs(8)),
    ] {
        world.enable(team).await;
        let target = world.target(team, "2026-05-01", "2026-05-04").await;
        world.prefill.backfill(&target, false).await.expect("asked");
        until("a fill is under way", Duration::from_secs(30), || async {
            let running = psql(
                &url,
                "select count(*) from prefill.slices where state = 'running'",
            );
            (running != "0").then_some(())
        })
        .await;
        restart(how, down);
        filled(&world, team, "2026-05-01", "2026-05-04").await;
        assert!(one.is_alive() && two.is_alive(), "{}", one.log());
    }
    // By the looks that failed meanwhile, and not once a second.
    let log = one.log();
    let failed = log.matches("could not look at the teams").count();
    assert!((1..20).contains(&failed), "{log}");
    assert!(log.contains("the ledger answers again"), "{log}");
    // By a notification, because the timer is an hour away.
    let begun = Instant::now();
    psql(
        &url,
        "update prefill.teams set web_analytics_pre_aggregated_tables_enabled = 1 where id = 4",
    );
    until("a claim", Duration::from_secs(5), || async {
        world
            .prefill
            .ledger
            .first_claim(teams[3])
            .await
            .expect("read")
    })
    .await;
    println!("claimed {:?} after the change", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serve_that_begins_while_its_database_is_down_says_so_once_and_begins_when_it_is_there() {
    let _alone = ALONE.lock().await;
    let world = World::on_postgres(Config::default()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    // An address that nobody answers at, until something does.
    let url = support::ledger::url(world.dir.path()).expect("on Postgres");
    let (_, name) = url.split_once("/prefill_").expect("a database");
    let name = name.split('?').next().expect("a name");
    let log = world.dir.path().join("serve.log");
    let mut child = world
        .command(&["--log-format", "json", "serve"])
        .env(
            "PREFILL_LEDGER_URL",
            format!("postgres://postgres:secret@127.0.0.1:{port}/prefill_{name}"),
        )
        .stderr(std::fs::File::create(&log).expect("a log"))
        .spawn()
        .expect("started");
    let says = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it says so", Duration::from_secs(15), || async {
        says()
            .contains("the ledger cannot be used; trying again")
            .then_some(())
    })
    .await;
    let dir = std::env::var("PREFILL_TEST_POSTGRES_DIR").expect("a cluster");
    let behind = std::env::var("PREFILL_TEST_POSTGRES_PORT").expect("a cluster");
    let socket = format!("{dir}/.s.PGSQL.{behind}");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("bound");
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut to = tokio::net::UnixStream::connect(socket)
                    .await
                    .expect("connected");
                drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });
    until("serving", Duration::from_secs(30), || async {
        says().contains("serving: teams").then_some(())
    })
    .await;
    child.kill().expect("killed");
    child.wait().expect("ended");
    let said = says();
    assert_eq!(
        said.matches("the ledger cannot be used").count(),
        1,
        "{said}"
    );
    assert!(said.contains("the ledger can be used now"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
