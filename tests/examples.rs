//! The examples run, and end as they say.

mod support;

use std::process::Command;

#[test]
fn the_backfill_example_fills_verifies_and_deletes() {
    let program = support::program();
    // Built by cargo for the tests, beside the program.
    let example = program.with_file_name("examples").join("backfill");
    let ran = Command::new(&example)
        .env("PREFILL_PROGRAM", &program)
        .output()
        .expect("the example is there: a whole `cargo test` builds it, and so does `cargo build --examples`");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    for line in ["3 events", "completed: 2 sessions", "deleted 5 rows"] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    assert_eq!(said.matches(": equal").count(), 3, "{said}");
}
