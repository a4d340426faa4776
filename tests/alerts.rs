//! Who is told what, and when: real services, and receivers that take, hang, refuse and come back.

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prefill::alert::{self, Message, Seen, receivers};
use prefill::calendar::TeamId;
use prefill::config::{Alerts, DEFAULT_WAREHOUSE};
use prefill::event::Event;
use prefill::ledger::{State as SliceState, Telling};
use rustix::process::Signal;
use serde_json::Value;
use serving::Serving;
use sha2::{Digest, Sha256};
use support::{World, page_view, until};

const SECRET: &str = "a secret of more than one word";
const SOON: Duration = Duration::from_secs(30);

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    Hangs,
    Breaks,
    /// 429, with Retry-After: 1.
    IsBusy,
    /// 404, as Slack says of a webhook that is gone.
    Refuses,
}

#[derive(Clone, Debug)]
struct Sent {
    path: String,
    headers: HeaderMap,
    body: String,
    mood: Mood,
    at: Instant,
}

impl Sent {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

#[derive(Clone)]
struct Receiver {
    mood: Arc<Mutex<Mood>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    address: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Self {
            mood: Arc::new(Mutex::new(Mood::Takes)),
            sent: Arc::default(),
            address: format!("http://{address}"),
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().expect("no test died here") = mood;
    }

    /// Everything that came to a path, whatever it was answered.
    fn came(&self, path: &str) -> Vec<Sent> {
        let sent = self.sent.lock().expect("no test died here");
        sent.iter()
            .filter(|sent| sent.path == path)
            .cloned()
            .collect()
    }

    /// What came to a path and was taken.
    fn taken(&self, path: &str) -> Vec<Sent> {
        let mut came = self.came(path);
        came.retain(|sent| sent.mood == Mood::Takes);
        came
    }

    /// The events of the messages that the webhook took.
    fn events(&self) -> Vec<String> {
        let event = |sent: &Sent| sent.json()["event"].as_str().unwrap_or_default().to_owned();
        self.taken("/hook").iter().map(event).collect()
    }

    async fn until_events(&self, events: &[&str]) {
        until(&format!("{events:?}"), SOON, || async {
            (self.events() == events).then_some(())
        })
        .await;
    }

