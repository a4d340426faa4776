//! What can be configured. Each section has a file, in which a setting's name, unit, default, help and
//! check stand together; here is how they are read, and what has to be right about the whole. What is
//! told to people (`prefill config print-default`, unknown keys) is read off the same structs, see
//! `describe.rs`.
//!
//! One TOML file (`--config FILE`, else `prefill.toml` in the data directory where there is one)
//! and a few environment variables. An unknown key or a value out of range is refused by name.
//! `[warehouse]` and `[source]` are what all warehouses share; without `[warehouses.NAME]` they are
//! the one warehouse, [`DEFAULT_WAREHOUSE`].

mod alerts;
mod check;
mod describe;
mod http;
mod ledger;
mod secret;
mod service;
mod source;
mod teams;
mod unknown;
mod variables;
mod warehouse;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::calendar::TeamId;
use crate::error::{Class, Context, Error, Result};
use check::{SEE_KEYS, in_range};
use describe::Section;
use secret::without_values;
use source::with_source_as_table;
use unknown::unknown_key;

pub use alerts::{
    Alerts, CAPTURE_KEY_VARIABLE, Capture, SLACK_URL_VARIABLE, Slack, SlackReceiver,
    WEBHOOK_SECRET_VARIABLE, Webhook, WebhookReceiver,
};
pub use http::{DEFAULT_LISTEN, Http, READ_ONLY_TOKEN_VARIABLE, TOKEN_VARIABLE};
pub use ledger::{LEDGER_URL_VARIABLE, Ledger};
pub use secret::Secret;
pub use service::Service;
pub use source::{Source, SourceKind};
pub use teams::{Organization, Teams};
pub use warehouse::{Compression, DEFAULT_WAREHOUSE, Warehouse};

/// Names the default number of days to fill.
pub const BACKFILL_DAYS_VARIABLE: &str = "WEB_ANALYTICS_BACKFILL_DAYS";

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Days before the day on which a team turned its setting on; also what `backfill` fills
    /// without `--days`. Default 7, or `WEB_ANALYTICS_BACKFILL_DAYS`.
    pub backfill_days: u32,
    /// The most days that `--days` and a team's own number may ask for. Default 30.
    pub max_backfill_days: u32,
    pub service: Service,
    /// By name; at least one.
    pub warehouses: BTreeMap<String, Warehouse>,
    /// The warehouse of the teams that no warehouse lists and no column of the teams table names.
    pub default_warehouse: String,
    pub ledger: Ledger,
    /// The table of the teams, where it is not prefill's own.
    pub teams: Option<Teams>,
    /// Who is told when something is wrong.
    pub alerts: Alerts,
    pub http: Http,
}

/// The file, as it is written.
#[derive(Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Days before the day on which a team turned its setting on; also what `backfill` fills without
    /// `--days`. Or `WEB_ANALYTICS_BACKFILL_DAYS`. Range: 1 to `max_backfill_days`.
    backfill_days: u32,
    /// The most days that `--days` and a team's own number may ask for. Range: 1 to 36500.
    max_backfill_days: u32,
    /// The warehouse of the teams that no warehouse lists and no column of the teams table names. Needed
    /// where there are several.
    /// Example: `"eu"`.
    default_warehouse: Option<String>,
    /// A section.
    service: Service,
    /// A section.
    alerts: Alerts,
    /// A section.
    http: Http,
    /// A section.
    ledger: Ledger,
    /// A section.
    teams: Option<Teams>,
    /// A section.
    warehouse: toml::Table,
    /// A section, or its kind.
    source: Option<toml::Value>,
    /// Several warehouses by name: each has what [warehouse] and [source] say, and over it what is said in
    /// its own section, where any key of [warehouse] may stand.
    warehouses: BTreeMap<String, toml::Table>,
}

