//! The command line: words in, tables or JSON out. Data goes to standard output, everything else to
//! standard error; an error is printed once, here, with its next step.

mod arguments;
mod commands;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::arguments::{Any, Arguments, Command, Everywhere, LogFormat};
use crate::cli::commands::describing;
use crate::config::{Config, default_data_dir};
use crate::engine;
use crate::error::{Class, Context, Error, Result};
use crate::output;
use crate::rollup::Tables;
use crate::service::Place;

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    /// It did what it should, and what it found is bad: exit code 1.
    Badly,
}

/// What every command gets.
struct Surroundings {
    place: Place,
    config: Config,
    json: bool,
    /// Ctrl-C or SIGTERM: stop in good order.
    stop: CancellationToken,
}

/// Runs the program; the exit code is 0 when done, 1 when failed, 2 when misused.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    log_to_stderr(&arguments);
    let json = arguments.everywhere.json;
    let of_place = [
        ("--data-dir", arguments.everywhere.data_dir.clone()),
        ("--config", arguments.everywhere.config.clone()),
    ];
    let is_engine = matches!(
        &arguments.command,
        Any::OfInstallation(Command::Engine(engine)) if !engine.fetch
    );
    let ended = run(arguments).and_then(|ended| match output::unwritten() {
        Some(error) => Err(error),
        None => Ok(ended),
    });
    let code = match ended {
        Ok(Ended::Well) => 0,
        Ok(Ended::Badly) => 1,
        Err(error) => {
            output::error(&error, json);
            if error.class() == Class::Misuse { 2 } else { 1 }
        }
    };
    if !json {
        let named = of_place.iter();
        let named = named.filter_map(|(name, path)| Some((*name, path.as_deref()?)));
        output::tell_options(&named.collect::<Vec<_>>());
    }
    if is_engine {
        engine::leave(code);
    }
    ExitCode::from(code)
}

/// Help and version, or what is wrong with the words of the command line.
fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if error.use_stderr() && words.iter().any(|word| word == "--json") {
        output::object(&serde_json::json!({
            "status": "error",
            "error": in_one_line(&error.to_string()),
            "hint": format!("run {} --help", named_command(&words)),
        }));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What clap says up to its first blank line, after which come tips and usage: some of its errors
/// name what is missing on lines of their own.
fn in_one_line(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The command that the words name, as far as they do: `prefill team add`.
fn named_command(words: &[String]) -> String {
    let mut command = &Arguments::command();
    let mut named = command.get_name().to_owned();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // The value of an option may be called like a command.
        if ["--data-dir", "--config", "--log-format"].contains(&word.as_str()) {
            words.next();
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
            named = format!("{named} {word}");
        }
    }
    named
}

fn run(arguments: Arguments) -> Result<Ended> {
    let everywhere = &arguments.everywhere;
    let command = match arguments.command {
        Any::Config(asked) => return describing::configuration(everywhere, &asked),
        Any::Completions(asked) => return describing::completions(&asked),
        Any::Man(asked) => return describing::manual(everywhere.json, &asked),
        Any::OfInstallation(command) => command,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .classed(Class::Operator, || "failed to start".to_owned())?;
    let ended = runtime.block_on(async {
        // An engine that other commands started ends with them, not with the terminal's Ctrl-C.
        let stop = match &command {
            Command::Engine(engine) if engine.until_unused => CancellationToken::new(),
            _ => stop_on_signals()?,
        };
        let context = context(everywhere, stop)?;
        commands::run(context, command).await
    });
    // A blocked read of standard input must not keep the program from ending.
    runtime.shutdown_background();
    ended
}

fn context(everywhere: &Everywhere, stop: CancellationToken) -> Result<Surroundings> {
    let data_dir = data_dir(everywhere)?;
    let config = load(everywhere, &data_dir)?;
    Ok(Surroundings {
        place: Place {
            data_dir,
            program: None,
        },
        config,
        json: everywhere.json,
        stop,
    })
}

fn data_dir(everywhere: &Everywhere) -> Result<PathBuf> {
    // A variable that is set to nothing counts as not set.
    let from_environment = std::env::var_os("PREFILL_DATA_DIR").filter(|dir| !dir.is_empty());
    let named = everywhere.data_dir.clone();
    match named.or(from_environment.map(PathBuf::from)) {
        Some(dir) if dir.as_os_str().is_empty() => {
            Err(Error::misuse("the data directory is empty text")
                .hint("pass --data-dir DIR or unset PREFILL_DATA_DIR"))
        }
        Some(dir) => std::path::absolute(&dir)
            .classed(Class::Misuse, || format!("{} is no path", dir.display())),
        None => default_data_dir(),
    }
}

fn load(everywhere: &Everywhere, data_dir: &Path) -> Result<Config> {
    let config = Config::load(everywhere.config.as_deref(), data_dir)?;
    // So that every command refuses wrong names, and not only those that use them.
    for (name, warehouse) in &config.warehouses {
        Tables::new(warehouse).map_err(|error| match config.warehouses.len() {
            1 => error,
            _ => error.while_doing(format!("the warehouse {name} is not usable")),
        })?;
    }
    Ok(config)
}

/// The first Ctrl-C or SIGTERM asks for an orderly end, the second one ends at once.
fn stop_on_signals() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).classed(Class::Operator, || {
            "failed to listen for signals".to_owned()
        })
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for code in [None, Some(130)] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if let Some(code) = code {
                std::process::exit(code);
            }
            told.cancel();
        }
    });
    Ok(stop)
}

