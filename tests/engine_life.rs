//! How an engine comes and goes: attached, shared, killed, refused.

mod engine_support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use engine_support::{
    LIMIT, PREFILL, Reaped, World, alive, attach, by_hand, kill_hard, library, pid_of, wait_until,
};
use prefill::engine::Engine;
use prefill::error::Class;

/// Where ClickHouse keeps the definitions of the tables of a database.
const DEFINITIONS: &str = "clickhouse/metadata/default";

async fn ask(engine: &Engine, sql: &str) -> String {
    let client = engine_support::client(&engine.endpoint());
    client
        .query(sql)
        .fetch_one::<String>()
        .await
        .unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn two_handles_share_an_engine_that_ends_with_the_last() {
    let world = World::new().await;
    assert!(world.engine.is_child());
    let second = attach(world.directory.path()).await;
    assert!(!second.is_child());
    assert_eq!(second.pid(), world.engine.pid());
    assert_eq!(second.endpoint(), world.engine.endpoint());
    let (pid, World { engine, directory }) = (second.pid(), world);
    drop(engine);
    assert_eq!(ask(&second, "select 'still here'").await, "still here");
    drop(second);
    wait_until("the engine ended", || !alive(pid));
    assert_eq!(pid_of(directory.path()), None);
    // Whoever comes while it stops waits for the old one and starts a new one. (Who comes before has
    // it still.)
    let third = attach(directory.path()).await;
    let old = third.pid();
    drop(third);
    wait_until("it stops", || {
        let users = std::fs::File::open(directory.path().join("engine.users"));
        !alive(old) || users.expect("the lock").try_lock_shared().is_err()
    });
    let fourth = attach(directory.path()).await;
    assert_ne!(fourth.pid(), old);
    assert_eq!(ask(&fourth, "select 'new'").await, "new");
}

#[tokio::test]
async fn many_that_attach_at_once_share_one_engine() {
    let directory = tempfile::tempdir().expect("a directory");
    let attaching = (0..5).map(|_| attach(directory.path()));
    let engines = futures_util::future::join_all(attaching).await;
    assert!(
        engines
            .iter()
            .all(|engine| engine.pid() == engines[0].pid())
    );
    assert_eq!(engines.iter().filter(|engine| engine.is_child()).count(), 1);
}

/// Written by a process of its own: a child that another test starts meanwhile would have the file open for
/// writing for a moment, and what somebody writes to cannot be run ("text file busy").
fn write_script(path: &Path, text: &str) {
    let written = Command::new("/bin/sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#,
        ])
        .args([Path::new("sh"), Path::new(text), path])
        .status();
    assert!(written.expect("sh runs").success());
}

/// Both write to one log, and the quicker one may have the last word in it.
#[tokio::test]
async fn an_engine_that_another_was_quicker_than_is_known_by_its_own_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let slower = directory.path().join("slower");
    let text = format!(
        "test -e {0}.was && exec {1} \"$@\"\n\
         touch {0}.was\n\
         echo 'error: another prefill engine (pid unknown) serves this' >&2\n\
         echo 'hint: use that one' >&2\n\
         echo 'INFO engine ready' >&2\n\
         exit 1",
        slower.display(),
        PREFILL
    );
    write_script(&slower, &text);
    let engine = Engine::attach(directory.path(), Some(&slower)).await;
    let engine = engine.expect("attached when the other one is gone");
    assert!(engine.is_child());
    assert_eq!(ask(&engine, "select 'mine'").await, "mine");
}

#[tokio::test]
async fn an_engine_that_is_told_to_stop_ends_well_whatever_it_has_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_string_lossy().into_owned();
    for round in 0..4 {
        let mut by_hand = Reaped(
            by_hand(&["--data-dir", &place, "--port", "0"])
                .spawn()
                .expect("started"),
        );
        wait_until("it has published its card", || {
            directory.path().join("engine.json").exists()
        });
        let engine = attach(directory.path()).await;
        assert!(!engine.is_child());
        let table = "create table if not exists t (a String) engine = MergeTree order by a";
        for sql in [table, "insert into t values ('kept')", "select * from t"] {
            ask(&engine, sql).await;
        }
        let pid = rustix::process::Pid::from_child(&by_hand.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        let status = by_hand.0.wait().expect("ended");
        assert_eq!(status.code(), Some(0), "round {round}: {status}");
    }
}

