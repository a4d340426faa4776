//! Where the raw events are, and what a statement has to say to read a column of them.
//!
//! A statement of ours speaks of the columns of the `events` contract. On a table of that contract
//! each is a column, perhaps of another name. On PostHog's tables many are properties of the event:
//! read from the column that PostHog made of the property where there is one on this installation
//! (told by its comment, or by its usual name), else from the JSON that all properties lie in. That
//! is decided from the columns that the table has when the warehouse is opened, and again when they are
//! looked at again; a column that the configuration names is not guessed at, and has to be there.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::{self, SourceKind};
use crate::error::{Error, Result};
use crate::warehouse::name::Name;

use super::Required;

/// The columns of the `events` contract that prefill reads.
const READ_COLUMNS: &[&str] = &[
    "uuid",
    "event",
    "team_id",
    "person_id",
    "session_id",
    "timestamp",
    "inserted_at",
    "host",
    "pathname",
    "device_type",
    "browser",
    "os",
    "viewport_width",
    "viewport_height",
    "referring_domain",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "gclid",
    "gad_source",
    "fbclid",
    "country_code",
    "city_name",
    "region_code",
    "region_name",
];

/// The columns of the contract that only importers write.
const WRITTEN_COLUMNS: &[&str] = &["distinct_id", "current_url"];

/// The columns of the contract that are columns of PostHog's own in its table of events.
const POSTHOG_COLUMNS: &[&str] = &[
    "uuid",
    "event",
    "team_id",
    "distinct_id",
    "person_id",
    "timestamp",
];

/// The columns of the contract that are properties of PostHog's events.
const POSTHOG_PROPERTIES: &[(&str, &str)] = &[
    ("session_id", "$session_id"),
    ("host", "$host"),
    ("pathname", "$pathname"),
    ("device_type", "$device_type"),
    ("browser", "$browser"),
    ("os", "$os"),
    ("viewport_width", "$viewport_width"),
    ("viewport_height", "$viewport_height"),
    ("referring_domain", "$referring_domain"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("utm_term", "utm_term"),
    ("utm_content", "utm_content"),
    ("gclid", "gclid"),
    ("gad_source", "gad_source"),
    ("fbclid", "fbclid"),
    ("country_code", "$geoip_country_code"),
    ("city_name", "$geoip_city_name"),
    ("region_code", "$geoip_subdivision_1_code"),
    ("region_name", "$geoip_subdivision_1_name"),
];

/// What PostHog writes on a column that it made of a property.
const MATERIALIZED: &str = "column_materializer::";
/// The column that holds all properties, unless the configuration names another.
const PROPERTIES: &str = "properties";
/// Beside the columns of the contract: which session an event is of, as a number.
const SESSION_HASH: &str = "session_hash";
/// Beside the columns of the contract: what asks whether an event's session is among some, before their hashes.
const SESSION_HASH_IN: &str = "session_hash_in";
/// When Kafka had the event: what is known of rows from before PostHog had `inserted_at`.
const KAFKA_TIME: &str = "_timestamp";

/// The columns of PostHog's `raw_sessions` that are read.
const RAW_SESSIONS_COLUMNS: &[(&str, Option<&str>)] = &[
    ("team_id", None),
    ("session_id_v7", Some("UInt128")),
    ("entry_url", None),
    ("end_url", None),
    ("initial_referring_domain", None),
    ("initial_utm_source", None),
    ("initial_utm_medium", None),
    ("initial_utm_campaign", None),
    ("initial_utm_term", None),
    ("initial_utm_content", None),
    ("initial_gclid", None),
    ("initial_gad_source", None),
    ("initial_fbclid", None),
    ("initial_geoip_subdivision_1_name", None),
];

/// The columns of PostHog's `person_distinct_id_overrides` that are read.
const OVERRIDES_COLUMNS: &[(&str, Option<&str>)] = &[
    ("team_id", None),
    ("distinct_id", None),
    ("person_id", Some("UUID")),
    ("is_deleted", None),
    ("version", None),
    (KAFKA_TIME, None),
];

/// A column of a table that is there.
#[derive(Clone, Debug, Default, clickhouse::Row, serde::Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub comment: String,
    pub default_expression: String,
}

/// How a table lies on disk, in ClickHouse's words.
#[derive(Clone, Debug, Default, clickhouse::Row, serde::Deserialize)]
pub struct Layout {
    pub partition_key: String,
    pub sorting_key: String,
    /// Whether PostHog's `raw_sessions` says when a session began and ended.
    #[serde(skip)]
    pub sessions_have_ends: bool,
}

