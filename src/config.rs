//! What can be configured: each setting's name, unit, default, help and check live together here.
//!
//! One TOML file (`--config FILE`, else `prefill.toml` in the data directory where there is one)
//! and a few environment variables. An unknown key or a value out of range is refused by name.
//! `[warehouse]` and `[source]` are what all warehouses share; without `[warehouses.NAME]` they are
//! the one warehouse, [`DEFAULT_WAREHOUSE`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::calendar::TeamId;
use crate::error::{Class, Context, Error, Result};

/// Names the default number of days to fill.
pub const BACKFILL_DAYS_VARIABLE: &str = "WEB_ANALYTICS_BACKFILL_DAYS";

/// Names the address of the ledger, over `url` and `url_file` of `[ledger]`.
pub const LEDGER_URL_VARIABLE: &str = "PREFILL_LEDGER_URL";

/// The warehouse of a configuration that names none.
pub const DEFAULT_WAREHOUSE: &str = "default";

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
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    backfill_days: u32,
    max_backfill_days: u32,
    service: Service,
    warehouse: toml::Table,
    source: Option<toml::Value>,
    warehouses: BTreeMap<String, toml::Table>,
    default_warehouse: Option<String>,
    ledger: Ledger,
    teams: Option<Teams>,
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
        })
    }
}

/// `source = "posthog"` is short for `source = { kind = "posthog" }`.
fn with_source_as_table(mut table: toml::Table) -> toml::Table {
    if let Some(source @ toml::Value::String(_)) = table.get_mut("source") {
        let kind = source.clone();
        *source = toml::Value::Table(toml::Table::from_iter([("kind".to_owned(), kind)]));
    }
    table
}

/// What is wrong and where, without what is written there: that may be a password, also under a
/// misspelt name, or where a quote is missing.
fn without_values(mut error: toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    // Without its input the error tells the path of the key instead of the line as it is written.
    error.set_input(None);
    let mut told = error.to_string();
    // invalid type: string "hunter2", expected u32
    let names_value = ["invalid type: ", "invalid value: "];
    if names_value.iter().any(|begin| told.starts_with(begin))
        && let Some(until) = told.rfind(", expected ")
        && let Some(from) = told[..until].find(['"', '`'])
    {
        told.replace_range(from - 1..until, "");
    }
    match line {
        Some(line) => format!("line {line}: {told}"),
        None => told,
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
            .hint(SEE_README)
    })
}

const SEE_README: &str = "see Configuration in README.md for the keys and their units";

/// How `prefill serve` and the other workers work.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Batches of slices filled at the same time, on each warehouse. Default 2.
    pub workers: u32,
    /// Tries of a slice before it is failed. Default 3.
    pub attempts: u32,
    /// The first wait after a failed try, in milliseconds; doubles with each, with jitter. Default 1000.
    pub backoff_ms: u64,
    /// How long a claim holds without a sign of life, in milliseconds. Default 10000.
    pub lease_ms: u64,
    /// How often all teams are looked at, signal or not, in milliseconds. Default 30000.
    pub reconcile_ms: u64,
    /// How often the source is asked for events that came late or today, in milliseconds. Default 30000.
    pub freshness_ms: u64,
    /// Teams of the same day claimed together, at most; filled in portions by their events. Default 1000.
    pub batch: u32,
}

/// Where the tables are, and what a statement may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warehouse {
    /// The teams whose warehouse this is. Default none: see [`Config::default_warehouse`].
    pub teams: Vec<i64>,
    /// The address of a server, such as `https://clickhouse.example:8443`. Default: the embedded engine.
    pub url: Option<String>,
    /// Who asks the server. Default `default`.
    pub user: String,
    /// Better in the environment (see [`Config::load`]) or in `password_file`.
    pub password: Option<Secret>,
    /// A file that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the certificate (and its chain) that is shown to the server.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    pub client_key_file: Option<PathBuf>,
    /// Of what is sent and answered. Default `lz4`.
    pub compression: Compression,
    /// How long making a connection may take, in milliseconds. Default 3000.
    pub connect_timeout_ms: u64,
    /// How long a server may give no sign of life before a statement is given up, in milliseconds.
    /// A statement that is at work has `max_execution_time`. Default 15000.
    pub silence_ms: u64,
    /// Settings of ClickHouse for every statement.
    pub settings: BTreeMap<String, toml::Value>,
    /// The database of both rollups. Default `default`.
    pub database: String,
    /// Batches of slices filled at the same time. Default: that of `[service]`.
    pub workers: Option<u32>,
    /// Threads of one statement. Default 2.
    pub max_threads: u32,
    /// Memory of one statement, in bytes. Default 4 GiB.
    pub max_memory_usage: u64,
    /// Time of one statement, in seconds. Default 600.
    pub max_execution_time: u64,
    /// The share of the time that statements of fills may be under way while others use the warehouse,
    /// above 0 and up to 1; at 1 they never wait. Default 0.1.
    pub budget: f64,
    pub source: Source,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Lz4,
    Zstd,
    None,
}

