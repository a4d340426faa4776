//! Bringing events in: a thread reads, the rest of the program sends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;

use crate::calendar::TeamId;
use crate::cli::arguments::{ImportAccessLog, ImportJsonl};

use super::{ledger, open, told_to_stop};
use crate::cli::{Ended, Surroundings};
use crate::error::{Class, Error, Result};
use crate::event::Event;
use crate::import::{self, AccessLogOptions, ImportReport, JsonLines};
use crate::load::{Load, Loaded};
use crate::output::{self, counted, line, note, number};

/// What a reading thread hands over: events in handfuls, because a channel costs more than an event.
type Handful = Vec<Event>;

const HANDFUL: usize = 2_000;

pub(super) async fn import_access_log(to: Surroundings, asked: ImportAccessLog) -> Result<Ended> {
    let options = AccessLogOptions {
        team_id: asked.team_id.0,
        host: asked.host,
        include_bots: asked.include_bots,
    };
    ledger(&to).await?.team(asked.team_id).await?;
    import_with(
        &to,
        &asked.files,
        |load| load.of_lines(),
        move |inputs, progress, send| {
            let log = import::read_access_logs(inputs, &options, progress)?;
            let mut events = log.events().peekable();
            while events.peek().is_some() {
                send(events.by_ref().take(HANDFUL).collect())?;
            }
            Ok(log.report().clone())
        },
    )
    .await
}

pub(super) async fn import_jsonl(to: Surroundings, asked: ImportJsonl) -> Result<Ended> {
    if let Some(team) = asked.team_id {
        ledger(&to).await?.team(team).await?;
    }
    let team = asked.team_id.map(|team| team.0);
    import_with(
        &to,
        &asked.files,
        |load| load,
        move |inputs, progress, send| {
            let mut lines = JsonLines::of_files(inputs, team)?;
            loop {
                let handful = lines.by_ref().take(HANDFUL).collect::<Result<Handful>>()?;
                progress(lines.read_bytes());
                if handful.is_empty() {
                    return Ok(lines.report().clone());
                }
                send(handful)?;
            }
        },
    )
    .await
}

async fn import_with(
    to: &Surroundings,
    files: &[PathBuf],
    of_kind: for<'a> fn(Load<'a>) -> Load<'a>,
    read: impl FnOnce(
        Vec<import::Input>,
        &mut dyn FnMut(u64),
        &mut dyn FnMut(Handful) -> Result<()>,
    ) -> Result<ImportReport>
    + Send
    + 'static,
) -> Result<Ended> {
    let inputs = import::open_all(files)?;
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let name = told_of_files(&names);
    let sizes = inputs.iter().map(|input| input.size_bytes);
    let size_bytes = sizes.sum::<Option<u64>>();
    let bar = output::progress(
        size_bytes,
        if size_bytes.is_some() {
            "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left"
        } else {
            "{spinner} {bytes} read  {msg}"
        },
    );
    let begun = Instant::now();
    let prefill = open(to).await?;
    let load = Load::begin(&prefill, || {
        note("another import is under way; waiting for it")
    });
    let mut load = of_kind(load.await?);
    let (sender, mut handfuls) = mpsc::channel::<Handful>(8);
    let reading_bar = bar.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        let mut send = |handful| {
            let before = Instant::now();
            let sent = sender.blocking_send(handful);
            waited += before.elapsed();
            sent.map_err(|_| Error::new(Class::Lost, "the import was given up"))
        };
        let report = read(
            inputs,
            &mut |bytes| reading_bar.set_position(bytes),
            &mut send,
        )?;
        Ok((report, begun.elapsed().saturating_sub(waited)))
    });
    let mut sent = 0_u64;
    let loading = async {
        while let Some(handful) = handfuls.recv().await {
            for event in &handful {
                load.add(event).await?;
            }
            sent += handful.len() as u64;
            bar.set_message(format!("{} events sent", number(sent)));
        }
        Ok::<(), Error>(())
    };
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = to.stop.cancelled() => Err(told_to_stop("run the same import again: nothing is added twice")),
    };
    drop(handfuls);
    let read = match loaded {
        Ok(()) => reading.await.unwrap_or_else(|panic| {
            Err(Error::new(Class::Never, "the reading thread died").caused_by(panic))
        }),
        Err(error) => Err(error),
    };
    bar.finish_and_clear();
    let (report, parsing) = match read {
        Ok(read) => read,
        Err(error) => {
            load.abandon().await?;
            return Err(match error.next_step().map(ToOwned::to_owned) {
                Some(hint) => error
                    .while_doing(format!("failed to import {name}"))
                    .hint(hint),
                None => error.while_doing(format!("failed to import {name}")),
            });
        }
    };
    let loaded = load.end().await?;
    tell_import(to, &names, &report, &loaded, parsing, begun.elapsed())
}