/// Which lines `PREFILL_LOG` asks for, or else those of a level and above.
///
/// # Errors
///
/// [`Class::Misuse`] when it is no filter.
fn log_filter(usual: &str) -> Result<EnvFilter> {
    let asked = std::env::var_os("PREFILL_LOG").filter(|asked| !asked.is_empty());
    let Some(asked) = asked else {
        return Ok(usual_filter(usual));
    };
    let asked = asked.to_string_lossy();
    let filter = EnvFilter::try_new(&*asked).map_err(|error| error.to_string());
    // A word that is no level is taken for the name of a part, and then nothing at all is written.
    let filter = match asked.split(',').any(|part| asks_for_lines(part.trim())) {
        true => filter,
        false => filter.and(Err(format!("{asked:?} is no level and no part of prefill"))),
    };
    filter.map_err(|why| {
        Error::misuse("PREFILL_LOG is no filter of log lines")
            .caused_by(why)
            .hint("set it to a level, such as prefill=debug, or unset it")
    })
}

/// Whether a part of a filter is a level, or is of something that has one.
fn asks_for_lines(part: &str) -> bool {
    part.parse::<LevelFilter>().is_ok() || part.contains(['=', '[']) || part.starts_with("prefill")
}

/// sqlx and hyper have nothing to say to an operator that our own lines do not.
fn usual_filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("off,prefill={level}"))
}

/// Commands say only what went wrong; a service says what it does.
fn log_to_stderr(arguments: &Arguments) {
    let usual = match arguments.command {
        Any::OfInstallation(Command::Serve | Command::Engine(_)) => "info",
        _ => "warn",
    };
    let filter = log_filter(usual).unwrap_or_else(|error| {
        // config check says it as an error.
        if !matches!(arguments.command, Any::Config(_)) {
            output::note(format!(
                "hint: {}: {usual} lines are written",
                error.chain()
            ));
        }
        usual_filter(usual)
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| output::Log)
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match arguments.everywhere.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_one_that_the_words_name_and_not_the_value_of_an_option() {
        let named = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            named_command(&words)
        };
        assert_eq!(named("backfill --days x"), "prefill backfill");
        assert_eq!(named("--json team add --name list"), "prefill team add");
        assert_eq!(named("--data-dir list health --x"), "prefill health");
        assert_eq!(named("nonsense --json"), "prefill");
    }
}
