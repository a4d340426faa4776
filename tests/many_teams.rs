//! Reports of many teams: as right as those of a few, by as many questions.

#[path = "support/scraped.rs"]
mod scraped;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use prefill::calendar::{Day, TeamId, Zone};
use prefill::ledger::State;
use prefill::report::{self, Coverage};
use prefill::scrape::Scraper;
use prefill::{reconcile, rollup};
use scraped::Scraped;
use support::{World, page_view};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// So many teams, each with the last so many days filled, in the ledger and in the tables.
struct Filled {
    world: World,
    days: Vec<Day>,
    now: Timestamp,
}

impl Filled {
    async fn new(teams: i64, days: i64) -> Self {
        let world = World::new().await;
        let now = Timestamp::now();
        let today = Day::of(now, &Zone::utc());
        // The oldest days are older than the window.
        let enabled = now - SignedDuration::from_hours(24 * (days - 12));
        let days: Vec<Day> = (0..days).map(|back| today.plus(-back)).collect();
        let mut sql = format!(
            "with recursive n(n) as (select 1 union all select n + 1 from n where n < {teams}) \
             insert into teams (id, name, timezone, web_analytics_pre_aggregated_tables_enabled, enabled_at) \
             select n, 'Team ' || n, 'UTC', 1, {} from n;",
            enabled.as_millisecond()
        );
        for day in &days {
            let bucket = bucket_s(*day);
            write!(
                sql,
                "insert into slices (team_id, day, timezone, bucket_s, until_s, partition, state, reason, wanted_at, \
                 filled_at, as_of_us, stats_rows, bounces_rows, events, sessions, page_views, persons, bounces, \
                 duration_seconds, checksum, elapsed_ms) \
                 select id, '{day}', 'UTC', {bucket}, {}, {}, 'filled', 'window', 1, 1, 1, 1, 1, 5, 2, 5, 1, 1, 1, 1, 1 \
                 from teams;",
                bucket + 86_400,
                day.to_string().replace('-', "")
            )
            .expect("written");
        }
        support::ledger::plain_sql(world.dir.path(), &sql);
        let filled = Self { world, days, now };
        filled.insert_rows(&filled.days, 1, teams).await;
        filled
    }

    /// The rows of some days of the teams `from` to `to`: 5 page views and 2 sessions each.
    async fn insert_rows(&self, days: &[Day], from: i64, to: i64) {
        let begins: Vec<String> = days.iter().map(|day| bucket_s(*day).to_string()).collect();
        for (table, names, values) in [
            (rollup::STATS, "", ""),
            (
                rollup::BOUNCES,
                ", total_session_count_state",
                ", sumState(toUInt64(2))",
            ),
        ] {
            self.world
                .query(&format!(
                    "insert into {table} (team_id, period_bucket, pageviews_count_state{names}) \
                     select number + {from} as team_id, fromUnixTimestamp(arrayJoin([{}])) as period_bucket, \
                     sumState(toUInt64(5)){values} from numbers({}) group by team_id, period_bucket",
                    begins.join(", "),
                    to - from + 1
                ))
                .await;
        }
    }

    async fn list(&self) -> BTreeMap<TeamId, report::TeamCoverage> {
        let prefill = &self.world.prefill;
        let list = report::list(&prefill.ledger, &prefill.config, self.now).await;
        let list = list.expect("listed").into_iter();
        list.map(|of_team| (of_team.team.id, of_team)).collect()
    }

    async fn health(&self) -> report::Health {
        let health = self.world.prefill.health(self.now).await;
        health.expect("looked")
    }

    async fn scrape(&self) -> Scraped {
        Scraped::read(&Scraper::new(self.world.prefill.clone()).text().await)
    }

    async fn metrics(&self) -> report::MetricValues {
        let metrics = self.world.prefill.metrics(7, self.now).await;
        metrics.expect("counted").metrics
    }

