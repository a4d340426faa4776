//! The command line, by the front door: what each command answers, and what it leaves behind.

mod support;
#[path = "support/told.rs"]
mod told;

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use prefill::calendar::TeamId;
use prefill::config::DEFAULT_WAREHOUSE;
use prefill::event::Event;
use prefill::ledger::Reason;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{World, page_view, program};
use told::{Running, Told, has, look};

impl World {
    fn told(&self, arguments: &[&str]) -> Told {
        Told::from(self.cli(arguments))
    }
}

/// One line of JSON for `prefill import jsonl`.
fn event_line(team: i64, number: u32, when: &str) -> String {
    json!({
        "uuid": uuid::Uuid::from_u128(u128::from(number)),
        "event": "$pageview",
        "team_id": team,
        "distinct_id": format!("p{}", number / 3),
        "session_id": format!("s{}", number / 2),
        "timestamp": when,
        "pathname": format!("/{number}"),
    })
    .to_string()
}

/// Two page views of one session on each of four days in May.
fn four_days(team: TeamId) -> Vec<Event> {
    (1..=4)
        .flat_map(|day| {
            let session = format!("s{day}");
            [
                page_view(
                    team,
                    day,
                    &session,
                    &format!("2026-05-0{day}T10:00:00Z"),
                    "/",
                ),
                page_view(
                    team,
                    day,
                    &session,
                    &format!("2026-05-0{day}T10:00:30Z"),
                    "/pricing",
                ),
            ]
        })
        .collect()
}

fn team_7() -> TeamId {
    TeamId(7)
}

const FOUR_DAYS: [&str; 4] = ["--date-start", "2026-05-01", "--date-end", "2026-05-05"];

/// `prefill COMMAND --team-id TEAM`, for the four days, and more.
fn of_four_days<'a>(command: &'a str, team: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--team-id", team], &FOUR_DAYS[..], more].concat()
}

/// A world with team 7 (UTC), the setting on, and events on four days.
async fn four_days_of_team_7() -> World {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world.insert(&four_days(team)).await;
    world
}

