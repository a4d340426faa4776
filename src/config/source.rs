//! `[source]`: which tables hold the raw events, and what their columns are called there.

use std::collections::BTreeMap;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

/// Which tables hold the raw events, and what their columns are called there. `source = "posthog"`, above
/// all sections, is short for this section with that kind.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// The shape of the tables: `events`, one with everything, or `posthog`, as PostHog has them.
    pub kind: SourceKind,
    /// The table of events, in the warehouse's database or as `database.table`.
    pub table: String,
    /// The table of session states that PostHog keeps, named like `table`.
    pub raw_sessions: String,
    /// The table in which PostHog says that an id is another person's by now, named like `table`.
    pub person_distinct_id_overrides: String,
    /// Contract name to the name in the table of events, for those that differ: from the contract's
    /// own, or from PostHog's. After a change days are filled again.
    /// Example: `{ timestamp = "ts" }`.
    pub columns: BTreeMap<String, String>,
}

/// Whose schema the raw events have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The contract of DESIGN.md 4.1: one table with everything.
    #[default]
    Events,
    /// PostHog's: events with their properties as JSON and as `mat_` columns, session states, and
    /// persons by override.
    PostHog,
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

/// `source = "posthog"` is short for `source = { kind = "posthog" }`.
pub(super) fn with_source_as_table(mut table: toml::Table) -> toml::Table {
    if let Some(source @ toml::Value::String(_)) = table.get_mut("source") {
        let kind = source.clone();
        *source = toml::Value::Table(toml::Table::from_iter([("kind".to_owned(), kind)]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, DEFAULT_WAREHOUSE};

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
}
