//! Python's clickhouse-connect against the embedded engine: `tests/foreign_client.py`.

mod engine_support;

use std::path::PathBuf;
use std::process::Command;

use engine_support::World;

#[tokio::test]
async fn clickhouse_connect_takes_the_engine_for_a_server() {
    let world = World::new().await;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PREFILL_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "there is no {}: run make test-python, or set PREFILL_TEST_PYTHON",
        python.display()
    );
    let endpoint = world.engine.endpoint();
    let port = endpoint.url.rsplit(':').next().expect("a port");
    let output = Command::new(python)
        .arg(root.join("tests/foreign_client.py"))
        .env("ENGINE_PORT", port)
        .env("ENGINE_PASSWORD", &endpoint.password)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("all well"),
        "{said}\n{errors}"
    );
}