fn in_dir(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(dir)
        .args(arguments)
        .env_remove("WEB_ANALYTICS_BACKFILL_DAYS")
        .stdin(std::process::Stdio::null());
    support::ledger::name_ledger(&mut command, dir);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_in_json_with_the_names_that_callers_rely_on() {
    let world = World::new().await;
    let answer = |arguments: &[&str]| {
        let told = world.told(&[arguments, &["--json"]].concat()).done();
        told.json()
    };

    let team = answer(&[
        "team",
        "add",
        "--team-id",
        "7",
        "--name",
        "Acme",
        "--organization",
        "Org",
        "--timezone",
        "Asia/Kolkata",
    ]);
    has(
        &team,
        &[
            "team_id",
            "team_name",
            "organization",
            "timezone",
            "enabled",
            "backfill_days",
            "enabled_date",
        ],
    );
    assert_eq!(
        (&team["team_id"], &team["team_name"], &team["enabled"]),
        (&json!(7), &json!("Acme"), &json!(false))
    );
    assert_eq!(
        answer(&["team", "set", "--team-id", "7", "--timezone", "UTC"])["timezone"],
        "UTC"
    );
    assert_eq!(answer(&["team", "list"])["teams"][0]["organization"], "Org");
    assert_eq!(
        answer(&["enable", "--team-id", "7"]),
        json!({"status": "completed", "changed": true, "team_id": 7, "team_name": "Acme", "enabled": true})
    );
    assert_eq!(answer(&["enable", "--team-id", "7"])["changed"], false);

    let events = world.dir.path().join("events.jsonl");
    let lines: Vec<String> = (0..6)
        .map(|number| event_line(7, number, "2026-05-01T10:00:00Z"))
        .collect();
    std::fs::write(&events, lines.join("\n")).expect("written");
    let events = events.to_str().expect("a path");
    let imported = answer(&["import", "jsonl", events]);
    has(
        &imported,
        &[
            "status",
            "events",
            "events_added",
            "events_known",
            "report",
            "elapsed_seconds",
        ],
    );
    assert_eq!(
        (&imported["events_added"], &imported["events_known"]),
        (&json!(6), &json!(0))
    );
    let again = answer(&["import", "jsonl", events]);
    assert_eq!(
        (&again["events_added"], &again["events_known"]),
        (&json!(0), &json!(6))
    );
    // Two teams may name an event alike.
    let alike = [7, 8].map(|team| event_line(team, 5, "2026-05-01T10:00:00Z"));
    let of_both = world.dir.path().join("of_both.jsonl");
    std::fs::write(&of_both, alike.join("\n")).expect("written");
    let imported = answer(&["import", "jsonl", of_both.to_str().expect("a path")]);
    assert_eq!(
        (
            &imported["events_added"],
            &imported["events_known"],
            &imported["report"]["duplicates"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );

    let log = world.dir.path().join("access.log");
    std::fs::write(
        &log,
        "10.0.0.1 - - [02/May/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"\n",
    )
    .expect("written");
    let imported = answer(&[
        "import",
        "access-log",
        log.to_str().expect("a path"),
        "--team-id",
        "7",
    ]);
    assert_eq!(
        (&imported["status"], &imported["events_added"]),
        (&json!("completed"), &json!(1))
    );

    let range = [
        "--team-id",
        "7",
        "--date-start",
        "2026-05-01",
        "--date-end",
        "2026-05-03",
    ];
    let would = answer(&[&["backfill"], &range[..], &["--dry-run"]].concat());
    has(
        &would,
        &[
            "status",
            "team_id",
            "team_name",
            "date_start",
            "date_end",
            "backfill_days",
            "slices",
            "rows",
            "bytes",
            "estimated_seconds",
        ],
    );
    assert_eq!(
        (&would["status"], &would["rows"], &would["slices"][0]["day"]),
        (&json!("dry_run"), &json!(7), &json!("2026-05-02"))
    );

    let filled = answer(&[&["backfill"], &range[..]].concat());
    has(
        &filled,
        &[
            "status",
            "task_id",
            "team_id",
            "team_name",
            "date_start",
            "date_end",
            "backfill_days",
            "elapsed_seconds",
        ],
    );
    for (name, value) in [
        ("status", json!("completed")),
        ("team_id", json!(7)),
        ("team_name", json!("Acme")),
        ("date_start", json!("2026-05-01")),
        ("date_end", json!("2026-05-03")),
        ("backfill_days", json!(2)),
        ("days_filled", json!(2)),
        ("page_views", json!(7)),
        ("sessions", json!(4)),
    ] {
        assert_eq!(filled[name], value, "{name}");
    }

    let validated = answer(&[&["validate"], &range[..]].concat());
    has(
        &validated,
        &["status", "team_id", "date_range", "validation_results"],
    );
    assert_eq!(validated["status"], "passed");
    assert_eq!(
        validated["date_range"],
        json!({"start": "2026-05-01", "end": "2026-05-03"})
    );
    assert_eq!(
        validated["validation_results"]["web_pre_aggregated_stats_rows"],
        filled["web_pre_aggregated_stats_rows"]
    );
    assert_eq!(
        validated["validation_results"]["web_pre_aggregated_bounces_rows"],
        filled["web_pre_aggregated_bounces_rows"]
    );
    assert_ne!(filled["web_pre_aggregated_stats_rows"], 0);

    let list = answer(&["list"]);
    has(
        &list["teams"][0],
        &[
            "team_id",
            "team_name",
            "organization",
            "coverage_percentage",
            "wanted",
            "filled",
            "state",
        ],
    );

    let health = answer(&["health"]);
    has(
        &health,
        &[
            "status",
            "timestamp",
            "enabled_teams",
            "teams_with_data",
            "teams_missing_data",
            "data_gaps_detected",
            "recommendations",
        ],
    );
    assert_eq!(
        (
            &health["status"],
            &health["enabled_teams"],
            &health["teams_with_data"]
        ),
        (&json!("healthy"), &json!(1), &json!(1))
    );

    let metrics = answer(&["metrics", "--days", "7"]);
    has(&metrics, &["timestamp", "period_days", "metrics"]);
    assert_eq!(metrics["period_days"], 7);
    has(
        &metrics["metrics"],
        &[
            "total_teams_enabled",
            "active_teams_with_data",
            "total_stats_rows",
            "total_bounces_rows",
            "data_coverage_percentage",
        ],
    );

    let tasks = answer(&["status"]);
    has(&tasks["tasks"][0], &["status", "task", "progress"]);
    let task = filled["task_id"].as_str().expect("a task id");
    let status = answer(&["status", task]);
    assert_eq!(
        (&status["status"], &status["slices"][0]["state"]),
        (&json!("completed"), &json!("filled"))
    );

    let rows = answer(&[
        "query",
        "select count() as events from events where team_id = {team_id:Int64}",
        "--team-id",
        "7",
    ]);
    assert_eq!(rows["data"][0]["events"], json!(7));
    has(&answer(&["migrate"]), &["status", "data_dir", "tables"]);

    let range = [
        "cleanup",
        "--team-id",
        "7",
        "--date-start",
        "2026-05-01",
        "--date-end",
        "2026-05-02",
    ];
    let would = answer(&[&range[..], &["--dry-run"]].concat());
    has(
        &would,
        &[
            "status",
            "team_id",
            "team_name",
            "date_start",
            "date_end",
            "deleted",
        ],
    );
    let deleted = answer(&[&range[..], &["--yes"]].concat());
    assert_eq!(
        (&would["status"], &deleted["status"]),
        (&json!("dry_run"), &json!("completed"))
    );
    assert_eq!(would["deleted"], deleted["deleted"]);
    assert_eq!(answer(&["disable", "--team-id", "7"])["enabled"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_tables_on_standard_output_and_notes_beside_them() {
    let world = four_days_of_team_7().await;
    // `Told` refuses colours and bars; these ask for them.
    let colourful = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command
            .env("CLICOLOR_FORCE", "1")
            .env("TERM", "xterm-256color");
        Told::from(command.output().expect("it ran"))
    };
    let filled = colourful(&of_four_days("backfill", "7", &[])).done();
    assert!(
        filled.out.starts_with("completed: team 7 (Team 7), 2026-05-01..2026-05-05: 4 of 4 days filled, 4 sessions, 8 page views, verified, in "),
        "{filled:?}"
    );
    assert_eq!((filled.out.lines().count(), filled.err.as_str()), (1, ""));

    let validated = colourful(&of_four_days("validate", "7", &[])).done();
    assert_eq!(
        validated.lines(),
        [
            "DAY STATE PAGE VIEWS SESSIONS PERSONS BOUNCES SECONDS VERDICT",
            "2026-05-04 filled 2 1 1 0 30 equal",
            "2026-05-03 filled 2 1 1 0 30 equal",
            "2026-05-02 filled 2 1 1 0 30 equal",
            "2026-05-01 filled 2 1 1 0 30 equal",
            "team 7, 2026-05-01..2026-05-05: all 4 days equal the raw events",
        ]
    );
    let list = colourful(&["list"]).done();
    assert_eq!(
        list.lines()[0],
        "TEAM NAME ORGANIZATION TIME ZONE COVERAGE DAYS OLDEST NEWEST STATE"
    );
    assert_eq!(
        list.lines()[1],
        "7 Team 7 Org UTC 33.3 % 4/12 2026-05-01 2026-05-04 queued"
    );
    // The days of the window are nobody's task.
    let status = colourful(&["status"]).done();
    let days = status
        .lines()
        .into_iter()
        .find(|line| line.contains("days"));
    let days = days.expect("a line of the days").to_owned();
    assert!(days.starts_with("4 of 12 days filled"), "{status:?}");
    let added = colourful(&["team", "add", "--team-id", "8", "--name", "B"]).done();
    assert_eq!(added.out, "added team 8 (B), time zone UTC\n");
    assert_eq!(
        added.err,
        "hint: prefill enable --team-id 8 turns its tables on\n"
    );
    let rows = colourful(&[
        "query",
        "select 1 as one, 'a' as two",
        "--format",
        "TSVWithNames",
    ])
    .done();
    assert_eq!(
        (rows.out.as_str(), rows.err.as_str()),
        ("one\ttwo\n1\ta\n", "")
    );
    assert!(
        colourful(&["query", "select 1 as one"])
            .done()
            .out
            .contains("│   1 │")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_a_bar_of_days_and_clears_it_and_takes_ctrl_c_for_a_no() {
    let world = four_days_of_team_7().await;
    let on_terminal = |arguments: &[&str], typed: &str| {
        let command = format!(
            "exec {} --data-dir {} {}",
            program().display(),
            world.dir.path().display(),
            arguments.join(" ")
        );
        let mut script = Command::new("script");
        support::ledger::name_ledger(&mut script, world.dir.path());
        let child = script
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!(
                "SKIPPED: there is no `script` of util-linux here, so nothing was tested on a terminal"
            );
            return None;
        };
        let mut shown = Vec::new();
        let mut screen = BufReader::new(child.stdout.take().expect("a pipe")).bytes();
        while !typed.is_empty() && !shown.ends_with(b"[y/N] ") {
            shown.push(screen.next().expect("a question").expect("readable"));
        }
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(typed.as_bytes())
            .expect("typed");
        shown.extend(screen.map(|byte| byte.expect("readable")));
        let ended = child.wait().expect("it ran");
        Some((ended.code(), String::from_utf8(shown).expect("text")))
    };
    let Some((code, shown)) = on_terminal(&of_four_days("backfill", "7", &[]), "") else {
        return;
    };
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("/4 days"), "{shown:?}");
    let cleared = shown.rsplit("\u{1b}[2K").next().expect("text");
    assert!(
        cleared.starts_with("completed: team 7 (Team 7), "),
        "{shown:?}"
    );
    let tables = world.tables().await;
    let (code, shown) = on_terminal(&of_four_days("cleanup", "7", &[]), "n\n").expect("as before");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("delete 8 + 4 rows of team 7 (Team 7), 2026-05-01..2026-05-05 and turn the setting off? [y/N]"), "{shown:?}");
    assert!(shown.contains("nothing was deleted"), "{shown:?}");
    let (code, shown) =
        on_terminal(&of_four_days("cleanup", "7", &[]), "\u{3}").expect("as before");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("told to stop"), "{shown:?}");
    assert_eq!(world.tables().await, tables);
    let (code, shown) = on_terminal(&of_four_days("cleanup", "7", &[]), "y\n").expect("as before");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("deleted 8 + 4 rows"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_days_has_limits_and_a_range_by_dates_may_be_old_and_ends_before_its_end() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let would = |arguments: &[&str], days: Option<&str>| {
        let mut command = world.command(
            &[
                &["backfill", "--team-id", "7", "--dry-run", "--json"],
                arguments,
            ]
            .concat(),
        );
        if let Some(days) = days {
            command.env("WEB_ANALYTICS_BACKFILL_DAYS", days);
        }
        let answer = Told::from(command.output().expect("it ran")).done().json();
        let days: Vec<Value> = answer["slices"]
            .as_array()
            .expect("slices")
            .iter()
            .map(|slice| slice["day"].clone())
            .collect();
        (answer["backfill_days"].clone(), days)
    };
    let (count, days) = would(&[], None);
    assert_eq!(
        (count, days.len()),
        (json!(7), 8),
        "today and the seven days before it"
    );
    assert_eq!(would(&[], Some("3")).1.len(), 4);
    assert_eq!(would(&["--days", "1"], Some("3")).1.len(), 2);
    assert_eq!(would(&["--days", "30"], None).1.len(), 31);
    let (count, days) = would(
        &["--date-start", "2001-02-27", "--date-end", "2001-03-01"],
        None,
    );
    assert_eq!(
        (count, days),
        (json!(2), vec![json!("2001-02-28"), json!("2001-02-27")])
    );

    for days in ["0", "-1", "31", "2147483648"] {
        for command in ["backfill", "validate"] {
            world
                .told(&[command, "--team-id", "7", "--days", days])
                .refused(
                    2,
                    &format!("--days {days} is out of range: 1 to 30 days"),
                    "",
                );
        }
        world.told(&["metrics", "--days", days]).refused(
            2,
            &format!("--days {days} is out of range: 1 to 30 days"),
            "",
        );
        world
            .told(&["team", "set", "--team-id", "7", "--backfill-days", days])
            .refused(
                2,
                &format!("--backfill-days {days} is out of range: 1 to 30 days"),
                "",
            );
    }
    for days in ["x", "", "1.5", "99999999999999999999"] {
        world
            .told(&["backfill", "--team-id", "7", "--days", days])
            .misspelt("--days <N>");
    }
    for days in ["0", "-1", "31", "x", " "] {
        let mut command = world.command(&["backfill", "--team-id", "7"]);
        command.env("WEB_ANALYTICS_BACKFILL_DAYS", days);
        Told::from(command.output().expect("it ran")).refused(2, "WEB_ANALYTICS_BACKFILL_DAYS", "");
    }
    let config = world.dir.path().join("more.toml");
    std::fs::write(&config, "max_backfill_days = 60\n").expect("written");
    let config = config.to_str().expect("a path");
    assert_eq!(
        would(&["--config", config, "--days", "60"], None).1.len(),
        61
    );
    world
        .told(&[
            "--config",
            config,
            "backfill",
            "--team-id",
            "7",
            "--days",
            "61",
        ])
        .refused(
            2,
            "--days 61 is out of range: 1 to 60 days",
            "at most 60 days back (max_backfill_days in the configuration raises that)",
        );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backfill_does_nothing_and_a_forced_one_replaces() {
    let world = four_days_of_team_7().await;
    let fill = |more: &[&str]| {
        world
            .told(&of_four_days(
                "backfill",
                "7",
                &[more, &["--json"]].concat(),
            ))
            .done()
            .json()
    };
    assert_eq!(fill(&[])["days_filled"], 4);
    let once = world.tables().await;
    let again = fill(&[]);
    assert_eq!(
        (
            &again["status"],
            &again["days_filled"],
            &again["days_already_filled"]
        ),
        (&json!("completed"), &json!(0), &json!(4))
    );
    let told = world.told(&of_four_days("backfill", "7", &[])).done();
    assert_eq!(
        told.out,
        "completed: team 7 (Team 7), 2026-05-01..2026-05-05: all 4 days are filled already\n"
    );
    assert_eq!(world.tables().await, once);
    let parts = "select arraySort(groupArray(name)) from system.parts where active and table like 'web_pre%'";
    let before = world.query(parts).await;
    let forced = fill(&["--force"]);
    assert_eq!(
        (&forced["days_filled"], &forced["days_already_filled"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(world.tables().await, once);
    assert_ne!(world.query(parts).await, before, "the rows are new ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_finds_a_late_event_until_its_day_is_filled_again() {
    let world = four_days_of_team_7().await;
    world.told(&of_four_days("backfill", "7", &[])).done();
    world.told(&of_four_days("validate", "7", &[])).done();
    let late = world.dir.path().join("late.jsonl");
    std::fs::write(&late, event_line(7, 1, "2026-05-02T23:59:00Z")).expect("written");
    world
        .told(&["import", "jsonl", late.to_str().expect("a path")])
        .done();
    let told = world
        .told(&of_four_days("validate", "7", &[]))
        .found_trouble();
    let lines = told.lines();
    assert!(
        lines[3].starts_with("2026-05-02 ") && lines[3].contains("differs: "),
        "{lines:?}"
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("differs: "))
            .count(),
        1,
        "{lines:?}"
    );
    assert_eq!(
        lines[5],
        "team 7, 2026-05-01..2026-05-05: 1 of 4 days differs from the raw events"
    );
    assert!(
        told.err.starts_with(
            "hint: run prefill backfill --team-id 7 --date-start 2026-05-02 --date-end 2026-05-03"
        ),
        "{told:?}"
    );
    let answer = world
        .told(&of_four_days("validate", "7", &["--json"]))
        .found_trouble()
        .json();
    assert_eq!(
        (
            &answer["status"],
            &answer["validation_results"]["days_that_differ"]
        ),
        (&json!("failed"), &json!(1))
    );
    let filled = world
        .told(&of_four_days("backfill", "7", &["--json"]))
        .done()
        .json();
    assert_eq!(filled["days_filled"], 1);
    world.told(&of_four_days("validate", "7", &[])).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_one_second_that_come_in_another_file_or_order_are_known() {
    let world = four_days_of_team_7().await;
    let line = |path: &str| {
        format!(
            "192.0.2.1 - - [01/May/2026:10:00:00 +0000] \"GET {path} HTTP/1.1\" 200 9 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0\""
        )
    };
    let before = format!("{}\n", line("/before").replace("10:00:00", "09:59:59"));
    let (first, twice, last) = (line("/first"), line("/twice"), line("/last"));
    let whole = format!("{before}{first}\n{twice}\n{twice}\n{last}\n");
    let import = |name: &str, text: &str| {
        let path = world.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        let file = path.to_str().expect("a path");
        let told = world.told(&["import", "access-log", file, "--team-id", "7", "--json"]);
        let told = told.done().json();
        (told["events_added"].clone(), told["events_known"].clone())
    };
    assert_eq!(import("whole.log", &whole), (json!(5), json!(0)));
    // Cut within the second, in another order, and the lines of two servers put together otherwise.
    assert_eq!(
        import("tail.log", &format!("{twice}\n{last}\n")),
        (json!(0), json!(2))
    );
    let other_order = format!("{last}\n{twice}\n{first}\n{twice}\n{before}");
    assert_eq!(import("order.log", &other_order), (json!(0), json!(5)));
    // One more of a line is one more request.
    let thrice = format!("{twice}\n{twice}\n{}\n{twice}\n", line("/new"));
    assert_eq!(import("more.log", &thrice), (json!(2), json!(2)));
    // What others wrote under uuids of their own is compared as it is.
    let events = "select uuid, pathname from events where timestamp = '2026-05-01 10:00:00' order by uuid limit 1 by pathname";
    let known = world.query(events).await;
    let of_first = known
        .lines()
        .find(|line| line.ends_with("/first"))
        .expect("the first");
    let uuid = of_first.split('\t').next().expect("a uuid").to_owned();
    let place = format!("{}7abc{}", &uuid[..14], &uuid[18..]);
    let other = json!({"uuid": place, "event": "$pageview", "distinct_id": "a", "session_id": "s", "timestamp": "2026-05-01T10:00:00Z"});
    let file = world.dir.path().join("events.jsonl");
    std::fs::write(&file, other.to_string()).expect("written");
    let file = file.to_str().expect("a path");
    let told = world.told(&["import", "jsonl", file, "--team-id", "7", "--json"]);
    assert_eq!(told.done().json()["events_added"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rotated_is_imported_as_one_from_its_files_in_any_order() {
    let world = four_days_of_team_7().await;
    let line = |minute: u32| {
        format!(
            "192.0.2.1 - - [01/May/2026:10:{minute:02}:00 +0000] \"GET /{minute} HTTP/1.1\" 200 9 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0\""
        )
    };
    let written = |name: &str, bytes: &[u8]| {
        let path = world.dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed
        .write_all(format!("{}\n{}\n", line(0), line(20)).as_bytes())
        .expect("memory");
    let oldest = written("access.log.2.gz", &packed.finish().expect("memory"));
    let older = written("access.log.1", line(40).as_bytes());
    let cut = &line(59)[..60];
    let newest = written("access.log", format!("{}\n{cut}", line(50)).as_bytes());
    let import =
        |files: &[&str]| world.told(&[&["import", "access-log", "--team-id", "7"], files].concat());
    let gone = world.dir.path().join("gone.log");
    import(&[&newest, gone.to_str().expect("a path")]).refused(
        2,
        "gone.log",
        "name an existing file",
    );
    import(&[&newest, &older, &newest]).refused(
        2,
        "access.log is named twice",
        "name each file once",
    );
    let count = "select count() from events where pathname = '/50'";
    assert_eq!(world.query(count).await, "0", "nothing of it");

    let told = import(&[&newest, &older, &oldest, "--json"]).done().json();
    assert_eq!(
        (&told["file"], &told["files"]),
        (&json!("3 files"), &json!([newest, older, oldest]))
    );
    let report = &told["report"];
    assert_eq!(
        (&report["lines"], &report["events"], &report["sessions"]),
        (&json!(5), &json!(4), &json!(1))
    );
    let unreadable = &report["first_unreadable"][0];
    assert_eq!(
        (&unreadable["file"], &unreadable["line"]),
        (&json!(newest), &json!(2))
    );

    let again = import(&[&oldest]).done();
    assert!(
        again
            .out
            .contains("access.log.2.gz: 2 lines, 0 events added, 2 known already"),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_deletes_its_range_of_its_team_and_nothing_else_and_the_days_come_back_on_request()
{
    let world = four_days_of_team_7().await;
    let other = world.team(8, "UTC").await;
    world.enable(other).await;
    world.insert(&four_days(other)).await;
    for team in ["7", "8"] {
        world.told(&of_four_days("backfill", team, &[])).done();
    }
    let filled = world.tables().await;
    let middle = [
        "cleanup",
        "--team-id",
        "7",
        "--date-start",
        "2026-05-02",
        "--date-end",
        "2026-05-04",
    ];
    let rows = "select team_id, toDate(period_bucket) from web_pre_aggregated_bounces group by all order by all";

    let would = world.told(&[&middle[..], &["--dry-run"]].concat()).done();
    assert_eq!(
        would.out,
        "would delete 4 + 2 rows of team 7 (Team 7), 2026-05-02..2026-05-04 and turn the setting off\n"
    );
    world
        .told(&middle)
        .refused(2, "there is no terminal to ask on", "--yes");
    assert_eq!(world.tables().await, filled, "nothing was deleted");
    assert_eq!(
        world.told(&["team", "list", "--json"]).done().json()["teams"][0]["enabled"],
        true
    );

    let told = world.told(&[&middle[..], &["--yes"]].concat()).done();
    assert_eq!(
        told.out,
        "deleted 4 + 2 rows of team 7, 2026-05-02..2026-05-04; the setting is off\n"
    );
    assert_eq!(
        world.query(rows).await,
        "7\t2026-05-01\n7\t2026-05-04\n8\t2026-05-01\n8\t2026-05-02\n8\t2026-05-03\n8\t2026-05-04"
    );
    let teams = world.told(&["team", "list", "--json"]).done().json();
    assert_eq!(
        (&teams["teams"][0]["enabled"], &teams["teams"][1]["enabled"]),
        (&json!(false), &json!(true))
    );
    world.told(&of_four_days("backfill", "7", &[])).refused(
        2,
        "team 7 (Team 7) has web_analytics_pre_aggregated_tables_enabled off",
        "prefill enable --team-id 7",
    );

    world.told(&["enable", "--team-id", "7"]).done();
    let again = world
        .told(&of_four_days("backfill", "7", &["--json"]))
        .done()
        .json();
    assert_eq!(
        (&again["days_filled"], &again["days_already_filled"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(world.tables().await, filled);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_days_whose_rows_are_gone_and_a_team_without_traffic_is_healthy() {
    let world = four_days_of_team_7().await;
    let silent = world.team(9, "Asia/Kolkata").await;
    world.enable(silent).await;
    let waiting = world
        .told(&["backfill", "--team-id", "9", "--json"])
        .done()
        .json();
    let days = |name: &str| waiting[name].as_i64().expect("a number");
    assert_eq!(days("days_waiting") + days("days_filled"), 8, "{waiting}");
    assert!(
        days("days_waiting") >= 1,
        "today may still bring events: {waiting}"
    );
    let healthy = world.told(&["health"]).done();
    assert_eq!(
        healthy.lines(),
        ["healthy: 2 teams with the setting on, 0 of them with data"]
    );

    world.told(&of_four_days("backfill", "7", &[])).done();
    assert_eq!(
        world.told(&["health"]).done().lines(),
        ["healthy: 2 teams with the setting on, 1 of them with data"]
    );
    for (day, table) in [
        ("2026-05-02", prefill::rollup::STATS),
        ("2026-05-03", prefill::rollup::BOUNCES),
    ] {
        let gone =
            format!("delete from {table} where team_id = 7 and toDate(period_bucket) = '{day}'");
        world.told(&["query", &gone]).done();
    }
    let told = world.told(&["health"]).found_trouble();
    assert_eq!(
        told.lines(),
        [
            "unhealthy: 2 teams with the setting on, 1 of them with data",
            "team 7 (Team 7) has gaps: 2 days are filled and the tables do not hold what was verified any more [2026-05-02, 2026-05-03]",
        ]
    );
    let recommended =
        "prefill backfill --team-id 7 --date-start 2026-05-02 --date-end 2026-05-04 --force";
    assert_eq!(
        told.err,
        format!("hint: team 7 has gaps: run {recommended}\n")
    );
    let health = world.told(&["health", "--json"]).found_trouble().json();
    assert_eq!(
        health["data_gaps_detected"][0]["days"],
        json!(["2026-05-02", "2026-05-03"])
    );
    let metrics = world
        .told(&["metrics", "--days", "30", "--json"])
        .done()
        .json();
    let coverage = metrics["metrics"]["data_coverage_percentage"]
        .as_f64()
        .expect("a number");
    assert!((0.0..=100.0).contains(&coverage), "{metrics}");

    let all = "delete from web_pre_aggregated_bounces where team_id = 7";
    world.told(&["query", all]).done();
    let health = world.told(&["health", "--json"]).found_trouble().json();
    let missing = &health["teams_missing_data"][0];
    has(
        missing,
        &[
            "team_id",
            "team_name",
            "organization",
            "enabled_date",
            "issue",
        ],
    );
    assert_eq!(
        missing["issue"],
        "4 days are filled and the tables do not hold what was verified any more"
    );

    // The hint is the way out.
    world
        .told(&of_four_days("backfill", "7", &["--force"]))
        .done();
    world.told(&["health"]).done();
    world.told(&of_four_days("validate", "7", &[])).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_async_leaves_the_work_to_others() {
    let world = four_days_of_team_7().await;
    let state = || async {
        (
            world.tables().await,
            world.told(&["status", "--json"]).done().out,
        )
    };
    let before = state().await;
    let told = world
        .told(&of_four_days("backfill", "7", &["--dry-run"]))
        .done();
    assert_eq!(
        told.lines()[..5],
        [
            "DAY STATE NOW EVENTS",
            "2026-05-04 - 2",
            "2026-05-03 - 2",
            "2026-05-02 - 2",
            "2026-05-01 - 2"
        ]
    );
    assert!(
        told.lines()[5].starts_with("would fill 4 of 4 days of team 7: 8 events, "),
        "{told:?}"
    );
    assert_eq!(state().await, before);

    let told = world
        .told(&of_four_days("backfill", "7", &["--async"]))
        .done();
    let task = told.out.trim_end();
    assert!(
        task.parse::<uuid::Uuid>().is_ok(),
        "the task id and nothing else: {told:?}"
    );
    assert_eq!(world.tables().await, before.0);
    let status = world.told(&["status", task, "--json"]).done().json();
    assert_eq!(
        (
            &status["status"],
            &status["progress"]["filled"],
            &status["progress"]["days"]
        ),
        (&json!("queued"), &json!(0), &json!(4))
    );
    world.told(&of_four_days("backfill", "7", &[])).done();
    let status = world.told(&["status", task]).done();
    assert_eq!(
        status.lines()[0],
        "completed: team 7, 2026-05-01..2026-05-05 (request), 4 of 4 days filled"
    );
    assert!(
        status.lines()[2].starts_with("2026-05-04 filled - 1 2 "),
        "{status:?}"
    );
}

/// Stops what it started: the serve of a story that failed must not stay.
fn serve(world: &World, more: &[&str]) -> Running {
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        "[service]\nlease_ms = 1000\nbackoff_ms = 50\nreconcile_ms = 100\nfreshness_ms = 100\n",
    )
    .expect("written");
    Running::start(world.command(&[&["serve"], more].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_fills_what_is_asked_for_says_so_in_lines_of_json_and_is_silent_when_idle() {
    let world = four_days_of_team_7().await;
    let serving = serve(&world, &["--log-format", "json"]);
    serving.says("serving");
    // Any number of them works on a shared ledger.
    if !support::ledger::is_postgres() {
        let second = world.told(&["serve"]);
        second.refused(2, "another prefill serve works on", "another --data-dir");
    }

    let told = world
        .told(&of_four_days("backfill", "7", &["--async"]))
        .done();
    look("a completed task, and nothing left to do", || {
        let status = world
            .told(&["status", told.out.trim_end(), "--json"])
            .done()
            .json();
        let list = world.told(&["list"]).done();
        (status["status"] == "completed"
            && !list.out.contains("filling")
            && !list.out.contains("queued"))
        .then_some(())
    });
    let lines: Vec<Value> = serving
        .said()
        .iter()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let filled: Vec<&Value> = lines
        .iter()
        .filter(|line| line["outcome"] == "filled" && line["reason"] == "request")
        .collect();
    assert_eq!(filled.len(), 4, "{lines:?}");
    for line in filled {
        has(
            line,
            &[
                "timestamp",
                "level",
                "message",
                "team_id",
                "day",
                "stats_rows",
                "bounces_rows",
                "elapsed_ms",
            ],
        );
        assert_eq!(
            (&line["team_id"], &line["sessions"], &line["level"]),
            (&json!(7), &json!(1), &json!("INFO"))
        );
    }
    // Commands that only read, beside it: they take a while, and nothing happens.
    let before = serving.said();
    for command in ["list", "health", "status"] {
        assert_ne!(world.told(&[command]).code, Some(2));
    }
    world.told(&of_four_days("validate", "7", &[])).done();
    assert_eq!(serving.said(), before);
    serving.signal(Signal::TERM);
    let told = serving.end();
    assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{told:?}");
    assert!(
        told.err.ends_with('}') && told.err.contains("stopped"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_fails_is_told_with_its_team_day_outcome_and_error() {
    let world = four_days_of_team_7().await;
    let target = world.target(team_7(), "2026-05-01", "2026-05-02").await;
    let serving = serve(&world, &[]);
    serving.says("serving");
    world
        .query("alter table events rename column city_name to town")
        .await;
    // Whoever asks prefill for it is told at once what is missing.
    let refused = world.prefill.backfill(&target, false).await;
    let refused = refused.expect_err("a misfit").chain();
    assert!(refused.contains("has no column city_name"), "{refused}");
    let (ledger, days) = (&world.prefill.ledger, target.days);
    let asked = ledger.request(
        team_7(),
        days,
        &target.zone,
        DEFAULT_WAREHOUSE,
        Reason::Request,
        None,
    );
    let task = asked.await.expect("asked").expect("a run").to_string();
    let line = serving.says("failed to fill team 7, 2026-05-01");
    for part in [
        "ERROR",
        "team_id=7",
        "day=2026-05-01",
        "attempts=1",
        "outcome=\"failed\"",
        "error=\"",
        "city_name",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let status = world.told(&["status", &task]).done();
    assert_eq!(
        status.lines()[0],
        "failed: team 7, 2026-05-01..2026-05-02 (request), 0 of 1 day filled"
    );
    assert!(status.out.contains("city_name"), "{status:?}");
    world.told(&["list"]).done();

    world
        .query("alter table events rename column town to city_name")
        .await;
    let again = world
        .told(&[
            "backfill",
            "--team-id",
            "7",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
        ])
        .done();
    assert!(again.out.starts_with("completed: team 7 (Team 7), 2026-05-01..2026-05-02: 1 of 1 day filled, 1 session, 2 page views, verified, in "), "{again:?}");
    let line = serving
        .said()
        .into_iter()
        .find(|line| line.contains("filled team 7, 2026-05-01"));
    assert!(
        line.is_none_or(|line| line.contains("elapsed_ms=")),
        "whoever came first filled it"
    );
    serving.signal(Signal::INT);
    assert_eq!(serving.end().code, Some(0));
}

#[test]
fn two_shells_work_on_one_empty_directory_at_the_same_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first: Vec<Running> = (1..=2)
        .map(|team| {
            Running::start(in_dir(
                dir.path(),
                &[
                    "team",
                    "add",
                    "--team-id",
                    &team.to_string(),
                    "--name",
                    "A",
                    "--json",
                ],
            ))
        })
        .collect();
    for shell in first {
        assert_eq!(shell.end().code, Some(0));
    }
    for team in ["1", "2"] {
        Told::from(
            in_dir(dir.path(), &["enable", "--team-id", team])
                .output()
                .expect("it ran"),
        )
        .done();
    }
    let events = dir.path().join("events.jsonl");
    let lines: Vec<String> = (0..8)
        .map(|number| {
            event_line(
                i64::from(1 + number % 2),
                number,
                &format!("2026-05-0{}T10:00:00Z", 1 + number / 2),
            )
        })
        .collect();
    std::fs::write(&events, lines.join("\n")).expect("written");
    let import: Vec<Running> = (1..=2)
        .map(|_| {
            Running::start(in_dir(
                dir.path(),
                &[
                    "import",
                    "jsonl",
                    events.to_str().expect("a path"),
                    "--json",
                ],
            ))
        })
        .collect();
    let added: u64 = import
        .into_iter()
        .map(|shell| {
            let told = shell.end();
            assert_eq!(told.code, Some(0), "{told:?}");
            told.json()["events_added"].as_u64().expect("a number")
        })
        .sum();
    assert_eq!(added, 8, "nothing twice");
    // The same team in both, and the other team beside them.
    let fills: Vec<Running> = ["1", "1", "2"]
        .into_iter()
        .map(|team| {
            Running::start(in_dir(
                dir.path(),
                &of_four_days("backfill", team, &["--json"]),
            ))
        })
        .collect();
    for fill in fills {
        let told = fill.end();
        assert_eq!(told.code, Some(0), "{told:?}");
        assert_eq!(told.json()["status"], "completed", "{told:?}");
    }
    for team in ["1", "2"] {
        let told = Told::from(
            in_dir(dir.path(), &of_four_days("validate", team, &[]))
                .output()
                .expect("it ran"),
        )
        .done();
        assert_eq!(
            told.lines().last().map(String::as_str),
            Some(
                format!("team {team}, 2026-05-01..2026-05-05: all 4 days equal the raw events")
                    .as_str()
            )
        );
    }
}

/// Ends the program, or the engine, while days are being filled.
async fn disturb(world: &World, fill: &Running, done: impl FnOnce()) {
    let ledger = &world.prefill.ledger;
    support::until(
        "a day running",
        std::time::Duration::from_secs(60),
        || async {
            let slices = ledger.slices(team_7()).await.expect("slices");
            let states: Vec<String> = slices
                .values()
                .map(|slice| slice.state.to_string())
                .collect();
            (fill.said().is_empty() && states.iter().any(|state| state == "running")).then_some(())
        },
    )
    .await;
    done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_disturbed_in_its_middle_and_asked_for_again_leaves_the_tables_of_an_undisturbed_one()
 {
    let world = World::new().await;
    let team = world.team(7, "Asia/Kolkata").await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        "[service]\nlease_ms = 3000\nbackoff_ms = 50\n",
    )
    .expect("written");
    world.enable(team).await;
    world
        .told(&[
            "query",
            "insert into events (uuid, event, team_id, distinct_id, person_id, session_id, timestamp, pathname, host) \
             select reinterpretAsUUID(toUInt128(number)), '$pageview', {team_id:Int64}, toString(number % 5000), reinterpretAsUUID(toUInt128(number % 5000)), \
             concat('s', toString(intDiv(number, 4))), toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 3456), \
             concat('/', toString(number % 997)), 'acme.test' from numbers(100000)",
            "--team-id",
            "7",
        ])
        .done();
    let range = [
        "backfill",
        "--team-id",
        "7",
        "--date-start",
        "2026-05-01",
        "--date-end",
        "2026-05-06",
    ];
    let clean = || {
        world
            .told(&[
                "cleanup",
                "--team-id",
                "7",
                "--date-start",
                "2026-05-01",
                "--date-end",
                "2026-05-06",
                "--yes",
            ])
            .done();
        world.told(&["enable", "--team-id", "7"]).done();
    };
    world.told(&range).done();
    let undisturbed = world.tables().await;
    assert!(undisturbed.lines().count() > 1000);

    for force in [false, true] {
        let unforced = range;
        let range = if force {
            [&range[..], &["--force"]].concat()
        } else {
            range.to_vec()
        };
        for signal in [Signal::INT, Signal::KILL] {
            if !force {
                clean();
            }
            let fill = Running::start(world.command(&range));
            disturb(&world, &fill, || fill.signal(signal)).await;
            let told = fill.end();
            if signal == Signal::INT {
                assert_eq!(told.code, Some(1), "{told:?}");
                assert!(
                    told.out
                        .starts_with("interrupted: team 7 (Team 7), 2026-05-01..2026-05-06: "),
                    "{told:?}"
                );
                let hint = if force {
                    "hint: run it again without --force to go on; what is filled stays"
                } else {
                    "hint: run the same command again to go on; what is filled stays"
                };
                assert!(told.err.contains(hint), "{told:?}");
            } else {
                assert_eq!((told.code, told.out.as_str()), (None, ""), "{told:?}");
            }
            // As the hint says; nobody hints at anything after a kill.
            let again = if signal == Signal::INT {
                &unforced[..]
            } else {
                &range
            };
            let again = world.told(again).done();
            assert!(again.out.starts_with("completed: "), "{again:?}");
            assert_eq!(
                world.tables().await,
                undisturbed,
                "force = {force}, {signal:?}"
            );
        }
    }

    clean();
    let fill = Running::start(world.command(&range));
    disturb(&world, &fill, || {
        let card: Value = serde_json::from_slice(
            &std::fs::read(world.dir.path().join("engine.json")).expect("a card"),
        )
        .expect("JSON");
        let pid = i32::try_from(card["pid"].as_i64().expect("a pid")).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it runs");
    })
    .await;
    let told = fill.end();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.starts_with("completed: "), "{told:?}");
    world.store.warehouse.revive().await.expect("revived");
    assert_eq!(world.tables().await, undisturbed, "the engine died");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_days_that_are_filled_and_could_not_be_filled_again() {
    let world = four_days_of_team_7().await;
    world.told(&of_four_days("backfill", "7", &[])).done();
    world.told(&["health"]).done();
    support::ledger::plain_sql(
        world.dir.path(),
        "update slices set state = 'failed', error = 'too much memory' where day in ('2026-05-02', '2026-05-03')",
    );
    let told = world.told(&["health"]).found_trouble();
    assert_eq!(
        told.lines(),
        [
            "unhealthy: 1 team with the setting on, 1 of them with data",
            "team 7 (Team 7) has gaps: 2 days are failed, the newest 2026-05-03: too much memory [2026-05-02, 2026-05-03]",
        ]
    );
    assert_eq!(
        told.err,
        "hint: team 7 has gaps: run prefill backfill --team-id 7 --date-start 2026-05-02 --date-end 2026-05-04 --force\n"
    );
    world
        .told(&of_four_days("backfill", "7", &["--force"]))
        .done();
    world.told(&["health"]).done();
    // What lies between is not filled again, and what was cleaned is not brought back.
    support::ledger::plain_sql(
        world.dir.path(),
        "update slices set state = case day when '2026-05-02' then 'cleaned' else 'failed' end, error = 'too much memory',
             filled_at = case day when '2026-05-03' then null else filled_at end
         where day between '2026-05-01' and '2026-05-03'",
    );
    let told = world.told(&["health"]).found_trouble();
    assert_eq!(
        told.err,
        "hint: team 7 has gaps: run prefill backfill --team-id 7 --date-start 2026-05-03 --date-end 2026-05-04 --force; then prefill backfill --team-id 7 --date-start 2026-05-01 --date-end 2026-05-02 --force\n"
    );
}