/// The columns of PostHog's `raw_sessions` that say when a session began and ended, as far as its states go.
pub const ENDS: [&str; 2] = ["min_timestamp", "max_timestamp"];

impl Layout {
    /// Whether the dates of the instants in a column, which is of the type `kind`, are in the key, and the instants
    /// behind them: then ClickHouse looks for instants in those alone, which tell no day from another. And whether
    /// each month lies by itself. Where it does not, a statement must not speak of dates: ClickHouse takes `toDate`
    /// to be monotonic, and passes over what lies beside an instant before 1970 or after June 2149, whose date is
    /// another.
    fn tells_days(&self, name: &Name, kind: &str) -> bool {
        let column = name.parts().1;
        let has = |key: &str, part: &str| {
            let key = key.replace('`', "");
            key.split(", ").any(|of_key| of_key == part)
        };
        // The date of an instant is that of the column's zone.
        kind.contains("'UTC'")
            && has(&self.sorting_key, &format!("toDate({column})"))
            && has(&self.sorting_key, column)
            && ["toYYYYMM", "toYYYYMMDD"]
                .iter()
                .any(|by| has(&self.partition_key, &format!("{by}({column})")))
    }
}

/// How the raw events of one warehouse are read, and PostHog's tables beside them. Clones share what is known of
/// the columns, so that all know when it changes.
#[derive(Clone, Debug)]
pub struct Source {
    pub kind: SourceKind,
    pub raw_sessions: Name,
    pub overrides: Name,
    /// What the configuration names.
    mapped: BTreeMap<String, Name>,
    reading: Arc<RwLock<Arc<Reading>>>,
}

/// What a statement says to read the raw events, their table having the columns that it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Contract name to the name of a column, where it is one.
    pub(super) columns: BTreeMap<&'static str, Name>,
    /// Contract name to what reads it.
    pub(super) expressions: BTreeMap<&'static str, String>,
    /// Contract names of what is read from the JSON of all properties.
    parsed: Vec<&'static str>,
    /// Whether ClickHouse finds a day in the table's key by dates alone.
    pub(super) has_days_in_key: bool,
    /// As of [`Layout`].
    pub(super) sessions_have_ends: bool,
}

impl Reading {
    /// Whether a statement reads the JSON of all properties of an event to know more of it than its session.
    pub(super) fn parses(&self, statement: &str) -> bool {
        let parsed = self.parsed.iter();
        let mut parsed = parsed.filter(|column| **column != "session_id");
        parsed.any(|column| statement.contains(&format!("{{{column}}}")))
    }

    /// Which session an event is of is told by this hash.
    fn hash_sessions(&mut self, hash: String) {
        self.expressions
            .insert(SESSION_HASH_IN, format!("{hash} in"));
        self.expressions.insert(SESSION_HASH, hash);
    }

    /// As [`Reading::hash_sessions`], of a column of JSON text: the same text has the same hash, and what is no
    /// text has one, too. Of a text that is not as it stands there only whoever reads it knows the session:
    /// ClickHouse parses each event where two conditions of a statement have it in common, and not only those
    /// few.
    fn hash_json_sessions(&mut self, name: &Name, kind: &str) {
        let (stored, decoded) = (stored(name, kind), decoded(name, kind));
        let is_escaped = format!("position({stored}, '\\\\') > 0");
        self.expressions.insert(
            SESSION_HASH_IN,
            format!("{is_escaped} or {} in", hashed(&stored)),
        );
        let text = format!("if({is_escaped}, {decoded}, {stored})");
        self.expressions.insert(SESSION_HASH, hashed(&text));
    }
}

