//! The words of the command line.

use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::calendar::{Day, TeamId};
use crate::request::Asked;

/// A number, for people who typed something else.
fn whole_number(text: &str) -> Result<i64, String> {
    text.parse::<i64>()
        .map_err(|error| told_of_number(text, &error, ""))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse::<u16>()
        .map_err(|error| told_of_number(text, &error, " from 0 to 65535"))
}

fn told_of_number(text: &str, error: &ParseIntError, range: &str) -> String {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow if range.is_empty() => {
            format!("{text:?} is out of range")
        }
        _ => format!("{text:?} is no whole number{range}"),
    }
}

/// Keeps the pre-aggregated web analytics tables of ClickHouse filled, by itself.
#[derive(Debug, Parser)]
#[command(
    name = "prefill",
    version,
    about,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed (or validate found a difference, or health a problem), 2 misused."
)]
pub struct Arguments {
    #[command(flatten)]
    pub everywhere: Everywhere,
    #[command(subcommand)]
    pub command: Any,
}

/// What goes with every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Everywhere {
    /// Where everything of this installation lies [default: PREFILL_DATA_DIR, else prefill in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The configuration [default: prefill.toml in the data directory, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How log lines on standard error look
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Any {
    #[command(flatten)]
    OfInstallation(Command),
    /// Show every setting with its default, or check the configuration
    #[command(subcommand)]
    Config(Configuration),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page, or write one for each command
    Man(Manual),
}

/// What needs an installation, and with it a configuration that is valid.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Notice teams that turn the setting on, fill their days and keep them filled, until stopped
    Serve,
    /// List the teams that have the setting on, with their coverage
    List,
    /// Add, change or list teams
    #[command(subcommand)]
    Team(Team),
    /// Turn the setting on: prefill fills the team's last days
    Enable(OneTeam),
    /// Turn the setting off: nothing is filled any more, nothing is deleted
    Disable(OneTeam),
    /// Fill a range of days now; what is filled is left alone
    Backfill(Backfill),
    /// Compare the tables with the raw events, day by day; exit code 1 when they differ
    Validate(Validate),
    /// Delete a range of a team's days from the tables, and turn its setting off
    Cleanup(Cleanup),
    /// Show what was asked for lately, or one task and its days
    Status(Status),
    /// Say why a day of a team is as it is, what comes next, and what to run
    Explain(Explain),
    /// Keep a task, a team or everything from being filled until it is resumed; what runs stops
    Pause(Which),
    /// Let what was paused be filled (of a team its tasks too, with --all every pause there is), and take up a task that was cancelled
    Resume(Which),
    /// End a task, or all tasks of a team or of everybody; what is filled stays
    Cancel(Which),
    /// Try at once what failed, and nothing else
    Retry(Which),
    /// Check every team that has the setting on; exit code 1 when something is wrong
    Health,
    /// Numbers over the last days
    Metrics(Metrics),
    /// Whom prefill serve tells when something is wrong
    #[command(subcommand)]
    Alerts(Alerts),
    /// Bring events in
    #[command(subcommand)]
    Import(Import),
    /// Run a statement on the warehouse
    Query(Query),
    /// Make the tables and the ledger, or say what is wrong with those that are there
    Migrate(Migrate),
    /// Make a synthetic site, turn the setting on and watch
    Demo(Demo),
    /// Serve the embedded ClickHouse over HTTP, or fetch its library
    Engine(Engine),
}

#[derive(Debug, Subcommand)]
pub enum Team {
    /// Add a team
    Add(TeamAdd),
    /// Change a team
    Set(TeamSet),
    /// List all teams
    List,
}

#[derive(Debug, Args)]
pub struct OneTeam {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
}

#[derive(Debug, Args)]
pub struct TeamAdd {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// What people call it
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Whose team it is
    #[arg(long, default_value = "", hide_default_value = true)]
    pub organization: String,
    /// An IANA name, such as Asia/Kolkata
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub timezone: String,
    /// The team's own number of days
    #[arg(long, value_name = "N", value_parser = whole_number, allow_negative_numbers = true)]
    pub backfill_days: Option<i64>,
    /// The team's warehouse, where there are several
    #[arg(long, value_name = "NAME")]
    pub warehouse: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "organization", "timezone", "backfill_days", "warehouse"]))]
pub struct TeamSet {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// What people call it
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// Whose team it is
    #[arg(long)]
    pub organization: Option<String>,
    /// An IANA name, such as Asia/Kolkata; the team's days are filled again in it
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// The team's own number of days
    #[arg(long, value_name = "N", value_parser = whole_number, allow_negative_numbers = true)]
    pub backfill_days: Option<i64>,
    /// The team's warehouse, where there are several
    #[arg(long, value_name = "NAME")]
    pub warehouse: Option<String>,
}