#[tokio::test]
async fn a_killed_engine_is_revived_once_for_all_with_its_data() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a String) engine = MergeTree order by a",
        )
        .await;
    world.text("/", "insert into t values ('kept')").await;
    let other = attach(world.directory.path()).await;
    let dead = world.engine.pid();
    assert_eq!(
        world.engine.revive().await.expect("alive"),
        world.engine.endpoint()
    );
    assert_eq!(world.engine.pid(), dead);
    kill_hard(dead);
    wait_until("the zombie is reaped", || {
        !Path::new(&format!("/proc/{dead}")).exists()
    });
    let callers = [&world.engine, &world.engine, &world.engine, &other];
    let revived = futures_util::future::join_all(callers.map(|engine| engine.revive())).await;
    let endpoint = world.engine.endpoint();
    for found in revived {
        assert_eq!(found.expect("an endpoint"), endpoint);
    }
    assert_ne!(world.engine.pid(), dead);
    assert_eq!(other.pid(), world.engine.pid());
    assert_eq!(ask(&other, "select a from t").await, "kept");
}

#[tokio::test]
async fn definitions_that_a_full_disk_left_empty_keep_no_engine_from_starting() {
    let World { engine, directory } = World::new().await;
    let client = engine_support::client(&engine.endpoint());
    let create = "create table prefill_import_1 (a String) engine = MergeTree order by a";
    client.query(create).execute().await.expect("created");
    let pid = engine.pid();
    drop(engine);
    wait_until("the engine ended", || !alive(pid));
    let definitions = directory.path().join(DEFINITIONS);
    std::fs::write(definitions.join("prefill_import_2.sql"), "").expect("an empty file");
    let again = attach(directory.path()).await;
    let tables = "select arrayStringConcat(groupArray(name), ' ') from system.tables where database = 'default'";
    assert_eq!(ask(&again, tables).await, "prefill_import_1");
    let log = std::fs::read_to_string(directory.path().join("engine.log")).expect("a log");
    let aside = "was empty (was the disk full?) and is now ";
    let aside = log.split(aside).nth(1).expect("told").lines().next();
    assert!(Path::new(aside.expect("a path")).is_file(), "{log}");
}

/// Another shell that uses the engine: holds a shared lock on `engine.users` as a handle does.
fn shell(directory: &Path) -> Reaped {
    let mut child = Command::new("flock")
        .args(["--shared", "--no-fork"])
        .arg(directory.join("engine.users"))
        .args(["sh", "-c", "echo held; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock of util-linux");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("its stdout"))
        .read_line(&mut said)
        .expect("a line");
    assert_eq!(said, "held\n");
    Reaped(child)
}

#[test]
fn a_parents_death_ends_the_engine_unless_a_second_shell_uses_it() {
    let directory = tempfile::tempdir().expect("a directory");
    for other in [false, true] {
        let mut parent = Reaped(
            Command::new(std::env::current_exe().expect("this test"))
                .args([
                    "holds_an_engine_for_another_test",
                    "--exact",
                    "--ignored",
                    "--nocapture",
                ])
                .env("ENGINE_DIRECTORY", directory.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("a parent"),
        );
        wait_until("the parent has an engine", || {
            directory.path().join("held").exists()
        });
        let engine = pid_of(directory.path()).expect("an engine");
        let shell = other.then(|| shell(directory.path()));
        parent.0.kill().expect("killed");
        parent.0.wait().expect("reaped");
        if let Some(shell) = shell {
            // It answers to the second shell, after the time in which it would have gone.
            std::thread::sleep(std::time::Duration::from_millis(500));
            assert!(alive(engine));
            drop(shell);
        }
        wait_until("the engine ended", || !alive(engine));
        std::fs::remove_file(directory.path().join("held")).expect("removed");
    }
}

/// Not a test: the parent in the one above.
#[tokio::test]
#[ignore = "run by a_parents_death_ends_the_engine_unless_a_second_shell_uses_it"]
async fn holds_an_engine_for_another_test() {
    let directory = std::env::var_os("ENGINE_DIRECTORY").expect("run by the other test");
    let _engine = attach(Path::new(&directory)).await;
    std::fs::write(Path::new(&directory).join("held"), "").expect("written");
    tokio::time::sleep(LIMIT).await;
}

#[tokio::test]
async fn an_engine_whose_address_was_deleted_is_found_again() {
    let world = World::new().await;
    let directory = world.directory.path();
    let card = directory.join("engine.json");
    let before = std::fs::read(&card).expect("a card");
    std::fs::remove_file(&card).expect("deleted");
    wait_until("it says again where it is", || card.exists());
    assert_eq!(std::fs::read(&card).expect("a card"), before);
    let second = attach(directory).await;
    assert_eq!(second.pid(), world.engine.pid());
    drop(second);
    // What says who uses it, too: one that is started then sees its user, and stays.
    for name in ["engine.json", "engine.lock", "engine.users"] {
        std::fs::remove_file(directory.join(name)).expect("deleted");
    }
    wait_until("it says again where it is", || card.exists());
    let before = world.engine.pid();
    kill_hard(before);
    world.engine.revive().await.expect("another");
    assert_ne!(world.engine.pid(), before);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        ask(&world.engine, "select 'still here'").await,
        "still here"
    );
}