impl Source {
    pub(super) fn new(config: &config::Warehouse) -> Result<Self> {
        let (database, source) = (&config.database, &config.source);
        let posthog = source.kind == SourceKind::PostHog;
        let mut known: Vec<&str> = contract().collect();
        if posthog {
            known.push(PROPERTIES);
        }
        if let Some(unknown) = source
            .columns
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(Error::misuse(format!(
                "[source.columns] names {unknown:?}, which is no column of the events contract"
            ))
            .hint(format!("its columns are {}", known.join(", "))));
        }
        let mapped = source
            .columns
            .iter()
            .map(|(column, theirs)| Ok((column.clone(), Name::new(theirs)?)))
            .collect::<Result<_>>()?;
        let source = Self {
            kind: source.kind,
            raw_sessions: Name::table(database, &source.raw_sessions)?,
            overrides: Name::table(database, &source.person_distinct_id_overrides)?,
            mapped,
            reading: Arc::default(),
        };
        source.look_at(&[], &Layout::default())?;
        Ok(source)
    }

    pub(super) fn reading(&self) -> Arc<Reading> {
        let reading = self.reading.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&reading)
    }

    /// Decides how each column is read, the table of events having `there` and lying so; whether that is another way than
    /// before.
    pub(super) fn look_at(&self, there: &[Column], layout: &Layout) -> Result<bool> {
        let new = match self.kind {
            SourceKind::Events => self.look_at_events(there, layout)?,
            SourceKind::PostHog => self.look_at_posthog(there, layout)?,
        };
        let mut reading = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = **reading != new;
        *reading = Arc::new(new);
        Ok(is_other)
    }

    fn look_at_events(&self, there: &[Column], layout: &Layout) -> Result<Reading> {
        let mut reading = Reading::default();
        for column in contract() {
            let name = self.column(column)?;
            if column == "session_id" {
                reading.hash_sessions(hashed(&format!("e.{name}")));
            }
            if column == "timestamp" {
                reading.has_days_in_key = layout.tells_days(&name, kind(&name, there));
            }
            let read = read(column, &name, kind(&name, there));
            reading.expressions.insert(column, read);
            reading.columns.insert(column, name);
        }
        Ok(reading)
    }

    fn look_at_posthog(&self, there: &[Column], layout: &Layout) -> Result<Reading> {
        let mut reading = Reading {
            sessions_have_ends: layout.sessions_have_ends,
            ..Reading::default()
        };
        for column in POSTHOG_COLUMNS {
            let name = self.column(column)?;
            if *column == "timestamp" {
                reading.has_days_in_key = layout.tells_days(&name, kind(&name, there));
            }
            let read = read(column, &name, kind(&name, there));
            reading.expressions.insert(column, read);
            reading.columns.insert(column, name);
        }
        let arrival = self.arrival(there, &mut reading)?;
        reading.expressions.insert("inserted_at", arrival);
        let mut from_json = Vec::new();
        for &(column, property) in POSTHOG_PROPERTIES {
            let materialized = self.materialized(column, property, there)?;
            match materialized {
                Some((name, is_json)) => {
                    let kind = kind(&name, there);
                    let text = if is_json {
                        json_text(&name, kind)
                    } else {
                        text(&name, kind)
                    };
                    reading.expressions.insert(column, typed(column, &text));
                    if column == "session_id" && is_json {
                        reading.hash_json_sessions(&name, kind);
                    }
                    reading.columns.insert(column, name);
                }
                None => from_json.push((column, property)),
            }
        }
        reading.parsed = from_json.iter().map(|(column, _)| *column).collect();
        if !from_json.is_empty() {
            let properties = self.column(PROPERTIES)?;
            let wanted: Vec<String> = from_json
                .iter()
                .map(|(_, property)| format!("`{property}` String"))
                .collect();
            // The same words for each column, so that the JSON is parsed once an event, not once a
            // column.
            let parsed = format!(
                "JSONExtract(e.{properties}, 'Tuple({})')",
                wanted.join(", ")
            );
            for (column, property) in from_json {
                let value = format!("tupleElement({parsed}, '{property}')");
                reading.expressions.insert(column, typed(column, &value));
            }
            reading.columns.insert(PROPERTIES, properties);
        }
        if !reading.expressions.contains_key(SESSION_HASH) {
            reading.hash_sessions(hashed(&reading.expressions["session_id"]));
        }
        Ok(reading)
    }

    /// The name of a column in the table of events.
    fn column(&self, column: &str) -> Result<Name> {
        match self.mapped.get(column) {
            Some(name) => Ok(name.clone()),
            None => Name::new(column),
        }
    }

    /// The column that PostHog made of a property, and whether it holds JSON text.
    fn materialized(
        &self,
        column: &str,
        property: &str,
        there: &[Column],
    ) -> Result<Option<(Name, bool)>> {
        let is_json = |column: &Column| {
            column.comment.starts_with(MATERIALIZED)
                || column.default_expression.contains("JSONExtractRaw")
        };
        if let Some(name) = self.mapped.get(column) {
            let found = there.iter().find(|found| found.name == name.parts().1);
            return Ok(Some((name.clone(), found.is_some_and(is_json))));
        }
        let usual = match column {
            "session_id" => property.to_owned(),
            _ => format!("mat_{property}"),
        };
        let made_of_it = |found: &&Column| {
            let of = found.comment.strip_prefix(MATERIALIZED);
            of.is_some_and(|of| of.strip_prefix("properties::").unwrap_or(of) == property)
        };
        let has_its_name = |found: &&Column| {
            // PostHog drops a column that it marked `…::disabled`.
            found.name == usual && !found.comment.starts_with(MATERIALIZED)
        };
        there
            .iter()
            .find(|found| found.name == usual && made_of_it(found))
            .or_else(|| there.iter().find(made_of_it))
            .or_else(|| there.iter().find(has_its_name))
            .map(|found| Ok((Name::new(&found.name)?, is_json(found))))
            .transpose()
    }

    /// When an event reached the warehouse: `inserted_at`, which is null in rows from before PostHog
    /// had it, and else when Kafka had it. PostHog has an index of just these words; ClickHouse 26.7
    /// takes a bare `coalesce` apart before it looks for one, and leaves it alone in `toTimeZone`.
    fn arrival(&self, there: &[Column], reading: &mut Reading) -> Result<String> {
        let has = |name: &str| there.iter().any(|column| column.name == name);
        let own = self.column("inserted_at")?;
        let kafka = Name::new(KAFKA_TIME)?;
        Ok(match (has(own.parts().1), has(KAFKA_TIME)) {
            (true, true) => {
                reading.columns.insert("inserted_at", own.clone());
                format!("toTimeZone(coalesce(e.{own}, e.{kafka}), 'UTC')")
            }
            (false, true) if !self.mapped.contains_key("inserted_at") => format!("e.{kafka}"),
            _ => {
                reading.columns.insert("inserted_at", own.clone());
                format!("ifNull(e.{own}, toDateTime64(0, 6, 'UTC'))")
            }
        })
    }

    /// The source's tables, with the columns that each has to have.
    pub(super) fn required<'a>(&'a self, events: &'a Name) -> Vec<(&'a Name, Vec<Required>)> {
        let fixed = |columns: &[(&str, Option<&'static str>)]| {
            let column = |(name, kind): &(&str, Option<&'static str>)| ((*name).to_owned(), *kind);
            columns.iter().map(column).collect()
        };
        let written_only =
            |column: &str| self.kind == SourceKind::Events && WRITTEN_COLUMNS.contains(&column);
        let of_events = self
            .reading()
            .columns
            .iter()
            .filter(|(column, _)| !written_only(column))
            .map(|(_, name)| (name.parts().1.to_owned(), None))
            .collect();
        let mut required = vec![(events, of_events)];
        if self.kind == SourceKind::PostHog {
            required.push((&self.raw_sessions, fixed(RAW_SESSIONS_COLUMNS)));
            required.push((&self.overrides, fixed(OVERRIDES_COLUMNS)));
        }
        required
    }
}

fn contract() -> impl Iterator<Item = &'static str> {
    READ_COLUMNS.iter().chain(WRITTEN_COLUMNS).copied()
}

