//! What the program says about itself, by the front door: which configuration counts and whether it is
//! valid, every setting, completions, and the manual.

#[path = "support/told.rs"]
mod told;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use told::Told;

/// The program in a directory of its own, with no variable of ours but those that are given.
struct Shell {
    dir: TempDir,
}

impl Shell {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn command(&self, arguments: &[&str], set: &[(&str, &str)]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prefill"));
        for (name, _) in std::env::vars_os() {
            let told = name.to_string_lossy().into_owned();
            if told.starts_with("PREFILL_") || told.starts_with("WEB_ANALYTICS_") {
                command.env_remove(name);
            }
        }
        command.arg("--data-dir").arg(self.dir.path());
        command.args(arguments).envs(set.iter().copied());
        command.stdin(Stdio::null());
        Told::from(command.output().expect("the program starts"))
    }

    fn told(&self, arguments: &[&str]) -> Told {
        self.command(arguments, &[])
    }
}

fn run(program: &str, arguments: &[&Path]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_configuration_is_checked_and_told_with_where_it_comes_from_and_without_its_secrets() {
    let shell = Shell::new();
    let bare = shell.told(&["config", "check"]).done();
    assert!(bare.out.contains("file: no file\n"), "{bare:?}");
    assert!(
        bare.out.contains("environment: nothing in the environment"),
        "{bare:?}"
    );

    let file = shell.file(
        "prefill.toml",
        "[warehouses.eu]\nurl = \"http://eu:8123\"\npassword = \"hunter2\"\n[alerts.slack.on-call]\n",
    );
    let file = file.to_str().expect("a path");
    let set = [
        ("PREFILL_LEDGER_URL", "postgres://u:hunter2@db.example/db"),
        ("PREFILL_WAREHOUSE_EU_PASSWORD", "hunter2"),
        ("PREFILL_WAREHOUSE_URL", ""),
        ("PREFILL_LEGDER_URL", "postgres://u:hunter2@db.example/db"),
        (
            "PREFILL_ALERT_SLACK_ON_CALL_WEBHOOK_URL",
            "https://a.test/hunter2",
        ),
    ];
    let told = shell.command(&["config", "check"], &set).done();
    for line in [
        "the configuration is valid",
        &format!("file: {file}"),
        "environment: PREFILL_ALERT_SLACK_ON_CALL_WEBHOOK_URL, PREFILL_LEDGER_URL, PREFILL_WAREHOUSE_EU_PASSWORD",
        "warehouses: eu (a server)",
        "alerts: slack.on-call",
    ] {
        assert!(
            told.out.lines().any(|told| told == line),
            "{line}: {told:?}"
        );
    }
    assert_eq!(
        told.err,
        "hint: PREFILL_LEGDER_URL is set, and nothing reads it; did you mean PREFILL_LEDGER_URL?\n"
    );
    let json = shell.command(&["config", "check", "--json"], &set).done();
    assert!(!format!("{told:?} {json:?}").contains("hunter2"));
    let json = json.json();
    assert_eq!(json["status"], "valid");
    assert_eq!(json["file"], file);
    assert_eq!(json["warehouses"], serde_json::json!(["eu"]));
    assert_eq!(json["default_warehouse"], "eu");
    assert_eq!(
        json["unknown_variables"],
        serde_json::json!(["PREFILL_LEGDER_URL"])
    );
    assert_eq!(
        json["alert_receivers"],
        serde_json::json!(["slack.on-call"])
    );
    let counting = [
        "PREFILL_ALERT_SLACK_ON_CALL_WEBHOOK_URL",
        "PREFILL_LEDGER_URL",
        "PREFILL_WAREHOUSE_EU_PASSWORD",
    ];
    assert_eq!(json["variables"], serde_json::json!(counting));
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_what_was_read() {
    let shell = Shell::new();
    let set = [("PREFILL_WAREHOUSE_EU_PASSWORD", "hunter2")];
    for (text, what) in [
        (
            "[warehouse]\nmax_treads = 2\npassword = \"hunter2\"",
            "line 2: unknown key `max_treads` in [warehouse]; did you mean `max_threads`?",
        ),
        (
            "[service]\nworkers = 0",
            "service.workers = 0 is out of range",
        ),
        // What only serve would stumble over, and what only commands that use the tables would.
        (
            "[http]\ntoken_file = \"/nowhere/at/all\"",
            "failed to read http.token_file /nowhere/at/all",
        ),
        ("[warehouse]\ndatabase = \"a`b\"", "a`b"),
        (
            "[http]\nlisten = \"0.0.0.0:8377\"",
            "can be reached from other machines, and there is no token",
        ),
    ] {
        let file = shell.file("wrong.toml", text);
        let file = file.to_str().expect("a path");
        let told = shell.command(&["--config", file, "config", "check"], &set);
        assert!(!told.err.contains("hunter2"), "{told:?}");
        let from = format!("({file}; PREFILL_WAREHOUSE_EU_PASSWORD)");
        assert!(told.err.contains(&from), "{told:?}");
        told.refused(2, what, "");
        let told = shell.command(&["--config", file, "config", "check", "--json"], &set);
        assert_eq!(told.code, Some(2), "{told:?}");
        let json = told.json();
        assert_eq!(json["status"], "error");
        let error = json["error"].as_str().expect("text");
        assert!(error.contains(what) && error.contains(&from), "{error}");
        // Help is there when it is needed.
        shell
            .told(&["--config", file, "config", "print-default"])
            .done();
    }
    let told = shell.told(&["--config", "/nowhere/at/all.toml", "config", "check"]);
    told.refused(2, "/nowhere/at/all.toml", "--config");
}

#[test]
fn what_shows_only_when_it_is_used_is_checked_too() {
    let shell = Shell::new();
    let file = shell.file("no-directory", "");
    let file = file.to_str().expect("a path");
    for (name, value, what, hint) in [
        (
            "PREFILL_LEDGER_URL",
            "mysql://u:hunter2@db/x",
            "the url of the ledger",
            "postgres://",
        ),
        (
            "PREFILL_LEDGER_URL",
            "hunter2",
            "the url of the ledger",
            "postgres://",
        ),
        (
            "PREFILL_LIBCHDB",
            file,
            "no-directory",
            "correct PREFILL_LIBCHDB",
        ),
        (
            "PREFILL_LIBCHDB",
            "/nowhere",
            "which is no file",
            "correct PREFILL_LIBCHDB",
        ),
        ("PREFILL_LOG", "a=b=c", "PREFILL_LOG", "prefill=debug"),
        (
            "PREFILL_LOG",
            "inof",
            "\"inof\" is no level",
            "prefill=debug",
        ),
    ] {
        let told = shell.command(&["config", "check"], &[(name, value)]);
        assert!(!told.err.contains("hunter2"), "{told:?}");
        told.refused(2, what, hint);
    }
    // The last one counts.
    let told = shell.told(&["config", "check", "--data-dir", file]);
    told.refused(2, "is not a directory", "--data-dir");
    // A library that nobody loads is nobody's matter.
    let server = [
        ("PREFILL_LIBCHDB", "/nowhere"),
        ("PREFILL_WAREHOUSE_URL", "http://127.0.0.1:1"),
    ];
    shell.command(&["config", "check"], &server).done();
    // Other commands work without the filter, and say so.
    let told = shell.command(&["list"], &[("PREFILL_LOG", "a=b=c")]).done();
    assert!(told.err.contains("PREFILL_LOG is no filter"), "{told:?}");
}

#[test]
fn every_setting_is_printed_as_a_file_that_can_be_used_as_it_is() {
    let shell = Shell::new();
    let printed = shell.told(&["config", "print-default"]).done();
    assert_eq!(printed.err, "");
    for line in ["[service]", "#workers = 2", "#[teams]", "#budget = 0.1"] {
        assert!(printed.out.lines().any(|told| told == line), "{line}");
    }
    shell.file("prefill.toml", &printed.out);
    let told = shell.told(&["config", "check"]).done();
    assert!(told.out.contains("prefill.toml"), "{told:?}");
    assert!(
        told.out.contains("default (the embedded engine)"),
        "{told:?}"
    );
}

#[test]
fn each_shell_gets_completions_of_every_command() {
    let shell = Shell::new();
    for name in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = shell.told(&["completions", name]).done();
        for word in ["serve", "print-default", "access-log", "date-start"] {
            assert!(script.out.contains(word), "{word} of {name}");
        }
    }
    shell.told(&["completions", "tcsh"]).misspelt("tcsh");
    // And the one of bash completes.
    let script = shell.file(
        "completions.bash",
        &shell.told(&["completions", "bash"]).done().out,
    );
    let ask = shell.file(
        "ask.bash",
        &format!(
            "set -e\nsource {}\nCOMP_WORDS=(prefill config pr); COMP_CWORD=2\n_prefill prefill pr config\necho \"${{COMPREPLY[@]}}\"\n",
            script.display()
        ),
    );
    assert_eq!(run("bash", &[&ask]), (true, "print-default\n".to_owned()));
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let shell = Shell::new();
    let page = shell.told(&["man"]).done();
    assert!(page.out.contains(".TH prefill 1"), "{page:?}");
    assert!(page.out.contains("Exit codes: 0 done"), "{page:?}");
    let dir = shell.dir.path().join("man/man1");
    let told = shell.told(&["man", "--json", "--dir", dir.to_str().expect("a path")]);
    let json = told.done().json();
    let mut told: Vec<PathBuf> = json["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file.as_str().expect("a path").into())
        .collect();
    told.sort();
    let mut written: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    written.sort();
    assert_eq!(told, written);
    for name in ["prefill.1", "prefill-serve.1", "prefill-team-add.1"] {
        let text = std::fs::read_to_string(dir.join(name)).expect(name);
        assert!(text.contains(".SH SYNOPSIS"), "{name}");
    }
    // Not to be overwritten in silence, and not to be told as done.
    let file = shell.file("file", "");
    let told = shell.told(&["man", "--dir", file.to_str().expect("a path")]);
    told.refused(1, "failed to write the pages", "directory");
}