#[tokio::test]
async fn an_engine_whose_directory_was_replaced_ends_and_is_not_found_in_the_new_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("place");
    let path = place.to_str().expect("text");
    let mut by_hand = Reaped(
        by_hand(&["--data-dir", path])
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs"),
    );
    wait_until("it answers", || pid_of(&place).is_some());
    std::fs::remove_dir_all(&place).expect("deleted");
    std::fs::create_dir(&place).expect("made");
    let engine = attach(&place).await;
    assert_ne!(engine.pid(), by_hand.0.id());
    assert_eq!(ask(&engine, "select 'new'").await, "new");
    by_hand.0.wait().expect("its status");
    assert_eq!(
        pid_of(&place),
        Some(engine.pid()),
        "the old one takes nothing of the new one's with it"
    );
}

#[tokio::test]
async fn a_second_engine_on_a_directory_is_refused_and_names_the_first() {
    let world = World::new().await;
    let directory = world.directory.path().to_str().expect("text");
    let refused = by_hand(&["--data-dir", directory])
        .output()
        .expect("it runs");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    let expected = format!("another prefill engine (pid {})", world.engine.pid());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn an_engine_run_by_hand_is_used_and_stays_until_it_is_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("text");
    let mut command = by_hand(&["--data-dir", path]);
    command
        .env("PREFILL_ENGINE_PASSWORD", "se%cr:et")
        .stderr(Stdio::null());
    let mut by_hand = Reaped(command.spawn().expect("it runs"));
    wait_until("it answers", || pid_of(directory.path()).is_some());
    let card = directory.path().join("engine.json");
    let mode = card.metadata().expect("a card").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let engine = attach(directory.path()).await;
    assert_eq!((engine.pid(), engine.is_child()), (by_hand.0.id(), false));
    assert_eq!(engine.endpoint().password, "se%cr:et");
    assert_eq!(ask(&engine, "select 'a'").await, "a");
    drop(engine);
    let engine = attach(directory.path()).await;
    assert_eq!(engine.pid(), by_hand.0.id());
    let stop = Command::new("kill")
        .arg(by_hand.0.id().to_string())
        .status();
    assert!(stop.expect("kill runs").success());
    assert!(by_hand.0.wait().expect("its status").success());
    assert!(!card.exists());
}

#[tokio::test]
async fn a_started_engine_ignores_the_terminals_ctrl_c() {
    let world = World::new().await;
    let pid = world.engine.pid();
    let sent = Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(world.text("/", "select 'still here'").await, "still here\n");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("alive");
    let group = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(2));
    assert_eq!(group, Some(pid.to_string().as_str()));
}

