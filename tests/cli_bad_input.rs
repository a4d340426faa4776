//! What people get wrong, and what machines do to them: each is one error with a next step and an
//! exit code that tells misuse (2) from failure (1), and never a panic.

mod support;
#[path = "support/told.rs"]
mod told;

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{World, program};
use told::{Running, Told, look};

/// A program on a data directory of its own, without an engine until a command needs one.
struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    /// With team 7, whose setting is off, and team 8, whose setting is on.
    fn new() -> Self {
        let shell = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        shell
            .told(&["team", "add", "--team-id", "7", "--name", "Acme"])
            .done();
        shell
            .told(&["team", "add", "--team-id", "8", "--name", "B"])
            .done();
        shell.told(&["enable", "--team-id", "8"]).done();
        shell
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.dir.path(), arguments)
    }

    fn told(&self, arguments: &[&str]) -> Told {
        Told::from(self.command(arguments).output().expect("the program ran"))
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("a path").to_owned()
    }

    fn plain_sql(&self, sql: &str) {
        support::ledger::plain_sql(self.dir.path(), sql);
    }
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(dir)
        .args(arguments)
        .env_remove("WEB_ANALYTICS_BACKFILL_DAYS")
        .stdin(Stdio::null());
    support::ledger::name_ledger(&mut command, dir);
    command
}

#[test]
fn an_unknown_team_is_refused_by_every_command_that_takes_one() {
    let shell = Shell::new();
    let log = shell.file("access.log", "");
    let range = ["--date-start", "2026-05-01", "--date-end", "2026-05-02"];
    for arguments in [
        vec!["team", "set", "--name", "X"],
        vec!["enable"],
        vec!["disable"],
        vec!["backfill"],
        vec!["backfill", "--dry-run"],
        vec!["backfill", "--async"],
        vec!["validate"],
        [&["cleanup", "--yes"], &range[..]].concat(),
        vec!["import", "access-log", &log],
        vec!["import", "jsonl", &log],
        vec!["query", "select 1"],
    ] {
        shell
            .told(&[&arguments[..], &["--team-id", "99"]].concat())
            .refused(2, "there is no team 99", "prefill team list");
        for id in ["0", "-1", "x", "", "9223372036854775808"] {
            shell
                .told(&[&arguments[..], &["--team-id", id]].concat())
                .misspelt("--team-id");
        }
    }
    shell
        .told(&["team", "add", "--team-id", "7", "--name", "Again"])
        .refused(2, "team 7 is there already", "prefill team set --team-id 7");
    shell
        .told(&["team", "add", "--team-id", "9", "--name", ""])
        .misspelt("--name");
    shell
        .told(&["team", "set", "--team-id", "7"])
        .misspelt("--timezone");
    for task in ["abc", "", "no-task", "0198c1f0-0000-4000-8000-00000000000"] {
        shell.told(&["status", task]).refused(
            2,
            &format!("{task:?} is no task id"),
            "run prefill status to see the latest ones",
        );
    }
    shell
        .told(&["status", "0198c1f0-0000-4000-8000-000000000000"])
        .refused(
            2,
            "there is no task 0198c1f0-0000-4000-8000-000000000000",
            "prefill status",
        );
    for (arguments, what) in [
        (
            &["backfill", "--team-id=8", "--days=abc"][..],
            "\"abc\" is no whole number",
        ),
        (
            &["validate", "--team-id=8", "--days", "1.5"],
            "\"1.5\" is no whole number",
        ),
        (&["metrics", "--days", ""], "is no whole number"),
        (
            &["metrics", "--days=99999999999999999999"],
            "\"99999999999999999999\" is out of range",
        ),
        (
            &["team", "set", "--team-id=7", "--backfill-days=x"],
            "\"x\" is no whole number",
        ),
        (
            &["engine", "--port", "abc"],
            "\"abc\" is no whole number from 0 to 65535",
        ),
        (
            &["engine", "--port", "65536"],
            "\"65536\" is no whole number from 0 to 65535",
        ),
        (
            &["engine", "--port", "-1"],
            "\"-1\" is no whole number from 0 to 65535",
        ),
    ] {
        shell.told(arguments).misspelt(what);
    }
    shell.told(&["unknown"]).misspelt("unknown");
    shell
        .told(&["list", "--log-format", "xml"])
        .misspelt("--log-format");
}