    /// What is wrong with some teams: a day gone and another one doubled, a day nobody planned with
    /// events, and one that failed with events.
    async fn harm(&self) {
        let (gone, doubled, open, failed) = self.harmed();
        for table in [rollup::STATS, rollup::BOUNCES] {
            self.world
                .query(&format!(
                    "delete from {table} where (team_id, toDate(period_bucket)) in \
                     ((1, '{open}'), (2, '{gone}'), (3, '{open}'), (3, '{failed}'))"
                ))
                .await;
        }
        // Sums over both days are what they were.
        self.insert_rows(&[doubled], 2, 2).await;
        support::ledger::plain_sql(
            self.world.dir.path(),
            &format!(
                "delete from slices where team_id = 3 and day = '{open}'; \
                 update slices set state = 'failed', filled_at = null, error = 'no luck' \
                 where team_id = 3 and day = '{failed}';"
            ),
        );
        let events: Vec<_> = [open, failed]
            .iter()
            .map(|day| {
                page_view(
                    TeamId(3),
                    1,
                    &format!("of {day}"),
                    &format!("{day}T10:00:00Z"),
                    "/",
                )
            })
            // A session that began the day before is no session of this day.
            .chain([
                page_view(
                    TeamId(1),
                    1,
                    "over midnight",
                    &format!("{}T23:59:00Z", open.plus(-1)),
                    "/",
                ),
                page_view(
                    TeamId(1),
                    1,
                    "over midnight",
                    &format!("{open}T00:01:00Z"),
                    "/",
                ),
            ])
            .collect();
        self.world.insert(&events).await;
        support::ledger::plain_sql(
            self.world.dir.path(),
            &format!("delete from slices where team_id = 1 and day = '{open}';"),
        );
    }

    /// The day that is gone, the one that is there twice, the one that nobody planned and the one that failed.
    fn harmed(&self) -> (Day, Day, Day, Day) {
        (self.days[9], self.days[6], self.days[4], self.days[5])
    }
}

fn bucket_s(day: Day) -> i64 {
    let bounds = Zone::utc().bounds(day).expect("a day");
    bounds.from.as_second()
}

/// Counts what the ledger and the warehouse are asked by this thread.
#[derive(Clone, Default)]
struct Questions(Arc<[AtomicUsize; 2]>);