/// All sections, as they are described to people. One that is missing here is a setting without a value
/// that could be shown, which a test finds.
fn sections() -> Vec<Section> {
    let warehouses = Written::get_field_docs("warehouses").expect("a field");
    let of_alerts = |key| Alerts::get_field_docs(key).expect("a field");
    vec![
        Section::of::<Written>(""),
        Section::of::<Service>("service"),
        Section::of::<Alerts>("alerts"),
        Section::of::<SlackReceiver>("alerts").one_of_many(
            "alerts.slack.oncall",
            of_alerts("slack"),
            &["webhook_url", "webhook_url_file"],
        ),
        Section::of::<WebhookReceiver>("alerts").one_of_many(
            "alerts.webhook.ops",
            of_alerts("webhook"),
            &["url", "secret_file"],
        ),
        Section::of::<Http>("http"),
        Section::of::<Ledger>("ledger"),
        Section::of::<Teams>("teams").by_header(),
        Section::of::<Organization>("teams.organization").by_header(),
        Section::of::<Warehouse>("warehouse"),
        Section::of::<Source>("source"),
        Section::of::<Warehouse>("warehouse").one_of_many(
            "warehouses.eu",
            warehouses,
            &["url", "teams"],
        ),
    ]
}

/// The text of a `prefill.toml` in which every setting stands, commented out, with its meaning, unit,
/// range and default.
pub fn print_default() -> String {
    describe::as_file(&sections())
}

impl Default for Written {
    fn default() -> Self {
        let Config {
            backfill_days,
            max_backfill_days,
            service,
            ..
        } = Config::default();
        Self {
            backfill_days,
            max_backfill_days,
            service,
            warehouse: toml::Table::new(),
            source: None,
            warehouses: BTreeMap::new(),
            default_warehouse: None,
            ledger: Ledger::default(),
            teams: None,
            alerts: Alerts::default(),
            http: Http::default(),
        }
    }
}

impl Written {
    fn read(self) -> Result<Config> {
        let mut shared = self.warehouse;
        if let Some(source) = self.source {
            shared.insert("source".to_owned(), source);
        }
        let shared = with_source_as_table(shared);
        let mut warehouses = BTreeMap::new();
        for (name, own) in self.warehouses {
            let section = format!("[warehouses.{name}]");
            let all = overlaid(&shared, &with_source_as_table(own));
            warehouses.insert(name, warehouse(all, &section)?);
        }
        let default_warehouse = match (self.default_warehouse, warehouses.len()) {
            (Some(name), _) => name,
            (None, 0) => DEFAULT_WAREHOUSE.to_owned(),
            (None, 1) => warehouses.keys().next().cloned().unwrap_or_default(),
            (None, _) => {
                return Err(Error::misuse("there are several [warehouses] and no default_warehouse")
                    .hint("add default_warehouse = \"NAME\" at the top: the warehouse of teams that none of them lists"));
            }
        };
        if warehouses.is_empty() {
            let only = warehouse(shared, "[warehouse]")?;
            warehouses.insert(DEFAULT_WAREHOUSE.to_owned(), only);
        }
        Ok(Config {
            backfill_days: self.backfill_days,
            max_backfill_days: self.max_backfill_days,
            service: self.service,
            warehouses,
            default_warehouse,
            ledger: self.ledger,
            teams: self.teams,
            alerts: self.alerts,
            http: self.http,
        })
    }
}