    /// What PostHog was told, by name: how often, and its properties the last time.
    fn captured(&self) -> BTreeMap<String, (usize, Value)> {
        let mut captured: BTreeMap<String, (usize, Value)> = BTreeMap::new();
        for sent in self.taken("/batch/") {
            for event in sent.json()["batch"].as_array().expect("a batch") {
                let name = event["event"].as_str().expect("a name").to_owned();
                let entry = captured.entry(name).or_default();
                *entry = (entry.0 + 1, event.clone());
            }
        }
        captured
    }
}

async fn take(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mood = *receiver.mood.lock().expect("no test died here");
    receiver.sent.lock().expect("no test died here").push(Sent {
        path: uri.path().to_owned(),
        headers,
        body,
        mood,
        at: Instant::now(),
    });
    match mood {
        Mood::Takes => "ok".into_response(),
        Mood::Hangs => std::future::pending().await,
        Mood::Breaks => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::IsBusy => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        Mood::Refuses => (StatusCode::NOT_FOUND, "no_service").into_response(),
    }
}

/// What each configuration of a test has, looking ten times a second.
fn often(repeat_ms: u64) -> String {
    format!(
        "[alerts]\nevery_ms = 100\nfor_ms = 300\nrepeat_ms = {repeat_ms}\ntimeout_ms = 1000\nname = \"test\"\n"
    )
}

/// A webhook of a name, at a receiver.
fn webhook(world: &World, name: &str, receiver: &Receiver) -> String {
    let secret = world.dir.path().join("secret");
    std::fs::write(&secret, SECRET).expect("written");
    let to = &receiver.address;
    format!("[alerts.webhook.{name}]\nurl = \"{to}/hook\"\nsecret_file = {secret:?}\n")
}

fn write(world: &World, configuration: &str) {
    std::fs::write(world.dir.path().join("prefill.toml"), configuration).expect("written");
}

/// Writes a configuration that tells all kinds of receivers.
fn configure(world: &World, receiver: &Receiver, repeat_ms: u64) {
    let dir = world.dir.path();
    std::fs::write(dir.join("secret"), format!("{SECRET}\n")).expect("written");
    let to = &receiver.address;
    let secret = dir.join("secret");
    let text = format!(
        "{}slack_webhook_url = \"{to}/services/T/B/hunter2\"\nwebhook_url = \"{to}/hook\"\n\
         webhook_secret_file = {secret:?}\ncapture_host = \"{to}\"\ncapture_key = \"phc_hunter2\"\n",
        often(repeat_ms)
    );
    write(world, &text);
}

fn plain_sql(world: &World, sql: &str) {
    support::ledger::plain_sql(world.dir.path(), sql);
}

/// Teams with the setting on whose zone does not exist, so that nobody can tell what they want.
async fn broken_teams(world: &World, ids: impl Iterator<Item = i64>) {
    for id in ids {
        world.team(id, "UTC").await;
    }
    plain_sql(
        world,
        "update teams set timezone = 'Mars/Base', web_analytics_pre_aggregated_tables_enabled = 1",
    );
}

fn mend(world: &World) {
    plain_sql(world, "update teams set timezone = 'UTC'");
}

/// HMAC-SHA256 as RFC 2104 has it, by hand.
fn hmac(secret: &str, text: &str) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let padded = |pad: u8| key.map(|byte| byte ^ pad);
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn recent(team: TeamId, days: i64) -> Vec<Event> {
    let now = Timestamp::now();
    (0..=days)
        .map(|back| {
            let when = now
                - jiff::SignedDuration::from_hours(24 * back)
                - jiff::SignedDuration::from_secs(5);
            page_view(team, 1, &format!("s{back}"), &when.to_string(), "/")
        })
        .collect()
}

/// Ends a service in good order.
async fn stop(mut serving: Serving) {
    serving.signal(Signal::TERM);
    until("it has ended", Duration::from_secs(10), || {
        let alive = serving.is_alive();
        async move { (!alive).then_some(()) }
    })
    .await;
}

async fn all_filled(world: &World, team: TeamId, days: usize) {
    until("every day is filled", Duration::from_secs(60), || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let filled = slices
            .values()
            .filter(|slice| slice.state == SliceState::Filled);
        (filled.count() == days).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f42_a_failure_is_told_once_repeated_and_told_to_be_over() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 2_000);
    broken_teams(&world, 7..=7).await;
    let serving = Serving::start(&world, "serve").await;
    receiver.until_events(&["failing", "still_failing"]).await;
    let told = receiver.taken("/hook");
    assert!(
        told[1].at - told[0].at > Duration::from_millis(1_900),
        "not before its time"
    );
    mend(&world);
    until("it is over", SOON, || async {
        let events = receiver.events();
        (events.last().map(String::as_str) == Some("resolved")).then_some(())
    })
    .await;

    let first = told[0].json();
    assert_eq!(first["installation"], "test");
    assert_eq!(first["title"], "test: 1 team has days that are not right");
    let alert = &first["alerts"][0];
    assert_eq!((&alert["team_id"], &first["more"]), (&7.into(), &0.into()));
    assert_eq!(alert["team_name"], "Team 7");
    let mends = alert["recommendation"].as_str().expect("what mends it");
    assert!(
        mends.contains("prefill team set --team-id 7 --timezone"),
        "{mends}"
    );

    // Signed, with the time; what was changed on the way has another signature.
    let signature = told[0].headers["prefill-signature"].to_str().expect("text");
    let (time, digest) = signature.split_once(",v1=").expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    assert_eq!(digest, hmac(SECRET, &format!("{time}.{}", told[0].body)));
    let age = Timestamp::now().as_second() - time.parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age), "{age}");

    let all = receiver.taken("/hook").len();
    let slack = until("Slack is told the same", SOON, || async {
        let slack = receiver.taken("/services/T/B/hunter2");
        (slack.len() == all).then_some(slack)
    })
    .await;
    let text = slack[0].json();
    assert_eq!(text["text"], first["title"]);
    let line = text["blocks"][1]["text"]["text"].as_str().expect("text");
    assert!(line.starts_with("team 7 (Team 7): "), "{line}");

    let log = serving.log();
    assert!(log.contains("telling what is wrong"), "{log}");
    assert!(!log.contains("hunter2"), "no address and no key is logged");
    assert!(!log.contains(SECRET), "no secret is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_teams_are_one_message_and_a_restart_repeats_nothing() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 14_400_000);
    broken_teams(&world, 1..=25).await;
    let serving = Serving::start(&world, "one").await;
    receiver.until_events(&["failing"]).await;
    let message = receiver.taken("/hook")[0].json();
    assert_eq!(message["alerts"].as_array().map(Vec::len), Some(10));
    assert_eq!(message["more"], 15);
    until("Slack is told", SOON, || async {
        let slack = receiver.taken("/services/T/B/hunter2");
        let blocks = slack.first()?.json()["blocks"].clone();
        let last = blocks.as_array()?.last()?["text"]["text"].clone();
        (last == "… and 15 more: `prefill health` names them all").then_some(())
    })
    .await;

    // Stopped in good order, and killed: what was told is known to the next one.
    stop(serving).await;
    let serving = Serving::start(&world, "two").await;
    serving.kill();
    let _serving = Serving::start(&world, "three").await;
    mend(&world);
    receiver.until_events(&["failing", "resolved"]).await;
    assert_eq!(receiver.taken("/hook")[1].json()["more"], 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_fill_and_no_stop() {
    let mut took = Vec::new();
    for mood in [Mood::Takes, Mood::Hangs] {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        receiver.is(mood);
        configure(&world, &receiver, 14_400_000);
        broken_teams(&world, 8..=8).await;
        let team = world.team(7, "UTC").await;
        world.insert(&recent(team, 8)).await;
        let serving = Serving::start(&world, "serve").await;
        until("each is sent something", SOON, || async {
            let came = |path| !receiver.came(path).is_empty();
            (came("/hook") && came("/services/T/B/hunter2")).then_some(())
        })
        .await;
        let begun = Instant::now();
        assert!(world.cli(&["enable", "--team-id", "7"]).status.success());
        all_filled(&world, team, 8).await;
        took.push(begun.elapsed());
        until("PostHog is sent something", SOON, || async {
            (!receiver.came("/batch/").is_empty()).then_some(())
        })
        .await;
        let begun = Instant::now();
        stop(serving).await;
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
    }
    assert!(
        took[1] < took[0] * 3 + Duration::from_secs(2),
        "with one that takes {:?}, with one that hangs {:?}",
        took[0],
        took[1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_in_order_and_what_is_refused_is_dropped() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 14_400_000);
    receiver.is(Mood::Breaks);
    broken_teams(&world, 7..=7).await;
    let serving = Serving::start(&world, "serve").await;
    let came = |count: usize| {
        let receiver = receiver.clone();
        async move {
            until(&format!("sent {count} times"), SOON, || async {
                (receiver.came("/hook").len() >= count).then_some(())
            })
            .await;
        }
    };
    came(2).await;
    receiver.is(Mood::IsBusy);
    let before = receiver.came("/hook").len();
    came(before + 2).await;
    let busy = receiver.came("/hook");
    let busy: Vec<Instant> = busy
        .iter()
        .filter(|sent| sent.mood == Mood::IsBusy)
        .map(|sent| sent.at)
        .collect();
    assert!(
        busy[1] - busy[0] >= Duration::from_millis(950),
        "not before it was asked to come again"
    );
    // The end of it comes after it.
    mend(&world);
    receiver.is(Mood::Takes);
    receiver.until_events(&["failing", "resolved"]).await;
    let ids: Vec<Value> = receiver
        .came("/hook")
        .iter()
        .map(|sent| sent.json()["id"].clone())
        .collect();
    assert!(
        ids[..ids.len() - 1].iter().all(|id| *id == ids[0]),
        "it is the same message"
    );

    // Slack's webhook has been tried at other moments.
    until("Slack is told, too", SOON, || async {
        (receiver.taken("/services/T/B/hunter2").len() == 2).then_some(())
    })
    .await;
    receiver.is(Mood::Refuses);
    let before = receiver.came("/hook").len();
    plain_sql(&world, "update teams set timezone = 'Mars/Base'");
    // By Slack's webhook and by the other one.
    until("both refuse it", SOON, || async {
        let log = serving.log();
        let refusals = log.matches("a receiver refuses a message").count();
        (refusals == 2 && log.contains("no_service")).then_some(())
    })
    .await;
    receiver.is(Mood::Takes);
    mend(&world);
    receiver
        .until_events(&["failing", "resolved", "resolved"])
        .await;
    assert_eq!(
        receiver.came("/hook").len(),
        before + 2,
        "it was not sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn posthog_is_told_of_backfills_once_with_their_numbers() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 14_400_000);
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 8)).await;
    let serving = Serving::start(&world, "one").await;
    assert!(world.cli(&["enable", "--team-id", "7"]).status.success());
    let counts = || -> Vec<(String, usize)> {
        let captured = receiver.captured().into_iter();
        captured.map(|(name, (count, _))| (name, count)).collect()
    };
    let (started, completed, failed) = (
        "web_analytics_backfill_started".to_owned(),
        "web_analytics_backfill_completed".to_owned(),
        "web_analytics_backfill_failed".to_owned(),
    );
    until("it is completed", SOON, || async {
        (counts() == [(completed.clone(), 1), (started.clone(), 1)]).then_some(())
    })
    .await;
    let event = receiver.captured()[&completed].1.clone();
    let properties = &event["properties"];
    assert_eq!(event["distinct_id"], "team_7");
    assert_eq!(
        (&properties["team_id"], &properties["days"]),
        (&7.into(), &8.into())
    );
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    let receipts = slices.values().filter_map(|slice| slice.receipt);
    let rows: i64 = receipts
        .map(|receipt| receipt.stats_rows + receipt.bounces_rows)
        .sum();
    assert_eq!(properties["rows"], rows);
    assert!(properties["elapsed_ms"].as_i64().is_some_and(|ms| ms > 0));
    assert_eq!(
        receiver.taken("/batch/")[0].json()["api_key"],
        "phc_hunter2"
    );

    // A restart tells nothing again, and what fails is told with the class of its error.
    stop(serving).await;
    let _serving = Serving::start(&world, "two").await;
    // Asking makes tables that are missing, so it is gone afterwards.
    let paused = prefill::ledger::Extent::Team(team);
    let ledger = &world.prefill.ledger;
    ledger.pause(paused).await.expect("paused");
    let asked = world.cli(&[
        "backfill",
        "--team-id",
        "7",
        "--days",
        "2",
        "--force",
        "--async",
        "--json",
    ]);
    assert!(asked.status.success(), "{asked:?}");
    let asked: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    let task = asked["task_id"].as_str().expect("an id");
    world
        .query("rename table web_pre_aggregated_bounces to elsewhere")
        .await;
    ledger.resume(paused).await.expect("resumed");
    until("it failed", SOON, || async {
        let told = [
            (completed.clone(), 1),
            (failed.clone(), 1),
            (started.clone(), 2),
        ];
        (counts() == told).then_some(())
    })
    .await;
    let event = receiver.captured()[&failed].1.clone();
    assert_eq!(event["properties"]["task_id"], task);
    assert_eq!(event["properties"]["error_class"], "operator");
    assert_eq!(event["properties"]["days_failed"], 3);
    world
        .query("rename table elsewhere to web_pre_aggregated_bounces")
        .await;
    assert!(world.cli(&["retry", task]).status.success());
    until("it is completed after all", SOON, || async {
        let told = [
            (completed.clone(), 2),
            (failed.clone(), 1),
            (started.clone(), 2),
        ];
        (counts() == told).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_on_their_way_are_told_from_those_that_nobody_fills() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 8)).await;
    world.enable(team).await;
    let (ledger, prefill) = (&world.prefill.ledger, &world.prefill);
    let found = async || {
        let health = prefill.health(Timestamp::now()).await.expect("health");
        assert_eq!(health.status, "unhealthy");
        let findings = Seen::of(&health).findings;
        assert_eq!(findings.len(), 1);
        (findings[0].being_filled, findings[0].paused)
    };
    assert_eq!(found().await, (false, false), "nobody fills it");
    let lease = Duration::from_secs(30);
    // One day, not all that are open.
    let claim = ledger
        .claim("test:1", lease, 1, DEFAULT_WAREHOUSE, None)
        .await;
    assert_eq!(claim.expect("asked").expect("a claim").slices.len(), 1);
    assert_eq!(
        found().await,
        (true, false),
        "the others wait for their turn"
    );
    let paused = prefill::ledger::Extent::Team(team);
    ledger.pause(paused).await.expect("paused");
    assert_eq!(
        found().await,
        (false, true),
        "nobody fills it before it is resumed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_messages_are_dropped_and_only_who_has_the_turn_writes() {
    let world = World::new().await;
    let ledger = &world.prefill.ledger;
    let lease = Duration::from_secs(30);
    let posts = |from: u32, until: u32| Telling {
        posts: (from..until)
            .map(|n| ("hook".to_owned(), n.to_string()))
            .collect(),
        ..Telling::default()
    };
    let tell = async |owner: &str, telling: &Telling| {
        let told = ledger.tell_of(("alerts", owner, lease), telling, 3).await;
        told.expect("told")
    };
    assert!(
        ledger
            .take_turn("alerts", "one", lease)
            .await
            .expect("asked")
    );
    assert!(
        !ledger
            .take_turn("alerts", "two", lease)
            .await
            .expect("asked")
    );
    assert_eq!(tell("one", &posts(1, 3)).await, Some(Vec::new()));
    assert_eq!(tell("two", &posts(7, 9)).await, None);
    assert_eq!(
        tell("one", &posts(3, 6)).await,
        Some(vec![("hook".to_owned(), 2)])
    );
    let first = ledger.take_post("hook", lease, lease).await.expect("asked");
    let first = first.expect("a message");
    assert_eq!((first.body.as_str(), first.tries), ("3", 1));
    let next = ledger.take_post("hook", lease, lease).await.expect("asked");
    assert!(next.is_none(), "the next one waits for the first");
    let hasty = ledger.take_post("hook", lease / 10, lease).await;
    let none = hasty.expect("asked");
    assert!(none.is_none(), "also of who would take less time: {none:?}");
    let none = ledger
        .take_post("slack", lease, lease)
        .await
        .expect("asked");
    assert!(none.is_none());
    let wait = Duration::ZERO;
    ledger.put_back_post(&first, wait).await.expect("put back");
    let again = ledger.take_post("hook", lease, lease).await.expect("asked");
    let again = again.expect("a message");
    assert_eq!((again.body.as_str(), again.tries), ("3", 2));
    // Who was slow and says how it ended when somebody else is at it changes nothing.
    ledger.end_post(&first).await.expect("asked");
    ledger.put_back_post(&first, wait).await.expect("asked");
    let none = ledger.take_post("hook", lease, lease).await.expect("asked");
    assert!(none.is_none(), "{none:?}");
    // A clock that was a year ahead keeps nothing waiting.
    let year = Duration::from_secs(31_536_000);
    ledger.put_back_post(&again, year).await.expect("put back");
    let again = ledger.take_post("hook", lease, lease).await.expect("asked");
    let again = again.expect("a message");
    ledger.end_post(&again).await.expect("ended");
    let next = ledger.take_post("hook", lease, lease).await.expect("asked");
    assert_eq!(next.expect("a message").body, "4");
    ledger.end_turn("alerts", "one").await.expect("ended");
    assert!(
        ledger
            .take_turn("alerts", "two", lease)
            .await
            .expect("asked")
    );
    // Taken by a clock that was an hour ahead.
    plain_sql(&world, "update turns set until = until + 3600000");
    let taken = ledger.take_turn("alerts", "one", lease).await;
    assert!(taken.expect("asked"), "nobody waits an hour for it");
    let taken = ledger.take_turn("alerts", "two", lease).await;
    assert!(!taken.expect("asked"), "it is the other one's now");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_where_the_backfills_cannot_be_read() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 14_400_000);
    broken_teams(&world, 7..=7).await;
    let later = Timestamp::now().as_millisecond() + 3_600_000;
    plain_sql(
        &world,
        &format!(
            "insert into runs (id, team_id, date_start, date_end, reason, requested_at) values ('no id', 7, '2026-05-01', '2026-05-02', 'asked', {later})"
        ),
    );
    let serving = Serving::start(&world, "serve").await;
    receiver.until_events(&["failing"]).await;
    let log = serving.log();
    assert!(
        log.contains("could not look whether something is wrong"),
        "{log}"
    );
    let told = "1 team has days that are not right";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    mend(&world);
    receiver.until_events(&["failing", "resolved"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_for_a_day_is_dropped_and_counted() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    configure(&world, &receiver, 14_400_000);
    broken_teams(&world, 7..=7).await;
    let hours_ago = |hours: i64| Timestamp::now().as_millisecond() - hours * 3_600_000;
    let (old, young) = (hours_ago(25), hours_ago(23));
    plain_sql(
        &world,
        &format!(
            "insert into outbox (receiver, body, made_at) values ('webhook', '{{\"event\":\"old\"}}', {old}), ('webhook', '{{\"event\":\"older\"}}', {old}), ('webhook', '{{\"event\":\"young\"}}', {young})"
        ),
    );
    let serving = Serving::start(&world, "serve").await;
    receiver.until_events(&["young", "failing"]).await;
    let log = serving.log();
    let dropped: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("could not be sent for a day"))
        .collect();
    assert_eq!(dropped.len(), 1, "{log}");
    let dropped: Value = serde_json::from_str(dropped[0]).expect("JSON");
    assert_eq!(
        (&dropped["level"], &dropped["receiver"], &dropped["dropped"]),
        (&"ERROR".into(), &"webhook".into(), &2.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_how_each_receiver_answers() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let none = world.cli(&["alerts", "test"]);
    assert_eq!(none.status.code(), Some(2));
    configure(&world, &receiver, 14_400_000);
    let told = |arguments: &[&str]| {
        let output = world.cli(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let err = text(output.stderr);
        assert!(!err.contains("hunter2"), "{err}");
        (output.status.code(), text(output.stdout))
    };
    let (code, out) = told(&["alerts", "test"]);
    assert_eq!(code, Some(0), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "slack (127.0.0.1): taken: it answered 200 OK: ok",
            "webhook (127.0.0.1): taken: it answered 200 OK: ok",
            "capture (127.0.0.1): taken: it answered 200 OK: ok",
        ]
    );
    assert_eq!(receiver.events(), ["test"]);
    assert!(receiver.captured().contains_key("prefill_alert_test"));

    for (mood, answer) in [
        (Mood::Refuses, "it answered 404 Not Found: no_service"),
        (Mood::Breaks, "it answered 500 Internal Server Error"),
        (Mood::Hangs, "it did not answer within 1000 ms"),
    ] {
        receiver.is(mood);
        let (code, out) = told(&["alerts", "test", "--json"]);
        assert_eq!(code, Some(1), "{out}");
        let out: Value = serde_json::from_str(&out).expect("JSON");
        for one in out["receivers"].as_array().expect("a list") {
            assert_eq!(
                (&one["taken"], &one["answer"]),
                (&false.into(), &answer.into())
            );
        }
    }

    let gone = Alerts {
        slack_webhook_url: Some("http://127.0.0.1:9/services/hunter2".to_owned().into()),
        ..Alerts::default()
    };
    let gone = &receivers(&gone).expect("valid")[0];
    let now = Timestamp::now();
    let message = Message::of(alert::Event::Test, Vec::new(), "test", now);
    let message = serde_json::to_string(&message).expect("JSON");
    let answer = gone.send(&message, now).await;
    assert!(matches!(answer, alert::Answer::Later { .. }), "{answer:?}");
    assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_other_of_its_kind() {
    let world = World::new().await;
    let (hangs, takes) = (Receiver::start().await, Receiver::start().await);
    hangs.is(Mood::Hangs);
    let slack = format!(
        "[alerts.slack.on-call]\nwebhook_url = \"{}/services/hunter2\"\n",
        takes.address
    );
    let hangs_also = webhook(&world, "hangs", &hangs);
    let text = often(14_400_000) + &hangs_also + &webhook(&world, "ops", &takes) + &slack;
    write(&world, &text);
    broken_teams(&world, 7..=7).await;
    let serving = Serving::start(&world, "serve").await;
    takes.until_events(&["failing"]).await;
    let begun = Instant::now();
    mend(&world);
    takes.until_events(&["failing", "resolved"]).await;
    until("Slack is told, too", SOON, || async {
        (takes.taken("/services/hunter2").len() == 2).then_some(())
    })
    .await;
    // Each of the tries at the other one takes a second, and they rest longer each time.
    assert!(begun.elapsed() < Duration::from_secs(10));
    let waiting = |name: &str| {
        let (world, name) = (&world, name.to_owned());
        async move {
            let all = world.prefill.ledger.receivers().await.expect("receivers");
            let of_name = all.iter().find(|receiver| receiver.name == name);
            of_name.map(|receiver| (receiver.waiting, receiver.is_there()))
        }
    };
    assert_eq!(waiting("webhook.hangs").await, Some((2, true)));
    until("what was sent is noted", SOON, || async {
        let all = (waiting("webhook.ops").await, waiting("slack.on-call").await);
        (all == (Some((0, true)), Some((0, true)))).then_some(())
    })
    .await;
    assert!(hangs.taken("/hook").is_empty());

    let log = serving.log();
    assert!(log.contains("slack.on-call (127.0.0.1), webhook.hangs (127.0.0.1), webhook.ops"));
    let told = world.cli(&["alerts", "test"]);
    assert_eq!(told.status.code(), Some(1));
    let out = String::from_utf8(told.stdout).expect("text");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "slack.on-call (127.0.0.1): taken: it answered 200 OK: ok",
            "webhook.hangs (127.0.0.1): not taken: it did not answer within 1000 ms",
            "webhook.ops (127.0.0.1): taken: it answered 200 OK: ok",
        ]
    );
    for secret in ["hunter2", SECRET] {
        assert!(!log.contains(secret) && !out.contains(secret));
    }
}

/// What a receiver has waiting, as `prefill health` tells it.
fn not_sent(world: &World) -> Value {
    let health = world.cli(&["health", "--json"]);
    let health: Value = serde_json::from_slice(&health.stdout).expect("JSON");
    health["alerts_not_sent"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_receiver_that_no_process_has_are_told_kept_and_dropped_after_a_day() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    write(
        &world,
        &(often(14_400_000) + &webhook(&world, "ops", &receiver)),
    );
    let minutes_ago = |minutes: i64| Timestamp::now().as_millisecond() - minutes * 60_000;
    // As a process with another configuration left it, half an hour ago.
    plain_sql(
        &world,
        &format!(
            "insert into receivers (name, takes, seen_at) values ('slack.old', 'alerts', {seen});
             insert into outbox (receiver, body, made_at) values ('slack.old', '{{}}', {seen}), ('slack.old', '{{}}', {seen})",
            seen = minutes_ago(30)
        ),
    );
    let serving = Serving::start(&world, "serve").await;
    let said = |what: &str| {
        let log = serving.log();
        let lines = log.lines().filter(|line| line.contains(what));
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect::<Vec<Value>>()
    };
    let misses = "messages wait for a receiver that no process has any more";
    until("it is told", SOON, || async {
        (!said(misses).is_empty()).then_some(())
    })
    .await;
    let told = not_sent(&world);
    assert_eq!(told[0]["receiver"], "slack.old");
    assert_eq!(
        (&told[0]["waiting"], &told[0]["configured"]),
        (&2.into(), &false.into())
    );
    assert!(told[0]["oldest_seconds"].as_u64() >= Some(1_800), "{told}");
    let out = String::from_utf8(world.cli(&["health"]).stderr).expect("text");
    let hint = "2 messages wait for slack.old of [alerts], the oldest for 30 min, and no prefill serve that runs has it";
    assert!(out.contains(hint), "{out}");
    // Nothing more is written for it.
    broken_teams(&world, 7..=7).await;
    receiver.until_events(&["failing"]).await;
    assert_eq!(not_sent(&world)[0]["waiting"], 2);

    plain_sql(
        &world,
        &format!(
            "update receivers set seen_at = {} where name = 'slack.old'",
            minutes_ago(24 * 60 + 1)
        ),
    );
    let drops = "no process has had a receiver for a day";
    until("they are dropped", SOON, || async {
        (!said(drops).is_empty()).then_some(())
    })
    .await;
    assert_eq!(not_sent(&world), Value::Array(Vec::new()));
    let dropped = said(drops);
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert_eq!(
        (
            &dropped[0]["level"],
            &dropped[0]["receiver"],
            &dropped[0]["dropped"]
        ),
        (&"ERROR".into(), &"slack.old".into(), &2.into())
    );
    assert_eq!(said(misses).len(), 1, "it was told once");

    // Also where nobody is told anything any more.
    stop(serving).await;
    write(&world, "[alerts]\nevery_ms = 100\n");
    let long_ago = minutes_ago(24 * 60 + 1);
    plain_sql(
        &world,
        &format!(
            "update receivers set seen_at = {long_ago};
             insert into outbox (receiver, body, made_at) values ('webhook.ops', '{{}}', {long_ago}), ('webhook', '{{}}', {long_ago})"
        ),
    );
    let serving = Serving::start(&world, "nobody").await;
    until("all are dropped", SOON, || async {
        (serving.log().matches(drops).count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        world.prefill.ledger.receivers().await.expect("receivers"),
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_services_that_are_configured_differently_both_receivers_are_told() {
    let world = World::on_postgres(prefill::config::Config::default()).await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    broken_teams(&world, 7..=7).await;
    mend(&world);
    let often = often(14_400_000);
    write(&world, &(often.clone() + &webhook(&world, "first", &first)));
    let one = Serving::start(&world, "one").await;
    until("it looks", SOON, || async {
        let turns = "select count(*) from prefill.turns where name = 'alerts'";
        let ledger = support::ledger::url(world.dir.path()).expect("an address");
        (support::ledger::psql(&ledger, turns).trim() == "1").then_some(())
    })
    .await;
    write(&world, &(often + &webhook(&world, "second", &second)));
    let two = Serving::start(&world, "two").await;
    until("both are known", SOON, || async {
        let all = world.prefill.ledger.receivers().await.expect("receivers");
        (all.len() == 2).then_some(())
    })
    .await;
    // The first one looks, and only the second one can send to the second receiver.
    plain_sql(&world, "update teams set timezone = 'Mars/Base'");
    for receiver in [&first, &second] {
        receiver.until_events(&["failing"]).await;
    }
    // Now the second one looks, and what it writes for the first one's receiver waits for that.
    one.kill();
    mend(&world);
    second.until_events(&["failing", "resolved"]).await;
    assert_eq!(first.events(), ["failing"]);
    write(
        &world,
        &(self::often(14_400_000) + &webhook(&world, "first", &first)),
    );
    let _one = Serving::start(&world, "one again").await;
    first.until_events(&["failing", "resolved"]).await;
    for receiver in [&first, &second] {
        assert_eq!(receiver.came("/hook").len(), 2, "each was sent once");
    }
    assert!(!two.log().contains("no process has"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_services_one_says_in_its_log_that_messages_wait_for_a_receiver_that_none_has() {
    let world = World::on_postgres(prefill::config::Config::default()).await;
    let ledger = support::ledger::url(world.dir.path()).expect("an address");
    let sql = |sql: &str| support::ledger::psql(&ledger, sql).trim().to_owned();
    let half_an_hour_ago = Timestamp::now().as_millisecond() - 1_800_000;
    plain_sql(
        &world,
        &format!(
            "insert into receivers (name, takes, seen_at) values ('slack.old', 'alerts', {half_an_hour_ago});
             insert into outbox (receiver, body, made_at) values ('slack.old', '{{}}', {half_an_hour_ago})"
        ),
    );
    let receivers = [Receiver::start().await, Receiver::start().await];
    let mut services = Vec::new();
    for (name, receiver) in ["one", "two"].into_iter().zip(&receivers) {
        write(
            &world,
            &(often(14_400_000) + &webhook(&world, name, receiver)),
        );
        services.push(Serving::start(&world, name).await);
    }
    let said = |service: &Serving| service.log().matches("no process has any more").count();
    until("one says it", SOON, || async {
        (services.iter().map(&said).sum::<usize>() > 0).then_some(())
    })
    .await;
    // Each says which receivers it has, and looks for others after that: both have, when both say it again.
    for _ in 0..2 {
        let since = sql("select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)");
        let again = format!(
            "select count(*) from prefill.receivers where name <> 'slack.old' and seen_at > {since}"
        );
        until("both were there again", SOON, || async {
            (sql(&again) == "2").then_some(())
        })
        .await;
    }
    let mut counts: Vec<usize> = services.iter().map(&said).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
    // Whoever has said it is gone: the other one sees to it from then on.
    let first = services.iter().position(|service| said(service) == 1);
    stop(services.swap_remove(first.expect("one"))).await;
    until("the other one says it", SOON, || async {
        (said(&services[0]) == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_services_on_one_ledger_one_tells() {
    let world = World::on_postgres(prefill::config::Config::default()).await;
    let receiver = Receiver::start().await;
    configure(&world, &receiver, 14_400_000);
    broken_teams(&world, 7..=8).await;
    let one = Serving::start(&world, "one").await;
    let two = Serving::start(&world, "two").await;
    receiver.until_events(&["failing"]).await;
    assert_eq!(
        receiver.taken("/hook")[0].json()["alerts"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let ledger = support::ledger::url(world.dir.path()).expect("an address");
    until("what was sent is noted", SOON, || async {
        let waiting = support::ledger::psql(&ledger, "select count(*) from prefill.outbox");
        (waiting.trim() == "0").then_some(())
    })
    .await;
    // Whoever looked last, the other one goes on.
    one.kill();
    mend(&world);
    receiver.until_events(&["failing", "resolved"]).await;
    plain_sql(&world, "update teams set timezone = 'Mars/Base'");
    receiver
        .until_events(&["failing", "resolved", "failing"])
        .await;
    assert_eq!(receiver.came("/hook").len(), 3, "each was sent once");
    assert!(two.log().contains("telling what is wrong"));
}
