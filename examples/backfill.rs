//! prefill as a library, from an empty directory to verified tables and back:
//!
//! ```console
//! $ cargo build && cargo run --example backfill
//! ```
//!
//! It runs on the embedded ClickHouse, which is a child process of the `prefill` program (the one
//! beside this example; `PREFILL_PROGRAM` names another). With the `url` of a server in the
//! configuration no program is needed.

use std::path::PathBuf;

use jiff::{Timestamp, ToSpan as _};
use prefill::calendar::{TeamId, Zone};
use prefill::config::Config;
use prefill::error::Result;
use prefill::event::{Event, PAGEVIEW};
use prefill::ledger::NewTeam;
use prefill::load::Load;
use prefill::request::Asked;
use prefill::service::{Place, Prefill};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory of our own");
    if let Err(error) = run(directory.path().to_owned()).await {
        eprintln!("error: {}", error.chain());
        if let Some(hint) = error.next_step() {
            eprintln!("hint: {hint}");
        }
        std::process::exit(1);
    }
}

async fn run(data_dir: PathBuf) -> Result<()> {
    let place = Place {
        data_dir,
        program: program(),
    };
    let prefill = Prefill::open(&place, Config::default()).await?;

    // A service in this very process, until it is told to stop.
    let stop = CancellationToken::new();
    let serving = tokio::spawn(prefill.clone().serve(stop.clone(), || println!("serving")));

    let team = TeamId(7);
    prefill
        .ledger
        .add_team(&NewTeam {
            id: team,
            name: "Acme".to_owned(),
            organization: String::new(),
            zone: Zone::get("Asia/Kolkata")?,
            backfill_days: None,
            warehouse: None,
        })
        .await?;
    let mut load = Load::begin(&prefill, || ()).await?;
    for event in visits(team) {
        load.add(&event).await?;
    }
    println!("{} events", load.end().await?.added);

    // The service would fill the team's last days from here on; somebody asks for two of them.
    prefill.ledger.set_enabled(team, true).await?;
    let asked = Asked {
        days: Some(2),
        ..Asked::default()
    };
    let target = prefill.target(team, asked).await?;
    let task = prefill.backfill(&target, false).await?;
    println!("asked as task {task}");
    prefill.finish(task, &stop).await?;
    let progress = prefill.ledger.progress(task).await?;
    println!("{}: {} sessions", progress.status(), progress.sessions);

    let validation = prefill.validate(&target).await?;
    for day in &validation.days {
        println!(
            "{}: {}",
            day.day,
            if day.clean { "equal" } else { "differs" }
        );
    }
    let deleted = prefill.cleanup(&target, &stop).await?;
    println!("deleted {} rows", deleted.stats_rows + deleted.bounces_rows);

    stop.cancel();
    serving.await.unwrap_or_else(|panic| {
        std::panic::resume_unwind(panic.into_panic());
    })
}

/// A session of two page views 24 hours ago, and one that begins now.
fn visits(team: TeamId) -> Vec<Event> {
    let now = Timestamp::now();
    let before = now - 24.hours();
    [
        ("first", before, "/"),
        ("first", before + 40.seconds(), "/pricing"),
        ("second", now, "/"),
    ]
    .map(|(session, at, path)| Event {
        uuid: Uuid::new_v4(),
        event: PAGEVIEW.to_owned(),
        team_id: team.0,
        distinct_id: "somebody".to_owned(),
        person_id: Uuid::from_u128(1),
        session_id: session.to_owned(),
        timestamp: at.as_microsecond(),
        host: "acme.example".to_owned(),
        pathname: path.to_owned(),
        ..Event::default()
    })
    .to_vec()
}

/// The `prefill` program: named, or built beside this example.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PREFILL_PROGRAM") {
        return Some(named.into());
    }
    let built = std::env::current_exe().ok()?;
    Some(built.parent()?.parent()?.join("prefill"))
}