/// Text that is never printed.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to be sent and not to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Where teams, slices and runs are recorded. Without an address: SQLite in the data directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    /// `postgres://user:password@host:5432/database`, as libpq takes it: `?host=/directory` for a
    /// socket, `?sslmode=verify-full&sslrootcert=ca.pem`. Better in [`LEDGER_URL_VARIABLE`] or in
    /// `url_file`.
    pub url: Option<Secret>,
    /// A file that holds the address and nothing else.
    pub url_file: Option<PathBuf>,
    /// The schema of prefill's own tables. Default `prefill`.
    pub schema: String,
    /// Connections of one process, at most. Default 10.
    pub max_connections: u32,
    /// How long a database that does not answer is waited for, in milliseconds. Default 5000.
    pub connect_timeout_ms: u64,
    /// How often the ledger is asked for changes where LISTEN does not work, in milliseconds. Default 500.
    pub poll_ms: u64,
    /// Whether a pooler that hands connections out by the transaction is in between. Default: found out,
    /// and any pooler is taken for one; false says that it is not, so that LISTEN is tried.
    pub pooler: Option<bool>,
}

/// The table of the teams and its columns, in the ledger's Postgres.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teams {
    /// In the schema `public`, or as `schema.table`. Default `posthog_team`.
    pub table: String,
    /// Default `id`.
    pub id: String,
    /// Default `name`.
    pub name: String,
    /// Default `timezone`.
    pub timezone: String,
    /// Default `web_analytics_pre_aggregated_tables_enabled`.
    pub enabled: String,
    /// The column of a team's own number of days. Default: there is none.
    pub backfill_days: Option<String>,
    /// The column that names a team's warehouse. Default: there is none.
    pub warehouse: Option<String>,
    /// Default: by the foreign key of `organization_id`, where there is one.
    pub organization: Option<Organization>,
    /// Whether `prefill migrate` puts a trigger on the table; else it is asked. Default true.
    pub trigger: bool,
    /// How often the table is asked for changes where there is no trigger, in milliseconds. Default 5000.
    pub poll_ms: u64,
}

/// Where the name of a team's organization is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Organization {
    /// In the schema of the teams, or as `schema.table`. Default `posthog_organization`.
    pub table: String,
    /// The column of the teams that names the organization. Default `organization_id`.
    pub key: String,
    /// Default `id`.
    pub id: String,
    /// Default `name`.
    pub name: String,
}

/// Which tables hold the raw events, and what their columns are called there.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// The shape of the tables. Default `events`; `source = "posthog"` is short for it.
    pub kind: SourceKind,
    /// The table of events, in the warehouse's database or as `database.table`. Default `events`.
    pub table: String,
    /// The table of session states that PostHog keeps, named like `table`. Default `raw_sessions`.
    pub raw_sessions: String,
    /// The table in which PostHog says that an id is another person's by now, named like `table`.
    /// Default `person_distinct_id_overrides`.
    pub person_distinct_id_overrides: String,
    /// Contract name to the name in the table of events, for those that differ: from the contract's
    /// own, or from PostHog's.
    pub columns: BTreeMap<String, String>,
}

/// Whose schema the raw events have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The contract of DESIGN.md 4.1: one table with everything.
    #[default]
    Events,
    /// PostHog's: events with their properties as JSON and as `mat_` columns, session states, and
    /// persons by override.
    PostHog,
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
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            workers: 2,
            attempts: 3,
            backoff_ms: 1_000,
            lease_ms: 10_000,
            reconcile_ms: 30_000,
            freshness_ms: 30_000,
            batch: 1_000,
        }
    }
}

