//! Filling, once and again: what readers see is what the raw events say.

mod support;

use support::{World, page_view};

#[tokio::test(flavor = "multi_thread")]
async fn f5_any_backfill_run_again_gives_equal_tables() {
    let world = World::new().await;
    let team = world.team(7, "Asia/Kolkata").await;
    world.enable(team).await;
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/"),
            page_view(team, 1, "s1", "2026-05-01T10:00:30Z", "/pricing"),
            page_view(team, 2, "s2", "2026-05-02T09:00:00Z", "/"),
        ])
        .await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-03", false).await,
        "completed"
    );
    let once = world.tables().await;
    assert!(once.contains("/pricing"), "{once}");
    for force in [false, true, true] {
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-03", force).await,
            "completed"
        );
        assert_eq!(world.tables().await, once, "force = {force}");
    }
    assert_eq!(
        world.differences(team, "2026-05-01", "2026-05-03").await,
        Vec::<String>::new()
    );
}
