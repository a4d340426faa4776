//! The tables on the warehouse: making those that are missing, and saying what is wrong with those
//! that are there, by name, before any work begins.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::{self, SourceKind};
use crate::error::{Class, Error, Result};
use crate::event;
use crate::rollup::{Column, ENDS, Layout, Required, SCRATCH_PREFIX, Tables, sql};
use crate::warehouse::name::{Name, with_names};
use crate::warehouse::{Place, Warehouse};

/// Tables of `system` that statements read and that a server may keep from whoever has no grant: those that
/// everybody may read are named in `addImplicitAccessRights` of ClickHouse's `src/Access/ContextAccess.cpp`.
pub const SYSTEM_TABLES: [&str; 5] = [
    "processes",
    "parts",
    "mutations",
    "disks",
    "merge_tree_settings",
];

/// A warehouse and the tables on it, which fit.
#[derive(Clone, Debug)]
pub struct Store {
    /// As the configuration names the warehouse.
    pub name: String,
    pub warehouse: Warehouse,
    pub tables: Tables,
}

impl Store {
    /// Reaches a warehouse, making the tables that are missing on it and checking the others; with what was found and
    /// done. `with_source` makes the tables of the raw events, too, where they are missing.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or its tables do not fit.
    pub async fn prepared(
        name: &str,
        config: &config::Warehouse,
        place: &Place,
        with_source: bool,
    ) -> Result<(Self, Vec<Prepared>)> {
        let tables = Tables::new(config)?;
        let mut warehouse = Warehouse::open(place, config).await?;
        warehouse.find_niceness().await?;
        let prepared = prepare(&warehouse, &tables, with_source).await?;
        let events = columns(&warehouse, &tables.events).await?;
        tables.look_at(&events, &layout(&warehouse, &tables).await?)?;
        check(&warehouse, &tables).await?;
        if !warehouse.is_embedded() {
            check_grants(&warehouse, &tables, config).await?;
        }
        let store = Self {
            name: name.to_owned(),
            warehouse,
            tables,
        };
        Ok((store, prepared))
    }

    /// Looks at the tables again, which others may have made, changed or dropped since: the columns of the raw events
    /// are read as they are now. Nothing is made: who dropped a rollup may still get it back.
    ///
    /// # Errors
    ///
    /// When the warehouse fails, or a table or a column that is read is not there any more.
    pub async fn look_again(&self) -> Result<()> {
        let (warehouse, tables) = (&self.warehouse, &self.tables);
        let missing = not_there(warehouse, &source(tables)).await?;
        if !missing.is_empty() {
            let posthog = tables.source.kind == SourceKind::PostHog;
            return Err(no_source(&missing, posthog));
        }
        no_rollup_is_gone(warehouse, tables).await?;
        let events = &self.tables.events;
        let there = columns(&self.warehouse, events).await?;
        let layout = layout(&self.warehouse, &self.tables).await?;
        let is_other = self.tables.look_at(&there, &layout)?;
        let required = self.tables.required().into_iter();
        let of_events = required.filter(|(table, _)| *table == events);
        fits(
            &of_events
                .flat_map(|(table, required)| misfits(table, &required, &there))
                .collect::<Vec<_>>(),
        )?;
        if is_other {
            info!(
                warehouse = self.name,
                "the columns of {events} changed: they are read as they are now"
            );
        }
        Ok(())
    }

    /// As [`Store::prepared`], of rollups that had rows: they are not made again.
    ///
    /// # Errors
    ///
    /// As [`Store::prepared`], and where one of them is not there.
    pub async fn as_it_was(name: &str, config: &config::Warehouse, place: &Place) -> Result<Self> {
        let warehouse = Warehouse::open(place, config).await?;
        no_rollup_is_gone(&warehouse, &Tables::new(config)?).await?;
        Ok(Self::prepared(name, config, place, false).await?.0)
    }

    /// Tells that a rollup which had rows was made again, with none.
    pub fn warn_of_remade(&self, rollup: &str) {
        warn!(
            warehouse = self.name,
            table = rollup,
            "the table {rollup} was gone, and with it the days that were filled: it was made again, and prefill serve fills those again that have raw events"
        );
    }
}