impl Default for Warehouse {
    fn default() -> Self {
        Self {
            teams: Vec::new(),
            url: None,
            user: "default".to_owned(),
            password: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            compression: Compression::Lz4,
            connect_timeout_ms: 3_000,
            silence_ms: 15_000,
            settings: BTreeMap::new(),
            database: "default".to_owned(),
            workers: None,
            max_threads: 2,
            max_memory_usage: 4 << 30,
            max_execution_time: 600,
            budget: 0.1,
            source: Source::default(),
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            schema: "prefill".to_owned(),
            max_connections: 10,
            connect_timeout_ms: 5_000,
            poll_ms: 500,
            pooler: None,
        }
    }
}

impl Default for Teams {
    fn default() -> Self {
        Self {
            table: "posthog_team".to_owned(),
            id: "id".to_owned(),
            name: "name".to_owned(),
            timezone: "timezone".to_owned(),
            enabled: "web_analytics_pre_aggregated_tables_enabled".to_owned(),
            backfill_days: None,
            warehouse: None,
            organization: None,
            trigger: true,
            poll_ms: 5_000,
        }
    }
}

impl Default for Organization {
    fn default() -> Self {
        Self {
            table: "posthog_organization".to_owned(),
            key: "organization_id".to_owned(),
            id: "id".to_owned(),
            name: "name".to_owned(),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self {
            kind: SourceKind::Events,
            table: "events".to_owned(),
            raw_sessions: "raw_sessions".to_owned(),
            person_distinct_id_overrides: "person_distinct_id_overrides".to_owned(),
            columns: BTreeMap::new(),
        }
    }
}

impl Service {
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub fn reconcile_every(&self) -> Duration {
        Duration::from_millis(self.reconcile_ms)
    }

    pub fn freshness_every(&self) -> Duration {
        Duration::from_millis(self.freshness_ms)
    }