#[derive(Debug, Args)]
pub struct Backfill {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// Today and that many days before it [default: the team's own, else 7]
    #[arg(long, value_name = "N", value_parser = whole_number, conflicts_with_all = ["date_start", "date_end"], allow_negative_numbers = true)]
    pub days: Option<i64>,
    /// The first day, YYYY-MM-DD in the team's time zone
    #[arg(long, value_name = "DATE")]
    pub date_start: Option<Day>,
    /// The day after the last one, YYYY-MM-DD [default: tomorrow]
    #[arg(long, value_name = "DATE")]
    pub date_end: Option<Day>,
    /// Only ask for it, print the task's id and leave the work to prefill serve
    #[arg(long = "async")]
    pub background: bool,
    /// Say what would be filled: days, rows, bytes and time
    #[arg(long)]
    pub dry_run: bool,
    /// Fill again what is filled; readers see the old rows until the new ones are verified
    #[arg(long)]
    pub force: bool,
}

impl Backfill {
    pub fn asked(&self) -> Asked {
        Asked {
            days: self.days,
            date_start: self.date_start,
            date_end: self.date_end,
        }
    }
}

#[derive(Debug, Args)]
pub struct Validate {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// Today and that many days before it
    #[arg(long, value_name = "N", value_parser = whole_number, conflicts_with_all = ["date_start", "date_end"], allow_negative_numbers = true)]
    pub days: Option<i64>,
    /// The first day, YYYY-MM-DD in the team's time zone [default: all days the team should have]
    #[arg(long, value_name = "DATE")]
    pub date_start: Option<Day>,
    /// The day after the last one, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub date_end: Option<Day>,
}

#[derive(Debug, Args)]
pub struct Cleanup {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// The first day, YYYY-MM-DD in the team's time zone
    #[arg(long, value_name = "DATE")]
    pub date_start: Day,
    /// The day after the last one, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub date_end: Day,
    /// Say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    /// The task's id, as backfill --async prints it
    pub task: Option<String>,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// The day, YYYY-MM-DD in the team's time zone
    #[arg(long, value_name = "DATE")]
    pub day: Day,
    /// Compare the day with its raw events, which reads them; exit code 1 when they differ
    #[arg(long)]
    pub verify: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["task", "team_id", "all"]))]
pub struct Which {
    /// The task's id, as backfill --async and status print it
    pub task: Option<String>,
    /// All of a team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: Option<TeamId>,
    /// All teams
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Metrics {
    /// Today and that many days before it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7,
        value_parser = whole_number,
        allow_negative_numbers = true
    )]
    pub days: i64,
}

#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// Send a test to every receiver that is configured; exit code 1 when one does not take it
    Test,
}

#[derive(Debug, Subcommand)]
pub enum Import {
    /// Page views from a web server's log in the common or combined format
    AccessLog(ImportAccessLog),
    /// One event a line, in the shape of the events contract or of PostHog's exports
    Jsonl(ImportJsonl),
}

#[derive(Debug, Args)]
pub struct ImportAccessLog {
    /// The log, plain or gzip, in one file or several, in any order; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The team
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: TeamId,
    /// The site's host, for lines of which neither virtual host nor target says it
    #[arg(long)]
    pub host: Option<String>,
    /// Keep the page views of robots
    #[arg(long)]
    pub include_bots: bool,
}

#[derive(Debug, Args)]
pub struct ImportJsonl {
    /// The events, plain or gzip, in one file or several; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The team of events that name none; lines that name another team are left out and counted
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: Option<TeamId>,
}

#[derive(Debug, Args)]
pub struct Query {
    /// The statement
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub sql: String,
    /// How to answer, such as TSV, CSVWithNames or Vertical [default: a table, or JSON with --json]
    #[arg(long)]
    pub format: Option<String>,
    /// Gives the statement the parameter {team_id:Int64}, and runs it on the team's warehouse
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub team_id: Option<TeamId>,
    /// The warehouse to ask, where there are several [default: the team's, else default_warehouse]
    #[arg(long, value_name = "NAME")]
    pub warehouse: Option<String>,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// Make the table of raw events where it is missing, or tables like PostHog's: for development
    #[arg(long)]
    pub with_source: bool,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "undo")]
    pub check: bool,
    /// Take the trigger on the teams table away
    #[arg(long)]
    pub undo: bool,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Go on serving when everything was shown, until Ctrl-C
    #[arg(long)]
    pub serve: bool,
}

#[derive(Debug, Subcommand)]
pub enum Configuration {
    /// Print a prefill.toml with every setting, commented out: its meaning, unit, range and default
    PrintDefault,
    /// Read the configuration as other commands do, and say whether it is valid; exit code 2 when not
    Check,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Manual {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Engine {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 0, value_parser = port, allow_negative_numbers = true)]
    pub port: u16,
    /// Fetch the library into the user's cache and end
    #[arg(long, conflicts_with_all = ["port", "until_unused"])]
    pub fetch: bool,
    /// Stop when no other command uses it
    #[arg(long, hide = true)]
    pub until_unused: bool,
}
