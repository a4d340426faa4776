//! `[warehouse]` and `[warehouses.NAME]`: a ClickHouse, how it is reached, and what a statement may use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::check::in_range;
use super::secret::Secret;
use super::source::{Source, SourceKind};
use super::variables::of_warehouse;
use crate::error::{Class, Context, Error, Result};

/// The warehouse of a configuration that names none.
pub const DEFAULT_WAREHOUSE: &str = "default";

/// ClickHouse's settings that are prefill's own to set: the limits have keys of their own, and without the
/// others a fill would not be found, or its rows would not be there when it was told so.
const OWN_SETTINGS: [&str; 8] = [
    "max_threads",
    "max_memory_usage",
    "max_execution_time",
    "log_comment",
    "query_id",
    "wait_end_of_query",
    "async_insert",
    "insert_deduplicate",
];

/// Where the tables are, and what a statement may use: what all warehouses share.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Warehouse {
    /// The teams whose warehouse this is, where there are several. Other teams belong to the one that the
    /// teams table names, else to `default_warehouse`.
    /// Example: `[7, 8]`.
    pub teams: Vec<i64>,
    /// The address of a server. Not set: the embedded engine. Or `PREFILL_WAREHOUSE_URL`.
    /// Example: `"https://clickhouse.example:8443"`.
    pub url: Option<String>,
    /// Who asks the server. Or `PREFILL_WAREHOUSE_USER`.
    pub user: String,
    /// The password of `user`. Better in `PREFILL_WAREHOUSE_PASSWORD` or in `password_file`.
    /// Example: `"a secret"`.
    #[serde(skip_serializing)]
    pub password: Option<Secret>,
    /// A file that holds the password and nothing else; over `password`.
    /// Example: `"/run/secrets/prefill-clickhouse"`.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted instead of the system's.
    /// Example: `"/etc/prefill/ca.pem"`.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the certificate (and its chain) that is shown to the server.
    /// Example: `"/etc/prefill/client.pem"`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    /// Example: `"/etc/prefill/client.key"`.
    pub client_key_file: Option<PathBuf>,
    /// Of what is sent and answered: `lz4`, `zstd` or `none`.
    pub compression: Compression,
    /// How long making a connection may take, in milliseconds. Range: 1 to 600000.
    pub connect_timeout_ms: u64,
    /// How long a server may give no sign of life before a statement is given up, in milliseconds.
    /// A statement that is at work has `max_execution_time`. Range: 1000 to 3600000.
    pub silence_ms: u64,
    /// Settings of ClickHouse for every statement, over what prefill would set: numbers, texts, true and
    /// false. The limits below have keys of their own.
    /// Example: `{ max_insert_threads = 1 }`.
    pub settings: BTreeMap<String, toml::Value>,
    /// The database of both rollups.
    pub database: String,
    /// Batches of slices filled at the same time. Not set: that of `[service]`. Range: 1 to 64.
    /// Example: `4`.
    pub workers: Option<u32>,
    /// Threads of one statement. Range: 1 to 1024.
    pub max_threads: u32,
    /// Memory of one statement, in bytes. It groups and sorts on disk once it takes half of that; on any
    /// source but PostHog's from 536870912 on (an eighth, where that is more). Range: 67108864 and more.
    pub max_memory_usage: u64,
    /// Memory of all statements of this process together that fill, or verify what was filled, in bytes:
    /// who would go beyond it waits. Not set: each has its own limit only. Range: max_memory_usage and more.
    /// Example: `8589934592`.
    pub max_memory_usage_total: Option<u64>,
    /// Time of one statement, in seconds. Range: 1 to 604800.
    pub max_execution_time: u64,
    /// The share of the time that statements of fills may be under way while others use the warehouse; at
    /// 1 they never wait. Range: above 0 and up to 1.
    pub budget: f64,
    /// As `[source]`, over it.
    pub source: Source,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Lz4,
    Zstd,
    None,
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
            max_memory_usage_total: None,
            max_execution_time: 600,
            budget: 0.1,
            source: Source::default(),
        }
    }
}

/// More memory than this makes grouping no quicker, measured with ten million events.
const ENOUGH_TO_GROUP: u64 = 512 << 20;

impl Warehouse {
    /// From how many bytes on a statement groups and sorts on disk, where `settings` does not say.
    pub(crate) fn to_disk(&self) -> u64 {
        let most = self.max_memory_usage;
        match self.source.kind {
            SourceKind::Events => (most / 2).min(ENOUGH_TO_GROUP.max(most / 8)),
            // The tables that are joined count as well, and from there on each block goes to disk by
            // itself: three times the CPU.
            SourceKind::PostHog => most / 2,
        }
    }

    /// Takes address, user and password from the environment: `PREFILL_WAREHOUSE_EU_PASSWORD` for the
    /// warehouse `eu`, over what is written; `PREFILL_WAREHOUSE_PASSWORD` for each of which nothing is
    /// written, and for the one of a configuration that names none over what is written, too.
    pub(super) fn read_environment(
        &mut self,
        name: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<()> {
        // Set to nothing, as compose files do, counts as not set.
        let set = |name: String| variable(&name).filter(|text| !text.is_empty());
        let of_all = |what: &str| set(format!("PREFILL_WAREHOUSE_{what}"));
        let of_this = |what: &str| {
            let of_only = (name == DEFAULT_WAREHOUSE).then(|| of_all(what)).flatten();
            set(of_warehouse(name, what)).or(of_only)
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

    pub(super) fn check(&self) -> Result<()> {
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
        if let Some(name) = OWN_SETTINGS
            .iter()
            .find(|name| self.settings.contains_key(**name))
        {
            return Err(
                Error::misuse(format!("settings.{name} is prefill's own to set")).hint(
                    if name.starts_with("max_") {
                        format!("make {name} a key of the warehouse itself, one level up")
                    } else {
                        "leave it out".to_owned()
                    },
                ),
            );
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
        if let Some(total) = self.max_memory_usage_total
            && total < self.max_memory_usage
        {
            return Err(Error::misuse(format!(
                "max_memory_usage_total = {total} is less than max_memory_usage = {}, that of one statement: none could begin",
                self.max_memory_usage
            ))
            .hint("raise the first, or lower the second"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