/// What is shared, with what is `own` over it, table by table.
fn overlaid(shared: &toml::Table, own: &toml::Table) -> toml::Table {
    let mut all = shared.clone();
    for (key, value) in own {
        let value = match (all.get(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => {
                toml::Value::Table(overlaid(below, above))
            }
            _ => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    all
}

fn warehouse(table: toml::Table, section: &str) -> Result<Warehouse> {
    table.try_into().map_err(|error| {
        Error::misuse(format!("{section} is not valid"))
            .caused_by(without_values(error, ""))
            .hint(SEE_KEYS)
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backfill_days: 7,
            max_backfill_days: 30,
            service: Service::default(),
            warehouses: BTreeMap::from([(DEFAULT_WAREHOUSE.to_owned(), Warehouse::default())]),
            default_warehouse: DEFAULT_WAREHOUSE.to_owned(),
            ledger: Ledger::default(),
            teams: None,
            alerts: Alerts::default(),
            http: Http::default(),
        }
    }
}

impl Config {
    /// Reads `file`, or `prefill.toml` in the data directory where no file is named, and then the
    /// environment.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] naming the key and the range that it has to be in.
    pub fn load(file: Option<&Path>, data_dir: &Path) -> Result<Self> {
        let path = file_of(file, data_dir);
        let mut config = match &path {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).classed(Class::Misuse, || {
                    format!("failed to read the configuration {}", path.display())
                });
                let text = text.map_err(|error| {
                    error.hint("pass --config FILE with a TOML file that you can read")
                })?;
                let not_valid = format!("{} is not valid", path.display());
                let wrong = |what| Error::misuse(&not_valid).caused_by(what).hint(SEE_KEYS);
                if let Some(unknown) = unknown_key(&text, &sections()) {
                    return Err(wrong(unknown));
                }
                let written: Written =
                    toml::from_str(&text).map_err(|error| wrong(without_values(error, &text)))?;
                written
                    .read()
                    .map_err(|error| error.while_doing(&not_valid))?
            }
        };
        // Set to nothing, as compose files do, counts as not set.
        if let Some(text) = std::env::var(BACKFILL_DAYS_VARIABLE)
            .ok()
            .filter(|text| !text.is_empty())
        {
            config.backfill_days = text.trim().parse().map_err(|_| {
                Error::misuse(format!(
                    "{BACKFILL_DAYS_VARIABLE}={text:?} is no number of days"
                ))
                .hint("set it to a whole number from 1 to max_backfill_days (30), or unset it")
            })?;
            config.days(i64::from(config.backfill_days), BACKFILL_DAYS_VARIABLE)?;
        }
        for (name, warehouse) in &mut config.warehouses {
            warehouse.read_environment(name, |variable| std::env::var(variable).ok())?;
        }
        if let Some(url) = std::env::var(LEDGER_URL_VARIABLE)
            .ok()
            .filter(|text| !text.is_empty())
        {
            config.ledger.url = Some(url.into());
        }
        config
            .alerts
            .read_environment(|variable| std::env::var(variable).ok());
        config
            .http
            .read_environment(|name| std::env::var(name).ok());
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        in_range(
            "max_backfill_days",
            u64::from(self.max_backfill_days),
            1,
            36_500,
        )?;
        self.service.check()?;
        for (name, warehouse) in &self.warehouses {
            warehouse
                .check()
                .map_err(|error| error.while_doing(format!("the warehouse {name} is not valid")))?;
        }
        if !self.warehouses.contains_key(&self.default_warehouse) {
            return Err(self.no_warehouse(&self.default_warehouse, "default_warehouse"));
        }
        let mut embedded = self.warehouses.iter().filter(|(_, own)| own.url.is_none());
        if let (Some((one, _)), Some((two, _))) = (embedded.next(), embedded.next()) {
            return Err(Error::misuse(format!(
                "the warehouses {one} and {two} have no url, and only one can be the embedded engine"
            ))
            .hint("add the url of a ClickHouse server to all but one"));
        }
        let mut of_team = BTreeMap::new();
        for (name, warehouse) in &self.warehouses {
            for team in &warehouse.teams {
                if let Some(other) = of_team.insert(team, name) {
                    return Err(Error::misuse(format!(
                        "team {team} is listed by the warehouses {other} and {name}"
                    ))
                    .hint("leave it in the teams of one of them"));
                }
            }
        }
        self.days(i64::from(self.backfill_days), "backfill_days")?;
        self.ledger.check()?;
        self.alerts.check()?;
        self.http.check()?;
        if let Some(teams) = &self.teams {
            teams.check()?;
            if self.ledger.url()?.is_none() {
                return Err(Error::misuse("[teams] names a table, and [ledger] no database that has it")
                    .hint("set the url of [ledger], or PREFILL_LEDGER_URL, to that Postgres; without [teams] the teams are prefill's own"));
            }
        }
        Ok(())
    }

    /// The name of a team's warehouse: what the teams table names, else the warehouse that lists the
    /// team, else the default.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when the teams table names a warehouse that is not configured.
    pub fn warehouse_of(&self, team: TeamId, named: Option<&str>) -> Result<&str> {
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return self
                .warehouses
                .get_key_value(named)
                .map(|(name, _)| name.as_str())
                .ok_or_else(|| self.no_warehouse(named, &format!("the warehouse of team {team}")));
        }
        let listing = |(_, warehouse): &(&String, &Warehouse)| warehouse.teams.contains(&team.0);
        Ok(self
            .warehouses
            .iter()
            .find(listing)
            .map_or(&self.default_warehouse, |(name, _)| name))
    }

    fn no_warehouse(&self, named: &str, what: &str) -> Error {
        let known: Vec<&str> = self.warehouses.keys().map(String::as_str).collect();
        Error::misuse(format!("{what} is {named:?}, which is not configured")).hint(format!(
            "name one that is ({}), or add [warehouses.{named}] to the configuration",
            known.join(", ")
        ))
    }

    /// A number of days that somebody asked for, under the name by which they asked.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when it is 0, negative or above the limit: it is never clipped.
    pub fn days(&self, asked: i64, name: &str) -> Result<i64> {
        let most = i64::from(self.max_backfill_days);
        if (1..=most).contains(&asked) {
            return Ok(asked);
        }
        let error = Error::misuse(format!("{name} {asked} is out of range: 1 to {most} days"));
        Err(if asked > most {
            error.hint(format!(
                "at most {most} days back (max_backfill_days in the configuration raises that); backfill and validate take older days by --date-start and --date-end"
            ))
        } else {
            error.hint(format!("pass a whole number from 1 to {most}"))
        })
    }
}