/// The type of a column; nothing where it is not known. What is of the very type that is wanted is read
/// without a word more, because a statement's words are what most of a small day's time goes to.
fn kind<'a>(name: &Name, there: &'a [Column]) -> &'a str {
    let found = there.iter().find(|column| column.name == name.parts().1);
    found.map_or("", |column| &column.kind)
}

/// A column of the contract as it is read from the column `name`. Qualified, so that an alias of the same
/// name does not hide that.
fn read(column: &str, name: &Name, kind: &str) -> String {
    match column {
        "viewport_width" | "viewport_height" if kind != "Int64" => {
            format!("toInt64(ifNull(e.{name}, 0))")
        }
        "viewport_width" | "viewport_height" => format!("e.{name}"),
        "event" => text(name, kind),
        _ if POSTHOG_PROPERTIES.iter().any(|(text, _)| *text == column) => text(name, kind),
        _ => format!("e.{name}"),
    }
}

/// The text in a column.
fn text(name: &Name, kind: &str) -> String {
    match kind {
        "String" | "LowCardinality(String)" => format!("e.{name}"),
        _ => format!("ifNull(toString(e.{name}), '')"),
    }
}

/// The text in a column of JSON text without its outer quotes: there a quote is `\"`, and no value may be
/// the word `null`. Nearly every text stands for itself and has one look.
fn json_text(name: &Name, kind: &str) -> String {
    let (stored, decoded) = (stored(name, kind), decoded(name, kind));
    let is_none = match kind {
        "String" => format!("{stored} = 'null'"),
        _ => format!("isNull(e.{name}) or {stored} = 'null'"),
    };
    format!(
        "if({is_none} or position({stored}, '\\\\') > 0, if({is_none}, '', {decoded}), {stored})"
    )
}