impl<S: Subscriber> Layer<S> for Questions {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        match event.metadata().target() {
            "prefill::ledger::database" => &self.0[0],
            "prefill::warehouse" => &self.0[1],
            _ => return,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

impl Questions {
    /// Of the ledger and of the warehouse, by what is done.
    async fn of<T>(doing: impl Future<Output = T>) -> (usize, usize) {
        let questions = Self::default();
        let counting = tracing_subscriber::registry().with(questions.clone());
        let counting = tracing::subscriber::set_default(counting);
        doing.await;
        drop(counting);
        let [ledger, warehouse] = &*questions.0;
        (
            ledger.load(Ordering::Relaxed),
            warehouse.load(Ordering::Relaxed),
        )
    }
}

/// By list, health, metrics and a scrape of teams with the same trouble.
async fn questions(teams: i64, days: i64) -> [(usize, usize); 4] {
    let filled = Filled::new(teams, days).await;
    filled.harm().await;
    [
        Questions::of(filled.list()).await,
        Questions::of(filled.health()).await,
        Questions::of(filled.metrics()).await,
        Questions::of(filled.scrape()).await,
    ]
}

// One thread, so that what is asked by this story is counted and nothing else.
#[tokio::test]
async fn reports_of_300_teams_take_as_many_questions_as_reports_of_3() {
    let few = questions(3, 20).await;
    let many = questions(300, 40).await;
    assert_eq!(many, few);
    assert!(few[0].0 > 0 && few[0].1 == 0, "{few:?}");
    for (ledger, warehouse) in &few[1..3] {
        assert!(*ledger > 0 && *warehouse > 0, "{few:?}");
    }
    // A scrape asks nobody for rows.
    assert!(few[3].0 > 0 && few[3].1 == 0, "{few:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_day_that_is_gone_also_where_another_has_twice_as_much() {
    let filled = Filled::new(300, 30).await;
    let healthy = filled.health().await;
    assert_eq!(healthy.status, "healthy", "{healthy:?}");
    assert_eq!(healthy.teams_with_data, 300);

    filled.harm().await;
    let health = filled.health().await;
    let (gone, doubled, open, failed) = filled.harmed();
    let told: Vec<_> = health
        .data_gaps_detected
        .iter()
        .map(|gap| (gap.team_id.0, gap.days.clone(), gap.issue.as_str()))
        .collect();
    let lost = "2 days are filled and the tables do not hold what was verified any more";
    let unfilled = format!(
        "1 day is failed, the newest {failed}: no luck; 1 day is not filled yet and has raw events"
    );
    assert_eq!(
        told,
        [
            (2, vec![gone, doubled], lost),
            (3, vec![failed, open], unfilled.as_str()),
        ]
    );
    assert_eq!(health.days_not_looked_at, 0);

    let metrics = filled.metrics().await;
    let rows = 300 * 8 - 3 + 1;
    assert_eq!(
        (metrics.total_stats_rows, metrics.total_bounces_rows),
        (rows, rows)
    );
    assert_eq!(metrics.active_teams_with_data, 300);
    assert_eq!(
        (
            metrics.slices_wanted,
            metrics.slices_filled,
            metrics.slices_failed
        ),
        (300 * 8, 300 * 8 - 3, 1)
    );
}

/// Changes of slices by others; each line meets slices that an earlier one has changed.
const CHANGES: &str = "
        update slices set state = 'stale' where (team_id * 7 + bucket_s / 86400) % 5 = 0;
        update slices set state = 'failed', error = 'x', filled_at = null where (team_id * 5 + bucket_s / 86400) % 7 = 0;
        update slices set state = 'wanted', waiting = 1, filled_at = null where (team_id + bucket_s / 86400) % 6 = 0;
        update slices set left_bucket_s = bucket_s - 3600 where state = 'stale' and (team_id + bucket_s / 86400) % 3 = 0;
        update slices set state = 'running', waiting = 0, claim = 'c', owner = 'o', lease_until = 9000000000000
            where (team_id * 3 + bucket_s / 86400) % 8 = 0;
        update slices set state = 'cleaned', claim = null, lease_until = null, filled_at = null, left_bucket_s = null, waiting = 0
            where (team_id * 2 + bucket_s / 86400) % 9 = 0;
        update slices set page_views = 9, sessions = 3 where (team_id + bucket_s / 86400) % 13 = 0;
        delete from slices where (team_id + bucket_s / 86400) % 11 = 0 or team_id = 40;
        delete from slices where team_id = 39 and day < (select max(day) from slices);";

#[tokio::test(flavor = "multi_thread")]
async fn the_tallies_count_what_the_slices_are_whoever_changes_them() {
    let filled = Filled::new(40, 30).await;
    // By other programs, on either ledger.
    support::ledger::plain_sql(filled.world.dir.path(), CHANGES);
    let ledger = &filled.world.prefill.ledger;
    for _ in 0..2 {
        let list = filled.list().await;
        let tallies = ledger.tallies().await.expect("tallies");
        assert_eq!(list.len(), 40);
        let mut of_last_days = Coverage::default();
        for (team, told) in &list {
            let slices = ledger.slices(*team).await.expect("slices");
            let config = &filled.world.prefill.config;
            let desire = reconcile::desire(&told.team, config, told.team.enabled_at.expect("on"));
            let window = desire.expect("a desire").window(filled.now);
            let mut wanted: Vec<Day> = window.newest_first().collect();
            wanted.extend(slices.keys().filter(|day| !window.contains(**day)));
            let count = |since: Option<Day>| {
                let mut coverage = Coverage::default();
                for day in &wanted {
                    let slice = slices.get(day);
                    if slice.is_some_and(|slice| slice.state == State::Cleaned)
                        || since.is_some_and(|since| *day < since)
                    {
                        continue;
                    }
                    coverage.wanted += 1;
                    let Some(slice) = slice else { continue };
                    coverage.filled += u64::from(slice.has_data());
                    coverage.stale += u64::from(slice.state == State::Stale);
                    coverage.failed += u64::from(slice.state == State::Failed);
                    coverage.running += u64::from(slice.state == State::Running);
                    coverage.waiting += u64::from(slice.waiting_for_events);
                }
                coverage
            };
            assert_eq!(told.coverage, count(None), "team {team}");
            let of_team = count(Some(filled.days[7]));
            of_last_days.wanted += of_team.wanted;
            of_last_days.filled += of_team.filled;
            of_last_days.stale += of_team.stale;
            let with_data = || slices.values().filter(|slice| slice.has_data());
            let days = || with_data().map(|slice| slice.day);
            assert_eq!(
                (told.oldest_day, told.newest_day),
                (days().min(), days().max())
            );
            let weighed: i64 = with_data()
                .filter_map(|slice| {
                    let page_views = slice.receipt.as_ref()?.page_views;
                    Some(page_views * (slice.bucket.as_second() / 900 % 4093))
                })
                .sum();
            let summed = tallies
                .get(team)
                .map(|(_, verified)| verified.page_views_weighed);
            assert_eq!(summed.unwrap_or(0), weighed, "team {team}");
        }
        let metrics = filled.metrics().await;
        assert_eq!(
            (
                metrics.slices_wanted,
                metrics.slices_filled,
                metrics.slices_stale
            ),
            (of_last_days.wanted, of_last_days.filled, of_last_days.stale)
        );
        // The second time of what is left when the pieces are put together.
        ledger.fold_tallies().await.expect("folded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_counts_each_slice_once_by_what_it_is() {
    let filled = Filled::new(40, 30).await;
    let off = [3, 7, 8];
    let changes = format!(
        "{CHANGES}
        update teams set web_analytics_pre_aggregated_tables_enabled = 0 where id in (3, 7, 8);
        update slices set held = 1 where team_id in (3, 7, 8);
        update slices set waiting = 0 where state = 'wanted' and team_id % 4 = 0;
        insert into pauses (team_id, paused_at) values (5, 1), (7, 1);
        update slices set wanted_at = 1000 where team_id <> 6;
        update slices set not_before = 9000000000000 where team_id <> 6;"
    );
    support::ledger::plain_sql(filled.world.dir.path(), &changes);
    let mut states: BTreeMap<&str, f64> = BTreeMap::new();
    let mut gap = None;
    for team in 1..=40 {
        let slices = filled.world.prefill.ledger.slices(TeamId(team)).await;
        for slice in slices.expect("slices").values() {
            let state = match slice.state {
                State::Running => "running",
                State::Filled => "filled",
                State::Cleaned => "cleaned",
                State::Wanted | State::Stale | State::Failed if off.contains(&team) => "held",
                State::Failed => "failed",
                State::Wanted | State::Stale if team == 5 => "paused",
                State::Wanted | State::Stale if slice.waiting_for_events => "waiting",
                State::Wanted => "wanted",
                State::Stale => "stale",
            };
            *states.entry(state).or_default() += 1.0;
            if !slice.has_data() && !matches!(state, "held" | "cleaned") {
                gap = gap.into_iter().chain([slice.until]).min();
            }
        }
    }
    let scraped = filled.scrape().await;
    assert_eq!(scraped.slices(), states);
    assert_eq!(states.len(), 9, "all but cancelled: {states:?}");
    let here = [("warehouse", "default")];
    assert_eq!(scraped.value("prefill_teams_enabled", &[]), 37.0);
    assert_eq!(scraped.value("prefill_pauses", &[("extent", "team")]), 2.0);
    let coverage: Vec<Coverage> = filled
        .list()
        .await
        .into_values()
        .map(|of_team| of_team.coverage)
        .collect();
    let sum = |of: fn(&Coverage) -> u64| coverage.iter().map(of).sum::<u64>() as f64;
    let ratio = sum(|coverage| coverage.filled) / sum(|coverage| coverage.wanted);
    let told = scraped.value("prefill_coverage_ratio", &here);
    assert!((told - ratio).abs() < 1e-9, "{told} and {ratio}");
    let gap = Timestamp::now()
        .duration_since(gap.expect("a gap"))
        .as_secs_f64();
    let told = scraped.value("prefill_oldest_gap_seconds", &here);
    assert!((told - gap).abs() < 60.0, "{told} and {gap}");
    // Only team 6 has slices that could be claimed, since a millisecond after 1970 began.
    let age = scraped.value("prefill_queue_age_seconds", &here);
    let since_1970 = Timestamp::now().as_second() as f64;
    assert!((age - since_1970).abs() < 60.0, "{age}");
}