#[test]
fn words_that_are_wrong_are_told_to_programs_too() {
    let shell = Shell::new();
    for (arguments, error, hint) in [
        (
            &["backfill"][..],
            "the following required arguments were not provided: --team-id <N>",
            "run prefill backfill --help",
        ),
        (
            &["cleanup", "--team-id", "7"],
            "the following required arguments were not provided: --date-start <DATE> --date-end <DATE>",
            "run prefill cleanup --help",
        ),
        (
            &["team", "add", "--team-id", "x", "--name", "list"],
            "invalid value 'x' for '--team-id <N>': \"x\" is no team id: a whole number above 0",
            "run prefill team add --help",
        ),
        (
            &["bakfill"],
            "unrecognized subcommand 'bakfill'",
            "run prefill --help",
        ),
    ] {
        let told = shell.told(&[arguments, &["--json"]].concat());
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(told.err.starts_with("error: "), "{told:?}");
        let expected = serde_json::json!({"status": "error", "error": error, "hint": hint});
        assert_eq!(told.json(), expected);
    }
    // Words that are no text, either.
    let mut command = shell.command(&["--json"]);
    command.arg(std::ffi::OsStr::from_bytes(b"\xff"));
    let told = Told::from(command.output().expect("the program ran"));
    assert_eq!(
        (told.code, &told.json()["hint"]),
        (Some(2), &"run prefill --help".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_reaches_no_terminal_with_what_a_terminal_obeys() {
    let shell = Shell::new();
    for name in ["A\u{1b}[2J", "A\nerror: x", "A\tB", "A\u{7f}", "A\u{9b}2J"] {
        let add = ["team", "add", "--team-id", "9"];
        let set = ["team", "set", "--team-id", "7"];
        let told = |command: &[&str], more: &[&str]| shell.told(&[command, more].concat());
        told(&add, &["--name", name]).refused(2, "has a control character in it", "leave out");
        told(&add, &["--name", "A", "--organization", name]).refused(
            2,
            "--organization \"A",
            "leave out",
        );
        told(&set, &["--name", name]).refused(2, "--name \"A", "leave out");
        told(&set, &["--organization", name]).refused(2, "--organization \"A", "leave out");
    }
    // Plain SQL asks nobody; what it puts there is shown, and not obeyed.
    shell.plain_sql("update teams set name = 'Evil\u{1b}[2J\r\nB\u{9b}'");
    let shown = r"Evil\u{1b}[2J\r\nB\u{9b}";
    for arguments in [
        &["team", "list"][..],
        &["list"],
        &["enable", "--team-id", "7"],
        &["team", "set", "--team-id", "7", "--timezone", "UTC"],
        &["disable", "--team-id", "7"],
    ] {
        let told = shell.told(arguments).done();
        assert!(told.out.contains(shown), "{told:?}");
    }
    shell
        .told(&["backfill", "--team-id", "7"])
        .refused(2, shown, "prefill enable");
    let told = shell.told(&["team", "list", "--json"]).done();
    assert!(!told.out.contains('\u{9b}'), "{told:?}");
    assert_eq!(
        told.json()["teams"][0]["team_name"],
        "Evil\u{1b}[2J\r\nB\u{9b}"
    );
}

#[test]
fn f39_a_range_that_is_no_range_is_refused_by_every_command_that_takes_one() {
    let shell = Shell::new();
    for base in [
        ["backfill", "--team-id=8"],
        ["validate", "--team-id=8"],
        ["cleanup", "--team-id=8"],
    ] {
        let range = |from: &str, until: &str| {
            shell.told(&[&base[..], &["--date-start", from, "--date-end", until]].concat())
        };
        for date in [
            "2026-13-01",
            "2026-02-29",
            "01.05.2026",
            "today",
            "",
            "2026-5-1",
            "2026-05-01T00:00:00Z",
            "0001-01-01",
        ] {
            range(date, "2026-05-02").misspelt("--date-start");
            range("2026-05-01", date).misspelt("--date-end");
        }
        range("2026-05-02", "2026-05-01").refused(
            2,
            "the range 2026-05-02 to 2026-05-01 ends before it starts",
            "--date-end is exclusive",
        );
        range("2026-05-01", "2026-05-01").refused(
            2,
            "the range 2026-05-01 to 2026-05-01 is empty",
            "--date-end 2026-05-02",
        );
        range("2100-01-01", "2100-01-02").refused(
            2,
            "--date-start 2100-01-01 is in the future",
            "days that have begun",
        );
        range("2026-05-01", "2100-01-02").refused(
            2,
            "--date-end 2100-01-02 is in the future",
            "--date-end is exclusive",
        );
    }
    for command in ["backfill", "validate"] {
        shell
            .told(&[command, "--team-id", "8", "--date-end", "2026-05-02"])
            .refused(2, "needs a --date-start", "--date-start");
        shell
            .told(&[
                command,
                "--team-id",
                "8",
                "--days",
                "3",
                "--date-start",
                "2026-05-01",
            ])
            .misspelt("--days");
    }
    shell
        .told(&["cleanup", "--team-id", "8", "--date-start", "2026-05-01"])
        .misspelt("--date-end");
}

#[test]
fn a_time_zone_that_does_not_exist_is_refused() {
    let shell = Shell::new();
    for zone in ["Mars/Olympus", "", "IST5:30", "../../etc/passwd"] {
        shell
            .told(&[
                "team",
                "add",
                "--team-id",
                "9",
                "--name",
                "X",
                "--timezone",
                zone,
            ])
            .refused(2, "there is no time zone", "Asia/Kolkata");
        shell
            .told(&["team", "set", "--team-id", "7", "--timezone", zone])
            .refused(2, "there is no time zone", "Asia/Kolkata");
    }
    let teams = shell.told(&["team", "list", "--json"]).done().json();
    assert_eq!(teams["teams"].as_array().map(Vec::len), Some(2));
    assert_eq!(teams["teams"][0]["timezone"], "UTC");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_zone_put_into_the_table_by_plain_sql_is_told_with_its_team_and_stops_nobody_else() {
    let shell = Shell::new();
    shell.plain_sql("update teams set timezone = 'Mars/Olympus', web_analytics_pre_aggregated_tables_enabled = 1 where id = 7");
    let told = shell.told(&["list"]).done();
    let lines = told.lines();
    assert!(
        lines[1].starts_with("7 Acme Mars/Olympus ") && lines[1].contains("no valid time zone"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("8 B UTC "), "{lines:?}");
    shell.told(&["team", "list"]).done();
    let health = shell.told(&["health", "--json"]).found_trouble().json();
    assert_eq!(health["teams_missing_data"][0]["team_id"], 7);
    assert!(
        health["teams_missing_data"][0]["issue"]
            .as_str()
            .is_some_and(|issue| issue.contains("Mars/Olympus")),
        "{health}"
    );
    let hint = health["recommendations"][0].as_str().expect("a hint");
    assert!(
        hint.contains("prefill team set --team-id 7 --timezone"),
        "{hint}"
    );
    shell.told(&["metrics"]).done();
    assert_eq!(
        shell.told(&["list", "--json"]).done().json()["teams"][0]["coverage_percentage"],
        0.0
    );
    shell.plain_sql("update teams set backfill_days = 500 where id = 8");
    let health = shell.told(&["health", "--json"]).found_trouble().json();
    assert!(
        health["teams_missing_data"][1]["issue"]
            .as_str()
            .is_some_and(|issue| issue.contains("500")),
        "{health}"
    );
    assert!(shell.told(&["list"]).done().lines()[2].contains("backfill_days 500 is out of range"));
    shell.told(&["metrics"]).done();
    shell
        .told(&["backfill", "--team-id", "8"])
        .refused(2, "500", "");
    shell.plain_sql("update teams set backfill_days = null where id = 8");
    for command in [
        vec!["backfill"],
        vec!["validate"],
        vec![
            "cleanup",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
            "--yes",
        ],
    ] {
        shell
            .told(&[&command[..], &["--team-id", "7"]].concat())
            .refused(
                2,
                "team 7 has no valid time zone",
                "prefill team set --team-id 7 --timezone",
            );
    }

    let serving = Running::start(shell.command(&["serve"]));
    serving.says("serving");
    let line = serving.says("no valid time zone");
    assert!(
        line.contains("team_id=7") && line.contains("Mars/Olympus"),
        "{line}"
    );
    let file = shell.file("events.jsonl", r#"{"event":"$pageview","team_id":8,"distinct_id":"a","session_id":"s","timestamp":"2026-05-01T10:00:00Z"}"#);
    shell.told(&["import", "jsonl", &file]).done();
    shell
        .told(&[
            "backfill",
            "--team-id",
            "8",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
            "--async",
        ])
        .done();
    serving.says("filled team 8, 2026-05-01: 1 session");
    shell
        .told(&[
            "team",
            "set",
            "--team-id",
            "7",
            "--timezone",
            "Asia/Kolkata",
        ])
        .done();
    look("team 7 filled too", || {
        let list = shell.told(&["list"]).done();
        list.lines()[1]
            .starts_with("7 Acme Asia/Kolkata 100.0 %")
            .then_some(())
            .or_else(|| list.lines()[1].contains("waiting").then_some(()))
    });
}

#[test]
fn a_file_that_cannot_be_imported_is_told_and_an_empty_one_is_none() {
    let shell = Shell::new();
    let binary: Vec<u8> = (0..20_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let binary = shell.file("binary", binary);
    let broken = shell.file("broken.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    let empty = shell.file("empty", "");
    let dir = shell.dir.path().to_str().expect("a path");
    for format in ["access-log", "jsonl"] {
        let import = |file: &str| shell.told(&["import", format, file, "--team-id", "7"]);
        import("/nonexistent/file").refused(2, "failed to open /nonexistent/file", "existing file");
        import(dir).refused(2, "it is a directory", "one by one");
        import(&binary).refused(
            2,
            "not one of",
            if format == "jsonl" {
                "JSON"
            } else {
                "access log"
            },
        );
        import(&broken).refused(2, &format!("failed to import {broken}"), "");
        let told = import(&empty).done();
        assert!(
            told.out
                .starts_with(&format!("imported {empty}: 0 lines, 0 events added")),
            "{told:?}"
        );
        assert_eq!(told.err, "the file is empty\n");
    }
    let events = shell
        .told(&["query", "select count() from events", "--format", "TSV"])
        .done();
    assert_eq!(events.out, "0\n");
}

#[test]
fn what_an_import_of_events_leaves_out_or_empty_is_said_with_the_next_step() {
    let shell = Shell::new();
    let line = |team: u32, more: &str| {
        format!(
            r#"{{"event":"$pageview","team_id":{team},"distinct_id":"a","session_id":"s{team}","timestamp":"2026-05-01T10:00:00Z"{more}}}"#
        )
    };
    let file = |name: &str, lines: &[String]| shell.file(name, lines.join("\n"));
    let others = file("others.jsonl", &[line(8, ""), line(9, "")]);
    shell
        .told(&["import", "jsonl", &others, "--team-id", "7"])
        .refused(
            2,
            "not one of 2 lines is an event of team 7: 2 of them name other teams, the first one team 8",
            "leave --team-id out to import events for the teams that they name, or name theirs: --team-id 8",
        );
    let some = file(
        "some.jsonl",
        &[
            line(7, r#","host":["a"]"#),
            line(8, ""),
            line(7, r#","os":true"#),
        ],
    );
    let told = shell
        .told(&["import", "jsonl", &some, "--team-id", "7"])
        .done();
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines[1], "left out: 1 of another team than --team-id");
    assert_eq!(
        told.err,
        "the field host of 1 line has a value of a wrong type or out of range and was left empty\n\
         the field os of 1 line has a value of a wrong type or out of range and was left empty\n"
    );
    // Without --team-id each line is its own team's, whether somebody added that team or not.
    let told = shell.told(&["import", "jsonl", &others]).done();
    assert_eq!(
        told.err,
        "team 9 is not in the teams table, so nothing fills the days of its events; run prefill team add --team-id 9 --name NAME\n"
    );
    let many: Vec<String> = (8..17).map(|team| line(team, "")).collect();
    let told = shell
        .told(&["import", "jsonl", &file("many.jsonl", &many), "--json"])
        .done();
    assert_eq!(
        told.json()["unknown_teams"],
        serde_json::json!([9, 10, 11, 12, 13, 14, 15, 16])
    );
    assert!(
        told.err
            .starts_with("teams 9, 10, 11, 12, 13 and 3 more are not in the teams table"),
        "{told:?}"
    );
}

#[test]
fn a_statement_that_is_wrong_is_refused_in_one_line() {
    let shell = Shell::new();
    let query = |arguments: &[&str]| shell.told(&[&["query"], arguments].concat());
    query(&["selekt 1"]).refused(1, "Syntax error", "correct the statement");
    query(&["select * from nowhere"]).refused(1, "UNKNOWN_TABLE", "show tables");
    query(&["select {team_id:Int64}"]).refused(1, "team_id", "correct the statement");
    query(&["select 1", "--format", "Foo"]).refused(1, "Unknown format Foo", "--format");
    query(&[""]).misspelt("<SQL>");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_by_name() {
    let shell = Shell::new();
    let with = |file: &str| shell.told(&["--config", file, "list"]);
    with("/nonexistent.toml").refused(
        2,
        "failed to read the configuration /nonexistent.toml",
        "--config",
    );
    with(shell.dir.path().to_str().expect("a path")).refused(
        2,
        "failed to read the configuration",
        "--config",
    );
    for (text, what) in [
        (
            "backfil_days = 3",
            "unknown key `backfil_days` above all sections; did you mean `backfill_days`?",
        ),
        (
            "backfill_days = 0",
            "backfill_days 0 is out of range: 1 to 30",
        ),
        ("backfill_days = -1", "backfill_days"),
        (
            "backfill_days = 31",
            "backfill_days 31 is out of range: 1 to 30",
        ),
        (
            "max_backfill_days = 0",
            "max_backfill_days = 0 is out of range",
        ),
        (
            "[service]\nlease_ms = 1",
            "service.lease_ms = 1 is out of range: 1000 to 3600000",
        ),
        (
            "[warehouse]\nmax_memory_usage_total = 1",
            "max_memory_usage_total = 1 is less than max_memory_usage = 4294967296, that of one statement: none could begin",
        ),
        ("[warehouse]\ndatabase = \"a`b\"", "a`b"),
        ("[source]\ncolumns = { host = \"x`y\" }", "x`y"),
        (
            "[source.columns]\nbogus = \"x\"",
            "[source.columns] names \"bogus\", which is no column of the events contract",
        ),
        (
            "default_warehouse = \"a\"\n[warehouses.a]\n[warehouses.b]\nurl = \"http://127.0.0.1:1\"\ndatabase = \"\"",
            "the warehouse b is not usable",
        ),
        ("not toml", "is not valid"),
        ("\u{0}", "is not valid"),
    ] {
        let file = shell.file("wrong.toml", text);
        // Also by commands that have no use for what is wrong.
        for command in [&["query", "select 1"][..], &["team", "list"]] {
            let told = shell.told(&[&["--config", &file], command].concat());
            told.refused(2, what, "");
        }
    }
    let file = shell.file("prefill.toml", "backfil_days = 3");
    shell.told(&["list"]).refused(2, &file, "README.md");
}

#[test]
fn an_engine_that_is_missing_or_no_library_is_told_and_the_ledger_works_without() {
    let shell = Shell::new();
    let no_library = shell.file("libchdb.so", "text");
    let events = shell.file(
        "events.jsonl",
        r#"{"event":"$pageview","distinct_id":"a","session_id":"s","timestamp":1}"#,
    );
    for (library, what) in [
        (
            "/nonexistent",
            "PREFILL_LIBCHDB names /nonexistent, which is no file",
        ),
        (no_library.as_str(), "which is no 64-bit ELF shared object"),
    ] {
        let told = |arguments: &[&str]| {
            Told::from(
                shell
                    .command(arguments)
                    .env("PREFILL_LIBCHDB", library)
                    .output()
                    .expect("the program ran"),
            )
        };
        for arguments in [
            &["query", "select 1"][..],
            &["backfill", "--team-id", "8"],
            &["backfill", "--team-id", "8", "--dry-run"],
            &["validate", "--team-id", "8"],
            &[
                "cleanup",
                "--team-id",
                "8",
                "--date-start",
                "2026-05-01",
                "--date-end",
                "2026-05-02",
                "--yes",
            ],
            &["serve"],
            &["import", "jsonl", &events, "--team-id", "8"],
            &["engine"],
        ] {
            told(arguments).refused(1, what, "make engine");
        }
        // What was done before it failed stays, and is said.
        let migrate = told(&["migrate"]);
        assert_eq!(migrate.code, Some(1), "{migrate:?}");
        assert!(migrate.out.contains("the ledger is ready"), "{migrate:?}");
        assert!(
            migrate.err.contains(what) && migrate.err.contains("make engine"),
            "{migrate:?}"
        );
        // Health is there to say what is wrong, and says it of each warehouse.
        let health = told(&["health"]).found_trouble();
        assert!(
            health.err.contains(what) && health.err.contains("make engine"),
            "{health:?}"
        );
        for arguments in [
            &["list"][..],
            &["team", "list"],
            &["status"],
            &["disable", "--team-id", "7"],
        ] {
            told(arguments).done();
        }
    }
    let teams = shell.told(&["team", "list", "--json"]).done().json();
    assert_eq!(
        teams["teams"][1]["enabled"], true,
        "the cleanup that could not delete turned nothing off"
    );
}

/// Commands that need the data directory to write: the ledger's alone, and the warehouse's too.
const WRITERS: [&[&str]; 6] = [
    &["list"],
    &["team", "add", "--team-id", "7", "--name", "Acme"],
    &["serve"],
    &["health"],
    &["query", "select 1"],
    &["migrate"],
];

#[test]
fn a_ledger_that_is_damaged_is_told_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prefill.db");
    let damaged = "no database, and nobody's to write over";
    std::fs::write(&file, damaged).expect("written");
    for arguments in [&["status"][..], &["serve"], &["team", "list"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prefill"));
        command.arg("--data-dir").arg(dir.path()).args(arguments);
        command.env_remove("PREFILL_LEDGER_URL");
        let told = Told::from(command.output().expect("the program ran"));
        told.refused(
            1,
            "failed to open the ledger",
            "put a copy of prefill.db back",
        );
    }
    assert_eq!(std::fs::read_to_string(&file).expect("read"), damaged);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for arguments in WRITERS {
        let told = command(file.path(), arguments).output();
        Told::from(told.expect("the program ran")).refused(
            2,
            &format!("{} is not a directory", file.path().display()),
            "--data-dir",
        );
    }
    for dir in [
        &file.path().join("below"),
        Path::new("/proc/prefill"),
        Path::new("/sys/prefill"),
    ] {
        for arguments in WRITERS {
            let told = Told::from(command(dir, arguments).output().expect("the program ran"));
            told.refused(
                1,
                &format!("failed to make the data directory {}", dir.display()),
                "--data-dir",
            );
        }
    }
    Told::from(
        command(Path::new(""), &["list"])
            .output()
            .expect("the program ran"),
    )
    .misspelt("--data-dir");
    // Set to nothing is not set, and without a home there is no usual place either.
    let mut unnamed = Command::new(program());
    unnamed
        .arg("list")
        .env("PREFILL_DATA_DIR", "")
        .env("XDG_DATA_HOME", "")
        .env("HOME", file.path());
    Told::from(unnamed.output().expect("the program ran")).refused(
        1,
        "failed to make",
        "--data-dir",
    );
}

/// A small file system in memory, gone at the end; nothing where mounting is not allowed.
struct Mounted(PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = Self::mount(&["-t", "tmpfs", "-o", options, "none"], dir.path());
        if !mounted {
            eprintln!(
                "SKIPPED: mounting a tmpfs is not allowed here, so full and read-only disks were not tested"
            );
        }
        mounted.then(|| Self(dir.path().to_owned(), dir))
    }

    fn mount(options: &[&str], at: &Path) -> bool {
        let status = Command::new("mount")
            .args(options)
            .arg(at)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_read_only_data_directory_is_told() {
    if support::ledger::is_postgres() {
        // The directory holds nothing that these commands would write.
        return;
    }
    let Some(disk) = Mounted::new("size=64m") else {
        return;
    };
    Told::from(
        command(&disk.0, &["team", "add", "--team-id", "1", "--name", "A"])
            .output()
            .expect("the program ran"),
    )
    .done();
    assert!(Mounted::mount(&["-o", "remount,ro"], &disk.0));
    for arguments in WRITERS {
        let told = Told::from(
            command(&disk.0, arguments)
                .output()
                .expect("the program ran"),
        );
        // What only reads may succeed: SQLite can read where an earlier command left its index.
        if arguments == ["list"] && told.code == Some(0) {
            told.done();
        } else {
            told.refused(1, "", "--data-dir");
        }
    }
}

#[test]
fn a_full_disk_is_told() {
    if support::ledger::is_postgres() {
        // The directory holds nothing that these commands would write.
        return;
    }
    let Some(disk) = Mounted::new("size=2m") else {
        return;
    };
    let mut filler = std::fs::File::create(disk.0.join("filler")).expect("a file");
    drop(std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("full"));
    for arguments in WRITERS {
        let told = Told::from(
            command(&disk.0, arguments)
                .output()
                .expect("the program ran"),
        );
        told.refused(1, &disk.0.display().to_string(), "space");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_under_an_import_is_told_and_the_import_can_be_repeated() {
    let Some(disk) = Mounted::new("size=48m") else {
        return;
    };
    Told::from(
        command(&disk.0, &["team", "add", "--team-id", "1", "--name", "A"])
            .output()
            .expect("the program ran"),
    )
    .done();
    Told::from(
        command(&disk.0, &["migrate"])
            .output()
            .expect("the program ran"),
    )
    .done();
    let mut filler = std::fs::File::create(disk.0.join("filler")).expect("a file");
    drop(std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("full"));
    drop(filler);
    let events = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(events.path(), r#"{"event":"$pageview","distinct_id":"a","session_id":"s","timestamp":"2026-05-01T10:00:00Z"}"#).expect("written");
    let import = [
        "import",
        "jsonl",
        events.path().to_str().expect("a path"),
        "--team-id",
        "1",
    ];
    let told = Told::from(command(&disk.0, &import).output().expect("the program ran"));
    told.refused(1, "", "space");
    std::fs::remove_file(disk.0.join("filler")).expect("removed");
    let told = Told::from(command(&disk.0, &import).output().expect("the program ran")).done();
    assert!(
        told.out.contains("1 events added") || told.out.contains("1 event added"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_a_full_disk_does_not_let_happen_is_told_soon_and_can_be_repeated() {
    let Some(disk) = Mounted::new("size=48m") else {
        return;
    };
    let run = |arguments: &[&str]| {
        Told::from(
            command(&disk.0, arguments)
                .output()
                .expect("the program ran"),
        )
    };
    run(&["team", "add", "--team-id", "1", "--name", "A"]).done();
    run(&["enable", "--team-id", "1"]).done();
    let events = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(events.path(), r#"{"event":"$pageview","distinct_id":"a","session_id":"s","timestamp":"2026-05-01T10:00:00Z"}"#).expect("written");
    let file = events.path().to_str().expect("a path");
    run(&["import", "jsonl", file, "--team-id", "1"]).done();
    let range = [
        "--team-id",
        "1",
        "--date-start",
        "2026-05-01",
        "--date-end",
        "2026-05-02",
    ];
    run(&[&["backfill"], &range[..]].concat()).done();
    let mut filler = std::fs::File::create(disk.0.join("filler")).expect("a file");
    drop(std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("full"));
    // Room for the ledger, and less than ClickHouse reserves for the smallest part.
    let size = filler.metadata().expect("a size").len();
    filler.set_len(size - (600 << 10)).expect("some room");
    drop(filler);
    let cleanup = [&["cleanup", "--yes"], &range[..]].concat();
    let begun = std::time::Instant::now();
    run(&cleanup).refused(1, "not enough space on its disk", "free some space");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    std::fs::remove_file(disk.0.join("filler")).expect("removed");
    let told = run(&cleanup).done();
    assert!(told.out.contains("deleted 1 + 1 rows"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_a_team_that_turned_the_setting_off_is_refused() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    Told::from(world.cli(&["disable", "--team-id", "7"])).done();
    for more in [&[][..], &["--async"], &["--dry-run"], &["--force"]] {
        Told::from(world.cli(&[&["backfill", "--team-id", "7"], more].concat())).refused(
            2,
            "team 7 (Team 7) has web_analytics_pre_aggregated_tables_enabled off",
            "run prefill enable --team-id 7",
        );
    }
    // Programs find the error where they read the answer.
    let told = Told::from(world.cli(&["backfill", "--team-id", "7", "--json"]));
    assert_eq!(
        (told.code, &told.json()["status"]),
        (Some(2), &serde_json::json!("error"))
    );
    assert_eq!(told.json()["hint"], "run prefill enable --team-id 7");
}