/// The file that is read: `file`, or `prefill.toml` in the data directory where there is one.
fn file_of(file: Option<&Path>, data_dir: &Path) -> Option<PathBuf> {
    let usual = data_dir.join("prefill.toml");
    match file {
        Some(file) => Some(file.to_path_buf()),
        None => usual.is_file().then_some(usual),
    }
}

/// What a configuration comes from, and what looks as if it did.
#[derive(Debug)]
pub struct Origin {
    pub file: Option<PathBuf>,
    /// The names of the environment's variables that count.
    pub variables: Vec<String>,
    /// Those that begin with `PREFILL_` and count for nothing, with the name that may be meant.
    pub unknown_variables: Vec<(String, Option<String>)>,
}

impl Origin {
    /// Looks where [`Config::load`] looks. Variables of warehouses and receivers count for those that are
    /// configured; where the configuration is not valid, those of any name are not told as unknown.
    pub fn of(file: Option<&Path>, data_dir: &Path, config: Option<&Config>) -> Self {
        let set = std::env::vars_os()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, _)| name.into_string().ok());
        let set: BTreeSet<String> = set.collect();
        let own: Option<Vec<String>> = config.map(|config| {
            let warehouses = config.warehouses.keys();
            let of_warehouses = warehouses.flat_map(|name| variables::of_a_warehouse(name));
            of_warehouses.chain(config.alerts.variables()).collect()
        });
        let (variables, unknown_variables) =
            variables::sorted(set.iter().map(String::as_str), own.as_deref());
        Self {
            file: file_of(file, data_dir),
            variables,
            unknown_variables,
        }
    }
}