/// The tables that [`Store::prepared`] would make on a warehouse; nothing is made.
///
/// # Errors
///
/// As [`Store::prepared`], of the tables that are there.
pub async fn missing(
    config: &config::Warehouse,
    place: &Place,
    with_source: bool,
) -> Result<Vec<String>> {
    let tables = Tables::new(config)?;
    let warehouse = Warehouse::open(place, config).await?;
    let mut missing = source_to_make(&warehouse, &tables, with_source).await?;
    let events_are_there = missing.is_empty();
    for table in [&tables.stats, &tables.bounces] {
        if columns(&warehouse, table).await?.is_empty() {
            missing.push(table.clone());
        }
    }
    let names = missing.iter().map(plain).collect();
    // What is made will fit; what is there has to.
    if missing.is_empty() {
        let events = columns(&warehouse, &tables.events).await?;
        tables.look_at(&events, &layout(&warehouse, &tables).await?)?;
        check(&warehouse, &tables).await?;
    }
    if events_are_there && !warehouse.is_embedded() {
        check_grants(&warehouse, &tables, config).await?;
    }
    Ok(names)
}

/// What was found and done about one table.
#[derive(Clone, Debug, Serialize)]
pub struct Prepared {
    pub table: String,
    pub created: bool,
    #[serde(skip)]
    pub is_rollup: bool,
}

#[derive(Row, Deserialize)]
struct Found {
    there: u8,
}

#[derive(Row, Deserialize)]
struct Engine {
    partition_key: String,
}

/// The tables of the raw events, each with the statement that makes it.
fn source(tables: &Tables) -> Vec<(&Name, &'static str)> {
    match tables.source.kind {
        SourceKind::Events => vec![(&tables.events, event::CREATE_TABLE)],
        SourceKind::PostHog => vec![
            (&tables.events, sql::posthog::CREATE_EVENTS),
            (
                &tables.source.raw_sessions,
                sql::posthog::CREATE_RAW_SESSIONS,
            ),
            (&tables.source.overrides, sql::posthog::CREATE_OVERRIDES),
        ],
    }
}

/// The rollups, each with the statement that makes it.
fn rollups(tables: &Tables) -> Vec<(&Name, &'static str)> {
    vec![
        (&tables.stats, sql::CREATE_STATS),
        (&tables.bounces, sql::CREATE_BOUNCES),
    ]
}

/// The tables of the raw events that are missing and may be made.
async fn source_to_make(
    warehouse: &Warehouse,
    tables: &Tables,
    with_source: bool,
) -> Result<Vec<Name>> {
    let posthog = tables.source.kind == SourceKind::PostHog;
    let missing = not_there(warehouse, &source(tables)).await?;
    let makes = with_source || !posthog && warehouse.is_embedded();
    if !makes && !missing.is_empty() {
        return Err(no_source(&missing, posthog));
    }
    Ok(missing)
}

