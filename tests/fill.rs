//! Filling, once and again: what readers see is what the raw events say.

mod support;

use prefill::config::DEFAULT_WAREHOUSE;
use support::{World, page_view};
use tokio_util::sync::CancellationToken;

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

#[tokio::test(flavor = "multi_thread")]
async fn f7_a_reader_of_a_day_that_is_refilled_sees_the_old_rows_or_the_new_and_never_a_gap() {
    let world = World::new().await;
    let (team, other) = (world.team(7, "UTC").await, world.team(8, "UTC").await);
    let mut events = Vec::new();
    for person in 1..=200_u32 {
        for team in [team, other] {
            let session = format!("s{person}");
            let when = format!("2026-05-01T10:{:02}:{:02}Z", person % 60, person / 4);
            events.push(page_view(
                team,
                person.into(),
                &session,
                &when,
                &format!("/{person}"),
            ));
        }
    }
    world.insert(&events).await;
    for team in [team, other] {
        world.enable(team).await;
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-02", false).await,
            "completed"
        );
    }
    let reader = world.again().await;
    let reader = reader.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    let reader = reader.clone();
    let stop = CancellationToken::new();
    let told = stop.clone();
    let reading = tokio::spawn(async move {
        let mut answers = std::collections::BTreeMap::new();
        while !told.is_cancelled() {
            let answer = reader
                .warehouse
                .statement(
                    "select team_id, sumMerge(pageviews_count_state), uniqMerge(persons_uniq_state) \
                     from web_pre_aggregated_stats group by team_id order by team_id",
                    "test:reader",
                )
                .bytes("TSV", "read")
                .await
                .expect("an answer");
            *answers
                .entry(String::from_utf8(answer).expect("text"))
                .or_insert(0) += 1;
        }
        answers
    });
    for _ in 0..10 {
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-02", true).await,
            "completed"
        );
    }
    stop.cancel();
    let answers = reading.await.expect("the reader ended");
    let expected = "7\t200\t200\n8\t200\t200\n";
    assert_eq!(
        answers.keys().collect::<Vec<_>>(),
        [expected],
        "{answers:?}"
    );
    assert!(answers[expected] > 20, "{answers:?}");
}