    pub fn backoff(&self) -> Duration {
        Duration::from_millis(self.backoff_ms)
    }
}

impl Ledger {
    /// The address, from where it is written. Set to nothing, as compose files do, counts as not set.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when the file cannot be read.
    pub fn url(&self) -> Result<Option<Secret>> {
        let text = match (&self.url, &self.url_file) {
            (Some(url), _) => url.reveal().to_owned(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .classed(Class::Misuse, || {
                    format!("failed to read ledger.url_file {}", file.display())
                })
                .map_err(|error| error.hint("name a file that you can read"))?,
            (None, None) => String::new(),
        };
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned().into()))
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    fn check(&self) -> Result<()> {
        in_range(
            "ledger.max_connections",
            u64::from(self.max_connections),
            2,
            1_000,
        )?;
        in_range(
            "ledger.connect_timeout_ms",
            self.connect_timeout_ms,
            100,
            600_000,
        )?;
        in_range("ledger.poll_ms", self.poll_ms, 10, 600_000)?;
        // Names of triggers and locks are made of it, and no name is longer than 63.
        if self.schema.len() > 40 {
            return Err(is_no_name("ledger.schema", &self.schema));
        }
        check_name("ledger.schema", &self.schema)
    }
}

impl Teams {
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    fn check(&self) -> Result<()> {
        in_range("teams.poll_ms", self.poll_ms, 10, 86_400_000)?;
        let mut names = vec![
            ("teams.id", &self.id),
            ("teams.name", &self.name),
            ("teams.timezone", &self.timezone),
            ("teams.enabled", &self.enabled),
        ];
        names.extend(
            self.backfill_days
                .iter()
                .map(|name| ("teams.backfill_days", name)),
        );
        names.extend(self.warehouse.iter().map(|name| ("teams.warehouse", name)));
        check_table("teams.table", &self.table)?;
        if let Some(organization) = &self.organization {
            check_table("teams.organization.table", &organization.table)?;
            names.push(("teams.organization.key", &organization.key));
            names.push(("teams.organization.id", &organization.id));
            names.push(("teams.organization.name", &organization.name));
        }
        names
            .into_iter()
            .try_for_each(|(key, name)| check_name(key, name))
    }
}

/// A name that can stand in a statement: letters, digits and underscores, as Postgres has them.
fn check_name(key: &str, name: &str) -> Result<()> {
    let mut characters = name.chars();
    let begins = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if begins && name.len() <= 63 && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(is_no_name(key, name))
}

fn check_table(key: &str, table: &str) -> Result<()> {
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    check_name(key, schema)?;
    check_name(key, name)
}

fn is_no_name(key: &str, name: &str) -> Error {
    Error::misuse(format!("{key} = {name:?} is no name"))
        .hint("a name is made of letters, digits and underscores, and begins with no digit")
}

impl Warehouse {
    /// Takes address, user and password from the environment: `PREFILL_WAREHOUSE_EU_PASSWORD` for the
    /// warehouse `eu`, over what is written; `PREFILL_WAREHOUSE_PASSWORD` for each of which nothing is
    /// written, and for the one of a configuration that names none over what is written, too.
    fn read_environment(
        &mut self,
        name: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<()> {
        let own: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        // Set to nothing, as compose files do, counts as not set.
        let set = |name: String| variable(&name).filter(|text| !text.is_empty());
        let of_all = |what: &str| set(format!("PREFILL_WAREHOUSE_{what}"));
        let of_this = |what: &str| {
            let of_only = (name == DEFAULT_WAREHOUSE).then(|| of_all(what)).flatten();
            set(format!("PREFILL_WAREHOUSE_{own}_{what}")).or(of_only)
        };
        let written = std::mem::take(&mut self.url);
        self.url = of_this("URL").or(written).or_else(|| of_all("URL"));
        let user = (self.user != Self::default().user).then(|| self.user.clone());
        if let Some(user) = of_this("USER").or(user).or_else(|| of_all("USER")) {
            self.user = user;
        }
        if let Some(file) = &self.password_file {
            let text = std::fs::read_to_string(file).classed(Class::Misuse, || {
                format!("failed to read password_file {}", file.display())
            });
            let text = text.map_err(|error| error.hint("name a file that you can read"))?;
            self.password = Some(text.trim_end_matches(['\r', '\n']).to_owned().into());
        }
        let written = self.password.take();
        self.password = of_this("PASSWORD")
            .map(Secret::from)
            .or(written)
            .or_else(|| of_all("PASSWORD").map(Secret::from));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if let Some(text) = &self.url {
            check_url(text)?;
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return Err(
                Error::misuse("client_cert_file and client_key_file go together")
                    .hint("name the PEM files of both, or of neither"),
            );
        }
        if let Some((name, value)) = self
            .settings
            .iter()
            .find(|(_, value)| value.is_table() || value.is_array() || value.is_datetime())
        {
            let kind = value.type_str();
            return Err(Error::misuse(format!(
                "settings.{name} is of type {kind}, which no setting is"
            ))
            .hint("a setting of ClickHouse is a number, a text or true and false"));
        }
        in_range("connect_timeout_ms", self.connect_timeout_ms, 1, 600_000)?;
        in_range("silence_ms", self.silence_ms, 1_000, 3_600_000)?;
        if let Some(workers) = self.workers {
            in_range("workers", u64::from(workers), 1, 64)?;
        }
        in_range("max_threads", u64::from(self.max_threads), 1, 1024)?;
        in_range(
            "max_memory_usage",
            self.max_memory_usage,
            64 << 20,
            u64::MAX,
        )?;
        in_range("max_execution_time", self.max_execution_time, 1, 604_800)?;
        if self.budget > 0.0 && self.budget <= 1.0 {
            return Ok(());
        }
        Err(Error::misuse(format!(
            "budget = {} is out of range: above 0 and up to 1",
            self.budget
        ))
        .hint("it is the share of the time that fills may take while others use the warehouse: 0.1 is a tenth, and at 1 they never wait"))
    }
}

/// An address alone: who asks, and what, is said elsewhere, and passwords in addresses are printed.
fn check_url(text: &str) -> Result<()> {
    let hint = "write it as http://HOST:8123 or https://HOST:8443; user, password and database have keys of their own";
    let not_one = |why: &str| Err(Error::misuse(format!("url is {why}")).hint(hint));
    let Ok(url) = url::Url::parse(text) else {
        return not_one("no address");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return not_one("no address of ClickHouse's HTTP interface");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return not_one("an address with a user or a password in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return not_one("an address with parameters");
    }
    Ok(())
}

fn in_range(name: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::misuse(format!(
        "{name} = {value} is out of range: {least} to {most}"
    ))
    .hint(format!("correct it in the configuration; {SEE_README}")))
}

impl Config {
    /// Reads `file`, or `prefill.toml` in the data directory where no file is named, and then the
    /// environment.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] naming the key and the range that it has to be in.
    pub fn load(file: Option<&Path>, data_dir: &Path) -> Result<Self> {
        let usual = data_dir.join("prefill.toml");
        let path = match file {
            Some(file) => Some(file.to_path_buf()),
            None => usual.is_file().then_some(usual),
        };
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
                let written: Written = toml::from_str(&text).map_err(|error| {
                    Error::misuse(&not_valid)
                        .caused_by(without_values(error, &text))
                        .hint(SEE_README)
                })?;
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
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let service = &self.service;
        for (name, value, least, most) in [
            (
                "max_backfill_days",
                u64::from(self.max_backfill_days),
                1,
                36_500,
            ),
            ("service.workers", u64::from(service.workers), 1, 64),
            ("service.attempts", u64::from(service.attempts), 1, 100),
            ("service.backoff_ms", service.backoff_ms, 1, 3_600_000),
            ("service.lease_ms", service.lease_ms, 1_000, 3_600_000),
            (
                "service.reconcile_ms",
                service.reconcile_ms,
                100,
                86_400_000,
            ),
            (
                "service.freshness_ms",
                service.freshness_ms,
                100,
                86_400_000,
            ),
            ("service.batch", u64::from(service.batch), 1, 10_000),
        ] {
            in_range(name, value, least, most)?;
        }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_of_days_is_refused_by_name_and_never_clipped() {
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
    fn the_environment_of_all_warehouses_is_not_over_what_one_of_them_says() {
        let read = |name: &str, warehouse: &Warehouse, set: &[(&str, &str)]| {
            let mut read = warehouse.clone();
            let variable = |asked: &str| {
                let found = set.iter().find(|(name, _)| *name == asked);
                found.map(|(_, text)| (*text).to_owned())
            };
            read.read_environment(name, variable).expect("read");
            let password = read.password.as_ref().map(Secret::reveal);
            (
                read.url.clone().unwrap_or_default(),
                read.user.clone(),
                password.unwrap_or_default().to_owned(),
            )
        };
        let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let written = Warehouse {
            url: Some("http://eu".to_owned()),
            user: "eu".to_owned(),
            password: Some("of eu".to_owned().into()),
            ..Warehouse::default()
        };
        let all = [
            ("PREFILL_WAREHOUSE_URL", "http://all"),
            ("PREFILL_WAREHOUSE_USER", "all"),
            ("PREFILL_WAREHOUSE_PASSWORD", "of all"),
        ];
        let bare = Warehouse::default();
        assert_eq!(
            read("eu", &written, &all),
            three("http://eu", "eu", "of eu")
        );
        assert_eq!(
            read("us", &bare, &all),
            three("http://all", "all", "of all")
        );
        assert_eq!(
            read(DEFAULT_WAREHOUSE, &written, &all),
            three("http://all", "all", "of all")
        );
        let own = [("PREFILL_WAREHOUSE_EU_2_PASSWORD", "secret")];
        assert_eq!(
            read("eu-2", &written, &own),
            three("http://eu", "eu", "secret")
        );
        let empty = [("PREFILL_WAREHOUSE_PASSWORD", "")];
        assert_eq!(
            read(DEFAULT_WAREHOUSE, &written, &empty),
            three("http://eu", "eu", "of eu")
        );
    }

    #[test]
    fn a_source_is_a_kind_or_a_table_with_one_and_each_warehouse_may_say_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let read = |text: &str| {
            std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
            Config::load(None, dir.path()).expect("valid").warehouses
        };
        assert_eq!(read("")[DEFAULT_WAREHOUSE].source.kind, SourceKind::Events);
        for text in [
            "source = \"posthog\"",
            "[source]\nkind = \"posthog\"",
            "[warehouse]\nsource = \"posthog\"",
            "[warehouses.default]\nsource = \"posthog\"",
        ] {
            let source = &read(text)[DEFAULT_WAREHOUSE].source;
            assert_eq!(source.kind, SourceKind::PostHog, "{text}");
            assert_eq!(source.raw_sessions, "raw_sessions", "{text}");
        }
        let warehouses = read(
            r#"
            default_warehouse = "eu"
            [source]
            table = "web.events"
            [warehouses.eu]
            url = "http://eu:8123"
            source = "posthog"
            [warehouses.us]
            "#,
        );
        let (eu, us) = (&warehouses["eu"].source, &warehouses["us"].source);
        assert_eq!(
            (eu.kind, us.kind),
            (SourceKind::PostHog, SourceKind::Events)
        );
        assert_eq!((&*eu.table, &*us.table), ("web.events", "web.events"));
    }

    #[test]
    fn a_line_with_an_address_is_not_repeated_when_it_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("prefill.toml");
        for text in [
            "[ledger]\nurl = \"postgres://u:hunter2@host/db\nschema = \"prefill\"",
            "[ledger]\nurll = \"postgres://u:hunter2@host/db\"",
            "[ledger]\nurl = [\"postgres://u:hunter2@host/db\"]",
        ] {
            std::fs::write(&file, text).expect("written");
            let error = Config::load(None, dir.path()).expect_err(text);
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
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

    /// Configurations with `SECRET` where a secret is, right and wrong in many ways.
    const WITH_SECRETS: [&str; 16] = [
        "backfill_days = 3\n[warehouse]\nurl = \"http://a:8123\"\npassword = \"SECRET\"\n",
        "[warehouse]\npassword = 'SECRET'\nmax_threads = 0\n",
        "[warehouse]\npassword = \"\"\"\nabc\nSECRET\nmore\"\"\"\n[ledger]\npoll_ms = \"x\"\n",
        "warehouse = { user = \"u\", password = \"SECRET\", max_threads = 3 }\n",
        "[warehouse]\npasword = \"SECRET\"\n",
        "[warehouse]\npassword = [\n\"SECRET\",\n]\n",
        "[warehouse.password]\ntext = \"SECRET\"\n",
        "password = \"SECRET\"\n",
        "[warehouse.settings]\ntoken = \"SECRET\"\n[source]\ntable = 3\n",
        "[warehouse.settings]\ntoken = [\"SECRET\"]\n",
        "[warehouses.eu]\nurl = \"http://a\"\npassword = \"SECRET\"\n[warehouses.us]\n",
        "[warehouse]\nurl = \"http://u:SECRET@a:8123/?x=1\"\n",
        "[ledger]\nurl = \"postgres://u:SECRET@h/db\"\nschema = \"prefill\"\n",
        "[ledger]\nurl = '''\npostgres://u:SECRET@h/db\n'''\nmax_connections = 1\n",
        "[ledger]\nurl = [\"postgres://u:SECRET@h/db\"]\n",
        "ledger = \"SECRET\"\n",
    ];

    proptest! {
        #[test]
        fn no_error_tells_a_secret(
            text in prop::sample::select(WITH_SECRETS.to_vec()),
            // A number is a wrong type where a text is meant.
            secret in prop_oneof!["[A-Za-z0-9=+_-]{16,24}", "[1-9][0-9]{15}"],
            bare: bool,
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0_usize..3, "[\"'=\\[\\]{}#\\\\\\n,.a0 ]{0,2}"), 0..3),
        ) {
            let mut text = text.to_owned();
            for (at, removed, part) in edits {
                let from = at.index(text.len());
                text.replace_range(from..(from + removed).min(text.len()), &part);
            }
            if bare {
                text = text.replace("\"SECRET\"", "SECRET");
            }
            let text = text.replace("SECRET", &secret);
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join("prefill.toml"), &text).expect("written");
            let told = match Config::load(None, dir.path()) {
                Ok(config) => config.warehouses.values().map(|w| format!("{:?}", w.password)).collect(),
                Err(error) => format!("{} {error:?} {:?}", error.chain(), error.next_step()),
            };
            for piece in secret.as_bytes().windows(8) {
                let piece = std::str::from_utf8(piece).expect("ASCII");
                prop_assert!(!told.contains(piece), "{text}\n---\n{told}");
            }
        }

        #[test]
        fn no_text_makes_it_panic(
            text in prop_oneof![
                any::<String>(),
                "(\\[{1,2}(warehouse|warehouses\\.eu|ledger|source|teams|service|a)\\]{1,2}\\n|(url|teams|settings|kind|user|workers|backfill_days|poll_ms) = (\"\\PC{0,5}\"|-?[0-9]{1,20}|[0-9]e9|nan|inf|\\[\\]|\\{\\}|true|1979-05-27)\\n){0,6}",
            ],
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join("prefill.toml"), &text).expect("written");
            match Config::load(None, dir.path()) {
                Ok(config) => prop_assert!(config.check().is_ok()),
                Err(error) => {
                    prop_assert_eq!(error.class(), Class::Misuse);
                    prop_assert!(error.next_step().is_some(), "{}", error.chain());
                }
            }
        }
    }
}
