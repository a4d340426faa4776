//! A real site's log, imported and filled by the program, against a count by another program in
//! another language (`count_log.py`), in three zones.
//!
//! The log is not in the repository; without it, or without Python, the test says so and is skipped.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde::Deserialize;
use support::World;

const ZONES: &[(i64, &str)] = &[(1, "UTC"), (2, "Asia/Kolkata"), (3, "America/St_Johns")];

/// What a dashboard shows of a day.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Day {
    visitors: u64,
    page_views: u64,
    sessions: u64,
    bounces: u64,
    duration: i64,
    /// The most viewed; of equals the first by name.
    paths: Vec<(String, u64)>,
}

type Days = BTreeMap<String, Day>;

#[tokio::test(flavor = "multi_thread")]
async fn f16_the_tables_of_a_real_log_answer_as_another_program_counts_in_three_zones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = root.join("../shared/data/semicomplete-access.log.gz");
    if !log.is_file() {
        eprintln!("SKIPPED: there is no {}", log.display());
        return;
    }
    let mut count = Command::new("python3");
    count
        .arg(root.join("tests/count_log.py"))
        .arg(&log)
        .args(ZONES.iter().map(|(_, zone)| zone));
    let counted = match count.output() {
        Ok(counted) => answer(&counted),
        Err(error) => {
            eprintln!("SKIPPED: python3 cannot be run: {error}");
            return;
        }
    };
    let counted: BTreeMap<String, Days> = serde_json::from_str(&counted).expect("JSON");

    let world = World::new().await;
    for (team, zone) in ZONES {
        let id = team.to_string();
        let log = log.to_string_lossy();
        run(
            &world,
            &[
                "team",
                "add",
                "--name",
                "Site",
                "--timezone",
                zone,
                "--team-id",
                &id,
            ],
        );
        run(
            &world,
            &[
                "import",
                "access-log",
                &log,
                "--include-bots",
                "--team-id",
                &id,
            ],
        );
        run(&world, &["enable", "--team-id", &id]);
        let range = [
            "--date-start",
            "2015-05-16",
            "--date-end",
            "2015-05-23",
            "--team-id",
            &id,
        ];
        run(&world, &[&["backfill"][..], &range].concat());
        run(&world, &[&["validate"][..], &range].concat());
        let expected = &counted[*zone];
        let found = tables(&world, *team, zone).await;
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "the days in {zone}"
        );
        for (day, expected) in expected {
            assert!(
                expected.page_views > 0 && expected.paths.len() == 10,
                "{zone}, {day}: {expected:?}"
            );
            assert_eq!(&found[day], expected, "{zone}, {day}");
        }
    }
}

/// Runs the program to its success.
fn run(world: &World, arguments: &[&str]) {
    answer(&world.cli(arguments));
}

fn answer(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (answer, log) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{}\n{answer}\n{log}",
        output.status
    );
    answer
}

/// The days of a team that have rows, as both tables answer.
async fn tables(world: &World, team: i64, zone: &str) -> Days {
    let mut days = Days::new();
    let bounces = world
        .query(&format!(
            "select toDate(toTimezone(period_bucket, '{zone}')) as day, uniqMerge(persons_uniq_state),
                 sumMerge(pageviews_count_state), uniqMerge(sessions_uniq_state), sumMerge(bounces_count_state),
                 sumMerge(total_session_duration_state), sumMerge(total_session_count_state)
             from web_pre_aggregated_bounces where team_id = {team} group by day"
        ))
        .await;
    for line in bounces.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| fields[index].parse::<u64>().expect("a number");
        assert_eq!(
            number(3),
            number(6),
            "sessions as uniques and as a count: {line}"
        );
        let day = Day {
            visitors: number(1),
            page_views: number(2),
            sessions: number(3),
            bounces: number(4),
            duration: fields[5].parse().expect("a number"),
            paths: Vec::new(),
        };
        days.insert(fields[0].to_owned(), day);
    }
    let paths = world
        .query(&format!(
            "select toDate(toTimezone(period_bucket, '{zone}')) as day, pathname, sumMerge(pageviews_count_state) as views
             from web_pre_aggregated_stats where team_id = {team}
             group by day, pathname order by day, views desc, pathname limit 10 by day"
        ))
        .await;
    for line in paths.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let views = fields[2].parse().expect("a number");
        days.entry(fields[0].to_owned())
            .or_default()
            .paths
            .push((fields[1].to_owned(), views));
    }
    let totals = world
        .query(&format!(
            "select toDate(toTimezone(period_bucket, '{zone}')) as day, uniqMerge(persons_uniq_state),
                 sumMerge(pageviews_count_state), uniqMerge(sessions_uniq_state)
             from web_pre_aggregated_stats where team_id = {team} group by day"
        ))
        .await;
    for line in totals.lines() {
        let (day, numbers) = line.split_once('\t').expect("fields");
        let Day {
            visitors,
            page_views,
            sessions,
            ..
        } = &days[day];
        assert_eq!(
            numbers,
            format!("{visitors}\t{page_views}\t{sessions}"),
            "stats against bounces on {day}"
        );
    }
    days
}