/// How to call what is imported in a message.
fn told_of_files(names: &[String]) -> String {
    match names {
        [name] => name.clone(),
        _ => format!("{} files", number(names.len() as u64)),
    }
}

fn tell_import(
    to: &Surroundings,
    names: &[String],
    report: &ImportReport,
    loaded: &Loaded,
    parsing: Duration,
    elapsed: Duration,
) -> Result<Ended> {
    if !loaded.unknown_teams.is_empty() {
        note(told_of_unknown(&loaded.unknown_teams));
    }
    let name = told_of_files(names);
    if to.json {
        output::json(&json!({
            "status": "completed",
            "file": name,
            "files": names,
            "events": loaded.events,
            "events_added": loaded.added,
            "events_known": loaded.known,
            "unknown_teams": loaded.unknown_teams,
            "elapsed_seconds": elapsed.as_secs_f64(),
            "parsing_seconds": parsing.as_secs_f64(),
            "report": report,
        }))?;
        return Ok(Ended::Well);
    }
    line(format!(
        "imported {name}: {} lines, {} events added, {} known already, {} sessions, {} persons, in {:.1} s ({:.1} s of it parsing)",
        number(report.lines),
        number(loaded.added),
        number(loaded.known),
        number(report.sessions),
        number(report.persons),
        elapsed.as_secs_f64(),
        parsing.as_secs_f64()
    ));
    let left_out: Vec<String> = [
        (report.not_get, "not GET"),
        (report.bad_status, "of another status than 200 to 399"),
        (report.assets, "assets"),
        (report.robots, "of robots (--include-bots keeps them)"),
        (report.other_team, "of another team than --team-id"),
        (report.duplicates, "twice in the file"),
        (report.blank, "blank"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", number(*count)))
    .collect();
    if !left_out.is_empty() {
        line(format!("left out: {}", left_out.join(", ")));
    }
    if report.without_session > 0 {
        note(format!(
            "{} events belong to no session and are in no rollup",
            number(report.without_session)
        ));
    }
    for (field, count) in &report.ignored_fields {
        note(format!(
            "the field {field} of {} is not one of the contract and was ignored",
            counted(*count, "line")
        ));
    }
    for (field, count) in &report.emptied_fields {
        note(format!(
            "the field {field} of {} has a value of a wrong type or out of range and was left empty",
            counted(*count, "line")
        ));
    }
    if report.unreadable > 0 {
        note(format!(
            "{} could not be read, the first of them:",
            counted(report.unreadable, "line")
        ));
        report
            .first_unreadable
            .iter()
            .for_each(|line| note(line.to_string()));
    }
    if report.lines == 0 {
        note("the file is empty");
    }
    Ok(Ended::Well)
}

/// That events came in whose days nobody fills.
fn told_of_unknown(teams: &[TeamId]) -> String {
    const NAMED: usize = 5;
    if let [team] = teams {
        return format!(
            "team {team} is not in the teams table, so nothing fills the days of its events; run prefill team add --team-id {team} --name NAME"
        );
    }
    let named: Vec<String> = teams.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match teams.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {} more", number(more as u64)),
    };
    format!(
        "teams {}{more} are not in the teams table, so nothing fills the days of their events; run prefill team add --team-id N --name NAME for each",
        named.join(", ")
    )
}