fn hashed(text: &str) -> String {
    format!("cityHash64({text})")
}

/// What lies in a column; anything where that is null.
fn stored(name: &Name, kind: &str) -> String {
    match kind {
        "String" => format!("e.{name}"),
        "Nullable(String)" => format!("assumeNotNull(e.{name})"),
        _ => format!("assumeNotNull(toString(e.{name}))"),
    }
}

/// The text that JSON text without its outer quotes stands for.
fn decoded(name: &Name, kind: &str) -> String {
    format!(
        "JSONExtractString(concat('\"', {}, '\"'))",
        stored(name, kind)
    )
}

/// The value of a column of the contract whose text is `text`: what is no whole number is 0.
fn typed(column: &str, text: &str) -> String {
    match column {
        "viewport_width" | "viewport_height" => format!("toInt64OrZero({text})"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Warehouse;

    fn posthog(change: impl FnOnce(&mut config::Source)) -> Source {
        let mut config = Warehouse::default();
        config.source.kind = SourceKind::PostHog;
        change(&mut config.source);
        Source::new(&config).expect("a source")
    }

    fn column(name: &str, comment: &str) -> Column {
        Column {
            name: name.to_owned(),
            comment: comment.to_owned(),
            ..Column::default()
        }
    }

    #[test]
    fn a_property_is_read_from_its_column_by_comment_then_by_name_and_else_from_the_json() {
        let source = posthog(|_| {});
        let there = [
            column("inserted_at", ""),
            column("_timestamp", ""),
            column("mat_$host", ""),
            column("mat_$os", "column_materializer::properties::$os::disabled"),
            column("mat_browser_x7", "column_materializer::$browser"),
            column("mat_$pathname", "column_materializer::$pathname"),
            column("mat_old_pathname", "column_materializer::$pathname"),
        ];
        source.look_at(&there, &Layout::default()).expect("looked");
        let reading = source.reading();
        let read = |column: &str| reading.expressions[column].as_str();
        assert_eq!(read("host"), "ifNull(toString(e.`mat_$host`), '')");
        assert!(read("browser").contains("e.`mat_browser_x7`"));
        assert!(read("browser").contains("JSONExtractString"));
        assert!(read("pathname").contains("e.`mat_$pathname`"));
        assert!(read("os").starts_with("tupleElement(JSONExtract(e.`properties`"));
        assert!(read("os").ends_with("'$os')"));
        assert!(read("viewport_width").starts_with("toInt64OrZero("));
        assert_eq!(
            read("inserted_at"),
            "toTimeZone(coalesce(e.`inserted_at`, e.`_timestamp`), 'UTC')"
        );
        let events = Name::new("events").expect("a name");
        let (_, required) = &source.required(&events)[0];
        for name in ["properties", "mat_$host", "inserted_at"] {
            assert!(
                required.iter().any(|(column, _)| column == name),
                "{required:?}"
            );
        }
    }

    #[test]
    fn a_column_of_the_very_type_is_read_as_it_is_and_any_other_is_made_of_it() {
        let of_kind = |name: &str, kind: &str, comment: &str| Column {
            kind: kind.to_owned(),
            ..column(name, comment)
        };
        let source = Source::new(&Warehouse::default()).expect("a source");
        assert_eq!(
            source.reading().expressions["host"],
            "ifNull(toString(e.`host`), '')",
            "nothing is known of it yet"
        );
        let there = [
            of_kind("event", "LowCardinality(String)", ""),
            of_kind("session_id", "UUID", ""),
            of_kind("host", "String", ""),
            of_kind("os", "Nullable(String)", ""),
            of_kind("viewport_width", "Int64", ""),
            of_kind("viewport_height", "Nullable(UInt16)", ""),
        ];
        source.look_at(&there, &Layout::default()).expect("looked");
        for (column, read) in [
            ("event", "e.`event`"),
            ("session_id", "ifNull(toString(e.`session_id`), '')"),
            ("session_hash", "cityHash64(e.`session_id`)"),
            ("host", "e.`host`"),
            ("os", "ifNull(toString(e.`os`), '')"),
            ("viewport_width", "e.`viewport_width`"),
            ("viewport_height", "toInt64(ifNull(e.`viewport_height`, 0))"),
            ("person_id", "e.`person_id`"),
        ] {
            assert_eq!(source.reading().expressions[column], read, "{column}");
        }

        let source = posthog(|_| {});
        let there = [
            of_kind("$session_id", "String", "column_materializer::$session_id"),
            of_kind(
                "mat_$host",
                "Nullable(String)",
                "column_materializer::$host",
            ),
            of_kind("mat_$os", "String", ""),
        ];
        source.look_at(&there, &Layout::default()).expect("looked");
        let is_none = "isNull(e.`mat_$host`) or assumeNotNull(e.`mat_$host`) = 'null'";
        assert!(
            source.reading().expressions["host"].starts_with(&format!("if({is_none} or position("))
        );
        assert!(
            source.reading().expressions["session_id"]
                .starts_with("if(e.`$session_id` = 'null' or")
        );
        assert_eq!(
            source.reading().expressions["session_hash_in"],
            "position(e.`$session_id`, '\\\\') > 0 or cityHash64(e.`$session_id`) in",
            "to parse it here would be to parse that of each event"
        );
        assert_eq!(source.reading().expressions["os"], "e.`mat_$os`");
    }

    #[test]
    fn a_column_that_the_configuration_names_has_to_be_there() {
        let source = posthog(|source| {
            for (column, theirs) in [("host", "site"), ("properties", "json")] {
                source.columns.insert(column.to_owned(), theirs.to_owned());
            }
        });
        source
            .look_at(
                &[column("mat_$host", ""), column("_timestamp", "")],
                &Layout::default(),
            )
            .expect("looked");
        assert_eq!(
            source.reading().expressions["host"],
            "ifNull(toString(e.`site`), '')"
        );
        assert!(source.reading().expressions["os"].contains("e.`json`"));
        assert_eq!(
            source.reading().expressions["inserted_at"],
            "e.`_timestamp`"
        );
        let events = Name::new("events").expect("a name");
        let (_, required) = &source.required(&events)[0];
        assert!(required.iter().any(|(column, _)| column == "site"));
        assert!(!required.iter().any(|(column, _)| column == "inserted_at"));
    }

    #[test]
    fn the_contract_is_told_apart_from_what_is_none_of_its_columns() {
        let mut config = Warehouse::default();
        config
            .source
            .columns
            .insert("properties".to_owned(), "json".to_owned());
        let refused = Source::new(&config).expect_err("no column of the contract");
        assert!(refused.to_string().contains("properties"), "{refused}");
        config.source.kind = SourceKind::PostHog;
        Source::new(&config).expect("PostHog has that one");
    }

    #[test]
    fn days_are_told_by_dates_only_where_the_key_has_them_and_months_lie_apart() {
        let name = Name::new("timestamp").expect("a name");
        let tells = |partition_key: &str, sorting_key: &str, kind: &str| {
            let layout = Layout {
                partition_key: partition_key.to_owned(),
                sorting_key: sorting_key.to_owned(),
                ..Layout::default()
            };
            layout.tells_days(&name, kind)
        };
        let (utc, by_month) = ("DateTime64(6, 'UTC')", "toYYYYMM(timestamp)");
        let ours = "team_id, toDate(timestamp), session_id, timestamp";
        assert!(tells(by_month, ours, utc));
        assert!(tells("toYYYYMMDD(timestamp)", ours, "DateTime('UTC')"));
        assert!(!tells(by_month, ours, "DateTime64(6, 'Asia/Tokyo')"));
        assert!(!tells(by_month, ours, "DateTime"), "of the server's zone");
        assert!(!tells("", ours, utc));
        assert!(!tells("toYear(timestamp)", ours, utc));
        for other in [
            "team_id, timestamp",
            "team_id, toDate(timestamp), event",
            "team_id, toDate(created_at), timestamp",
            // A table that only speaks of others.
            "",
        ] {
            assert!(!tells(by_month, other, utc), "{other}");
        }
    }
}