/// The directory that holds everything of one installation, unless one is named.
///
/// # Errors
///
/// [`Class::Misuse`] when the environment names no home.
pub fn default_data_dir() -> Result<PathBuf> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().classed(Class::Misuse, || {
        "failed to find the user's data directory".to_owned()
    });
    let base = base.map_err(|error| error.hint("pass --data-dir DIR or set PREFILL_DATA_DIR"))?;
    Ok(base.data_dir().join("prefill"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f39_a_number_of_days_is_refused_by_name_and_never_clipped() {
        let config = Config::default();
        assert_eq!(config.days(30, "--days").expect("the limit itself"), 30);
        for asked in [0, -1, 31, i64::MAX] {
            let error = config.days(asked, "--days").expect_err("out of range");
            assert_eq!(error.class(), Class::Misuse);
            assert!(
                error.to_string().contains(&format!("--days {asked}")),
                "{error}"
            );
            // One text for all that ask: backfill, metrics, a team's own number.
            let hint = error.next_step().expect("a hint");
            let older = "at most 30 days back (max_backfill_days in the configuration raises that); backfill and validate take older days by --date-start and --date-end";
            assert_eq!(hint == older, asked > 30, "{hint}");
        }
    }

    #[test]
    fn an_unknown_key_and_a_value_out_of_range_are_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("prefill.toml");
        for (text, names) in [
            ("backfil_days = 3", "backfil_days"),
            ("[service]\nworkers = 0", "service.workers"),
            ("backfill_days = 31", "backfill_days 31"),
            ("backfill_days = \"x\"", "backfill_days"),
            ("[warehouse]\nmax_thread = 1", "max_thread"),
            ("[warehouse]\nmax_threads = 0", "max_threads = 0"),
            ("[warehouses.eu]\nmax_threads = 0", "the warehouse eu"),
            ("[warehouse]\nbudget = 0", "budget = 0 is out of range"),
            ("[warehouse]\nbudget = -0.1", "budget = -0.1"),
            ("[warehouse]\nbudget = 1.01", "budget = 1.01"),
            ("[warehouse]\nbudget = 10", "above 0 and up to 1"),
            ("[warehouse]\nbudget = nan", "budget = NaN"),
            ("[warehouse]\nbudget = \"10 %\"", "budget"),
            ("[warehouses.eu]\nbudget = inf", "the warehouse eu"),
            ("[warehouses.eu.source]\ntabel = \"e\"", "tabel"),
            ("source = \"hogpost\"", "hogpost"),
            ("source = 3", "source"),
            ("[warehouses.eu]\n[warehouses.us]", "default_warehouse"),
            ("default_warehouse = \"us\"", "\"us\""),
            ("[warehouse]\nurl = \"ftp://a\"", "HTTP interface"),
            ("[ledger]\nschema = \"a;b\"", "ledger.schema"),
            ("[ledger]\nmax_connections = 1", "ledger.max_connections"),
            ("[teams]\ntable = \"a.b.c\"", "teams.table"),
            ("[teams]\ncolumn = \"x\"", "column"),
            ("[teams]", "[teams] names a table"),
            (
                "[warehouse]\nurl = \"http://u:hunter2@a:8123\"",
                "password in it",
            ),
            ("[warehouse]\nurl = \"http://a:8123/?x=1\"", "parameters"),
            ("[warehouse]\nclient_cert_file = \"a\"", "client_key_file"),
            ("[warehouse]\ncompression = \"brotli\"", "brotli"),
            ("[warehouse.settings]\na = [1]", "settings.a"),
            (
                "[warehouse.settings]\nmax_threads = 8",
                "settings.max_threads is prefill's own to set",
            ),
            (
                "[warehouse]\npassword_file = \"/nowhere/at/all\"",
                "/nowhere/at/all",
            ),
            (
                "default_warehouse = \"eu\"\n[warehouses.eu]\n[warehouses.us]",
                "eu and us have no url",
            ),
            (
                "default_warehouse = \"us\"\n[warehouses.eu]\nurl = \"http://a\"\nteams = [7]\n[warehouses.us]\nteams = [7]",
                "team 7",
            ),
        ] {
            std::fs::write(&file, text).expect("written");
            let error = Config::load(None, dir.path()).expect_err(text);
            assert!(error.chain().contains(names), "{}", error.chain());
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
        std::fs::write(&file, "backfill_days = 60\nmax_backfill_days = 90").expect("written");
        assert_eq!(
            Config::load(None, dir.path()).expect("valid").backfill_days,
            60
        );
    }

    #[test]
    fn a_warehouse_has_what_all_share_and_its_own_over_it_and_a_team_belongs_to_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = r#"
            default_warehouse = "us"
            [warehouse]
            max_threads = 3
            password = "hunter2"
            url = "http://all:8123"
            [source]
            table = "web.events"
            [source.columns]
            timestamp = "ts"
            [warehouses.eu]
            teams = [7, 8]
            max_threads = 5
            [warehouses.eu.source.columns]
            host = "h"
            [warehouses.us]
        "#;
        std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
        let config = Config::load(None, dir.path()).expect("valid");
        let (eu, us) = (&config.warehouses["eu"], &config.warehouses["us"]);
        assert_eq!((eu.max_threads, us.max_threads), (5, 3));
        assert_eq!(
            (&*eu.source.table, &*us.source.table),
            ("web.events", "web.events")
        );
        assert_eq!(us.password.as_ref().map(Secret::reveal), Some("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(eu.source.columns.len(), 2);
        assert_eq!(us.source.columns.len(), 1);
        let of = |team, named| config.warehouse_of(TeamId(team), named);
        assert_eq!(of(7, None).expect("listed"), "eu");
        assert_eq!(of(9, None).expect("the default"), "us");
        assert_eq!(of(7, Some("us")).expect("named"), "us");
        let error = of(9, Some("asia")).expect_err("unknown");
        assert!(
            error
                .next_step()
                .is_some_and(|hint| hint.contains("eu, us"))
        );
    }
}
