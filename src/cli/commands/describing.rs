//! What the program says about itself: its configuration, its completions, its manual. None of it needs
//! an installation, or a configuration that is valid.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::Man;
use serde_json::json;

use crate::cli::arguments::{Arguments, Completions, Configuration, Everywhere, Manual};
use crate::cli::{Ended, data_dir, load, log_filter};
use crate::config::{self, Config, Origin};
use crate::engine;
use crate::error::{Class, Context, Error, Result};
use crate::ledger::Ledger;
use crate::output::{self, line, note};
use crate::service::may_be_data_dir;

pub(in crate::cli) fn configuration(
    everywhere: &Everywhere,
    asked: &Configuration,
) -> Result<Ended> {
    match asked {
        Configuration::PrintDefault => {
            output::bytes(config::print_default().as_bytes());
            Ok(Ended::Well)
        }
        Configuration::Check => check(everywhere),
    }
}

/// Reads the configuration as every other command does, and says from where. No value is told, because
/// it may be a secret.
fn check(everywhere: &Everywhere) -> Result<Ended> {
    let data_dir = data_dir(everywhere)?;
    let loaded = load(everywhere, &data_dir).and_then(|config| {
        // What only serve reads.
        config.http.check_tokens()?;
        let receivers = config.alerts.check_receivers()?;
        // What shows only when it is used.
        may_be_data_dir(&data_dir)?;
        Ledger::check_address(&config.ledger)?;
        if config.warehouses.values().any(|one| one.url.is_none()) {
            engine::named().map_err(|error| misused(&error))?;
        }
        log_filter("warn")?;
        Ok((config, receivers))
    });
    let origin = Origin::of(
        everywhere.config.as_deref(),
        &data_dir,
        loaded.as_ref().ok().map(|(config, _)| config),
    );
    for (name, meant) in &origin.unknown_variables {
        let meant = meant.as_ref();
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        note(format!("hint: {name} is set, and nothing reads it{meant}"));
    }
    let file = origin.file.as_ref().map(|file| file.display().to_string());
    let file = file.unwrap_or_else(|| "no file".to_owned());
    let variables = match &*origin.variables {
        [] => "nothing in the environment".to_owned(),
        variables => variables.join(", "),
    };
    let (config, receivers) = loaded.map_err(|error| {
        error.while_doing(format!(
            "the configuration is not valid ({file}; {variables})"
        ))
    })?;
    if everywhere.json {
        output::json(&json!({
            "status": "valid",
            "data_dir": data_dir,
            "file": origin.file,
            "variables": origin.variables,
            "unknown_variables": origin.unknown_variables.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "warehouses": config.warehouses.keys().collect::<Vec<_>>(),
            "default_warehouse": config.default_warehouse,
            "alert_receivers": receivers,
        }))?;
        return Ok(Ended::Well);
    }
    line("the configuration is valid");
    line(format!("file: {file}"));
    line(format!("environment: {variables}"));
    line(format!("warehouses: {}", warehouses(&config)));
    let receivers = match &*receivers {
        [] => "told to nobody".to_owned(),
        receivers => receivers.join(", "),
    };
    line(format!("alerts: {receivers}"));
    Ok(Ended::Well)
}

/// What is wrong with a setting, whatever it would be when it is used.
fn misused(error: &Error) -> Error {
    let misuse = Error::misuse(error.chain());
    match error.next_step() {
        Some(hint) => misuse.hint(hint),
        None => misuse,
    }
}

fn warehouses(config: &Config) -> String {
    let told = config.warehouses.iter().map(|(name, warehouse)| {
        let what = if warehouse.url.is_some() {
            "a server"
        } else {
            "the embedded engine"
        };
        format!("{name} ({what})")
    });
    told.collect::<Vec<_>>().join(", ")
}

pub(in crate::cli) fn completions(asked: &Completions) -> Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(
        asked.shell,
        &mut Arguments::command(),
        "prefill",
        &mut script,
    );
    output::bytes(&script);
    Ok(Ended::Well)
}

pub(in crate::cli) fn manual(json: bool, asked: &Manual) -> Result<Ended> {
    let Some(dir) = &asked.dir else {
        let mut page = Vec::new();
        Man::new(Arguments::command())
            .render(&mut page)
            .classed(Class::Never, || "failed to make the page".to_owned())?;
        output::bytes(&page);
        if std::io::stdout().is_terminal() {
            note("hint: prefill man | man -l - shows it");
        }
        return Ok(Ended::Well);
    };
    let failed = |error: Error| error.hint("name a directory that you can write to");
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), dir))
        .classed(Class::Operator, || {
            format!("failed to write the pages to {}", dir.display())
        })
        .map_err(failed)?;
    let files: Vec<PathBuf> = pages(&Arguments::command(), "")
        .into_iter()
        .map(|page| dir.join(page))
        .collect();
    if json {
        output::json(&json!({ "status": "completed", "files": files }))?;
    } else {
        line(format!("{} pages in {}", files.len(), dir.display()));
    }
    Ok(Ended::Well)
}

/// The names of the pages: one of each command, `prefill-team-add.1`.
fn pages(command: &clap::Command, above: &str) -> Vec<String> {
    let name = format!("{above}{}", command.get_name());
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    let mut pages: Vec<String> = below
        .flat_map(|below| pages(below, &format!("{name}-")))
        .collect();
    pages.insert(0, format!("{name}.1"));
    pages
}