#[test]
fn what_keeps_an_engine_from_starting_is_said_with_a_next_step() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("text");
    let text_file = directory.path().join("no-library");
    std::fs::write(&text_file, "hello").expect("written");
    // As a download that was interrupted leaves it; to load it would be death by SIGBUS.
    let cut_off = directory.path().join("cut-off.so");
    let cache = directory.path().join("cache");
    let library = library();
    let version = library.parent().and_then(Path::file_name);
    let cached = cache.join("prefill/libchdb").join(version.expect("a name"));
    std::fs::create_dir_all(&cached).expect("a cache");
    let mut start = vec![0; 4096];
    std::fs::File::open(&library)
        .and_then(|mut file| file.read_exact(&mut start))
        .expect("the library's start");
    std::fs::write(&cut_off, &start).expect("written");
    std::fs::write(cached.join("libchdb.so"), &start).expect("written");
    let cases: [(&str, &str, &str); 5] = [
        ("PREFILL_LIBCHDB", "/nothing/libchdb.so", "which is no file"),
        (
            "PREFILL_LIBCHDB",
            text_file.to_str().expect("text"),
            "which is no 64-bit ELF shared object",
        ),
        (
            "PREFILL_LIBCHDB",
            cut_off.to_str().expect("text"),
            "which is cut off: it has 4096 of at least ",
        ),
        (
            "XDG_CACHE_HOME",
            cache.to_str().expect("text"),
            "has a wrong checksum: expected ",
        ),
        ("XDG_CACHE_HOME", path, "is not installed"),
    ];
    for (variable, value, expected) in cases {
        let mut command = by_hand(&["--data-dir", path]);
        let output = command.env(variable, value).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("hint: "), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    // A library that is another one.
    let mut other = by_hand(&["--data-dir", path]);
    let output = other
        .env("PREFILL_LIBCHDB", "/lib/x86_64-linux-gnu/libm.so.6")
        .output();
    let said = String::from_utf8_lossy(&output.expect("it runs").stderr).into_owned();
    assert!(said.contains("chdb_set_signal_handlers_enabled"), "{said}");
    assert!(library.is_file());
}

#[tokio::test]
async fn attach_gives_the_engines_own_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    // A program that is no prefill.
    let error = Engine::attach(directory.path(), Some(Path::new("/bin/false"))).await;
    let error = error.err().expect("an error");
    assert_eq!(error.class(), Class::Operator);
    assert!(
        error
            .chain()
            .starts_with("failed to start the embedded ClickHouse: "),
        "{}",
        error.chain()
    );
    // A script that sets the wrong library for the real one.
    let script = directory.path().join("prefill");
    write_script(
        &script,
        &format!("PREFILL_LIBCHDB=/nothing exec {PREFILL} \"$@\""),
    );
    let error = Engine::attach(directory.path(), Some(&script))
        .await
        .err()
        .expect("an error");
    assert!(
        error
            .chain()
            .contains("PREFILL_LIBCHDB names /nothing, which is no file"),
        "{}",
        error.chain()
    );
    assert!(
        error
            .next_step()
            .is_some_and(|hint| hint.contains("make engine"))
    );
    // One that says nothing is not told with the words of an earlier one.
    let log = directory.path().join("engine.log");
    assert!(log.metadata().expect("the log").len() > 0);
    for (text, expected) in [
        ("exit 3", "it ended with exit status: 3"),
        ("kill -KILL $$", "it ended with signal: 9 (SIGKILL)"),
        ("echo error: out of luck >&2; exit 1", "out of luck"),
    ] {
        write_script(&script, text);
        let error = Engine::attach(directory.path(), Some(&script)).await;
        assert_eq!(
            error.err().expect("an error").chain(),
            format!("failed to start the embedded ClickHouse: {expected}")
        );
    }
    // A data directory that cannot be one.
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    let error = Engine::attach(&file.join("data"), None)
        .await
        .err()
        .expect("an error");
    assert_eq!(error.class(), Class::Operator);
    assert!(error.next_step().is_some());
}

#[tokio::test]
async fn the_log_of_a_started_engine_is_beside_its_data() {
    let world = World::new().await;
    let mut log = String::new();
    std::fs::File::open(world.directory.path().join("engine.log"))
        .expect("a log")
        .read_to_string(&mut log)
        .expect("text");
    assert!(!log.contains(&world.engine.endpoint().password));
    assert!(world.directory.path().join("clickhouse").is_dir());
}