/// Which of the tables are not there.
async fn not_there(warehouse: &Warehouse, tables: &[(&Name, &'static str)]) -> Result<Vec<Name>> {
    let mut missing = Vec::new();
    for (table, _) in tables {
        if columns(warehouse, table).await?.is_empty() {
            missing.push((*table).clone());
        }
    }
    Ok(missing)
}

/// Fails where a rollup is not there, which had rows.
async fn no_rollup_is_gone(warehouse: &Warehouse, tables: &Tables) -> Result<()> {
    let missing = not_there(warehouse, &rollups(tables)).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = missing.iter().map(plain).collect();
    Err(Error::operator(format!(
        "the table {} is gone, and with it the days that were filled",
        named.join(", ")
    ))
    // The embedded engine's own database has no undrop.
    .hint(if warehouse.is_embedded() {
        "make it again with prefill migrate; then run prefill retry --all, and prefill serve fills again what has raw events"
    } else {
        "get it back (undrop table), or make it again with prefill migrate; then run prefill retry --all, and prefill serve fills again what has raw events"
    }))
}

/// Makes those of the tables that are missing.
async fn make_missing(
    warehouse: &Warehouse,
    tables: &Tables,
    wanted: &[(&Name, &'static str)],
) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::new();
    for (table, create) in wanted {
        let created = columns(warehouse, table).await?.is_empty();
        if created {
            create_database(warehouse, table.parts().0).await?;
            make(warehouse, tables, table, create).await?;
        }
        prepared.push(Prepared {
            table: plain(table),
            created,
            is_rollup: [&tables.stats, &tables.bounces].contains(table),
        });
    }
    Ok(prepared)
}

/// Makes the tables that are missing. Those of PostHog are somebody's production, and so are the
/// events on a server: they are not made, but for development where that is asked for.
///
/// # Errors
///
/// [`Class::Operator`] naming the tables that are missing.
async fn prepare(
    warehouse: &Warehouse,
    tables: &Tables,
    with_source: bool,
) -> Result<Vec<Prepared>> {
    let sessions = &tables.source.raw_sessions;
    let missing = source_to_make(warehouse, tables, with_source).await?;
    // Connections begin in it.
    create_database(warehouse, tables.stats.parts().0).await?;
    let wanted = [source(tables), rollups(tables)].concat();
    let mut prepared = make_missing(warehouse, tables, &wanted).await?;
    // Only what was made here is fed from here.
    if missing.contains(sessions) {
        let (database, name) = sessions.parts();
        let view = Name::table(database, &format!("{name}_mv"))?;
        make(
            warehouse,
            tables,
            &view,
            sql::posthog::CREATE_RAW_SESSIONS_VIEW,
        )
        .await?;
        prepared.push(Prepared {
            table: plain(&view),
            created: true,
            is_rollup: false,
        });
    }
    Ok(prepared)
}

fn no_source(missing: &[Name], posthog: bool) -> Error {
    let named: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let named = named.join(", ");
    if posthog {
        return Error::operator(format!(
            "tables of the source, which is PostHog's, are missing: {named}"
        ))
        .hint("name those that are there under [source] (table, raw_sessions, person_distinct_id_overrides); for development, prefill migrate --with-source makes tables like PostHog's");
    }
    // Somebody's production has its events already, under another name.
    Error::operator(format!("there is no table {named} of raw events"))
        .hint("name the table under [source], and its columns under [source.columns]; for development, prefill migrate --with-source makes one")
}

async fn make(warehouse: &Warehouse, tables: &Tables, table: &Name, create: &str) -> Result<()> {
    let text = with_names(
        create,
        &[
            ("table", table),
            ("stats", table),
            ("bounces", table),
            ("view", table),
            ("events", &tables.events),
            ("raw_sessions", &tables.source.raw_sessions),
        ],
    );
    warehouse
        .statement(&text, "prefill:migrate")
        .repeatable()
        .run(&format!("create the table {table}"))
        .await
}

/// A table as people write it.
fn plain(table: &Name) -> String {
    table.to_string().replace('`', "")
}

async fn create_database(warehouse: &Warehouse, database: &str) -> Result<()> {
    // Looking needs no permission; and the database itself cannot be the one that the connection
    // begins in.
    let found: Found = warehouse
        .statement_in(
            "system",
            "select toUInt8(count()) as there from system.databases where name = {database:String}",
            "prefill:migrate",
        )
        .param("database", database)
        .row("look for the database")
        .await?;
    if found.there > 0 {
        return Ok(());
    }
    let text = with_names(
        "create database if not exists {database}",
        &[("database", &Name::new(database)?)],
    );
    warehouse
        .statement_in("system", &text, "prefill:migrate")
        .repeatable()
        .run("create the database")
        .await
}

/// Names every permission that a fill needs and the user does not have, before any work begins.
async fn check_grants(
    warehouse: &Warehouse,
    tables: &Tables,
    config: &config::Warehouse,
) -> Result<()> {
    let scratch = tables.own(&format!("{SCRATCH_PREFIX}check"))?;
    // What each statement of a fill needs, as ClickHouse's documentation of GRANT has it; REPLACE
    // PARTITION is a deletion and an insertion.
    let mut needed = Vec::new();
    for (table, columns) in tables.required() {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, _)| Ok(Name::new(name)?.to_string()))
            .collect::<Result<_>>()?;
        needed.push((format!("select({})", columns.join(", ")), table));
        if *table == tables.stats || *table == tables.bounces {
            needed.extend([
                ("insert".to_owned(), table),
                ("alter delete".to_owned(), table),
            ]);
        }
    }
    for what in [
        "create table",
        "drop table",
        "select",
        "insert",
        "alter delete",
    ] {
        needed.push((what.to_owned(), &scratch));
    }
    // The answer counts what everybody may do: it is yes for all where `select_from_system_db_requires_grant`
    // is off.
    let system = SYSTEM_TABLES.map(|table| Name::table("system", table));
    let system: Vec<Name> = system.into_iter().collect::<Result<_>>()?;
    needed.extend(system.iter().map(|table| ("select".to_owned(), table)));
    let mut missing = Vec::new();
    for (what, on) in needed {
        let asked = warehouse
            .statement(&format!("check grant {what} on {on}"), "prefill:migrate")
            .bytes("TSV", "ask for permissions")
            .await;
        match asked {
            Ok(answer) if answer.trim_ascii() == b"0" => missing.push(format!("{what} on {on}")),
            Ok(_) => {}
            // An older server has no such question; the first statement that is refused tells.
            Err(error) if error.class() == Class::Operator => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let grants: Vec<String> = missing
        .iter()
        .map(|grant| format!("grant {grant} to {}", config.user))
        .collect();
    Err(Error::operator(format!(
        "the user {} lacks permissions on the warehouse: {}",
        config.user,
        missing.join(", ")
    ))
    .hint(grants.join("; ")))
}

async fn columns(warehouse: &Warehouse, table: &Name) -> Result<Vec<Column>> {
    let (database, name) = table.parts();
    // The warehouse's own database may not be there yet.
    warehouse
        .statement_in(
            "system",
            "select name, type as kind, comment, default_expression from system.columns where database = {database:String} and table = {table:String}",
            "prefill:migrate",
        )
        .param("database", database)
        .param("table", name)
        .rows("look at a table's columns")
        .await
}

/// How a table lies on disk; nothing where it is not there.
async fn layout(warehouse: &Warehouse, tables: &Tables) -> Result<Layout> {
    let (database, name) = tables.events.parts();
    let found: Vec<Layout> = warehouse
        .statement_in(
            "system",
            "select partition_key, sorting_key from system.tables where database = {database:String} and name = {table:String}",
            "prefill:migrate",
        )
        .param("database", database)
        .param("table", name)
        .rows("look at how a table lies on disk")
        .await?;
    let mut layout = found.into_iter().next().unwrap_or_default();
    if tables.source.kind == SourceKind::PostHog {
        let there = columns(warehouse, &tables.source.raw_sessions).await?;
        let has = |wanted: &&str| there.iter().any(|column| column.name == *wanted);
        layout.sessions_have_ends = ENDS.iter().all(has);
    }
    Ok(layout)
}

async fn check(warehouse: &Warehouse, tables: &Tables) -> Result<()> {
    let mut wrong = Vec::new();
    for (table, required) in tables.required() {
        let there = columns(warehouse, table).await?;
        wrong.extend(misfits(table, &required, &there));
    }
    for table in [&tables.stats, &tables.bounces] {
        let (database, name) = table.parts();
        let engine: Vec<Engine> = warehouse
            .statement(
                "select partition_key from system.tables where database = {database:String} and name = {table:String}",
                "prefill:migrate",
            )
            .param("database", database)
            .param("table", name)
            .rows("look at a table's partitions")
            .await?;
        let key = engine
            .first()
            .map_or("", |engine| engine.partition_key.as_str());
        if key != "toYYYYMMDD(period_bucket)" {
            wrong.push(format!(
                "{table} is partitioned by {key:?} and should be by toYYYYMMDD(period_bucket)"
            ));
        }
    }
    fits(&wrong)
}

/// What is wrong with the columns of a table that has these.
fn misfits(table: &Name, required: &[Required], there: &[Column]) -> Vec<String> {
    let misfit = |(name, kind): &Required| {
        let Some(column) = there.iter().find(|column| column.name == *name) else {
            return Some(format!("{table} has no column {name}"));
        };
        let kind = kind.filter(|kind| !same_type(kind, &column.kind))?;
        let found = &column.kind;
        Some(format!("{table}.{name} is {found} and should be {kind}"))
    };
    required.iter().filter_map(misfit).collect()
}

fn fits(wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Class::Operator,
        format!("the warehouse's tables do not fit: {}", wrong.join("; ")),
    )
    .hint("map the columns under [source.columns], name another table, or mend the tables"))
}

/// Types that are written differently and hold the same.
fn same_type(wanted: &str, there: &str) -> bool {
    let plain = |text: &str| {
        let text = text.replace(' ', "");
        match text.strip_prefix("LowCardinality(") {
            Some(inner) => inner.trim_end_matches(')').to_owned(),
            None => text,
        }
    };
    let (wanted, there) = (plain(wanted), plain(there));
    wanted == there
        || (wanted.starts_with("DateTime(")
            && there.starts_with("DateTime")
            && !there.starts_with("DateTime64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_hold_the_same_are_taken_and_others_are_not() {
        assert!(same_type("String", "LowCardinality(String)"));
        assert!(same_type("DateTime('UTC')", "DateTime"));
        assert!(same_type(
            "AggregateFunction(uniq, UUID)",
            "AggregateFunction(uniq, UUID)"
        ));
        assert!(!same_type(
            "AggregateFunction(uniq, UUID)",
            "AggregateFunction(uniq, String)"
        ));
        assert!(!same_type("DateTime('UTC')", "DateTime64(3)"));
        assert!(!same_type("Int64", "String"));
    }
}
