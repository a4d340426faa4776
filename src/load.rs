//! Brings events into the source: each event once, however often it is brought.
//!
//! Events go to a table of their own first, and from there those whose identifier the source does
//! not have yet go to the source in one statement. So a crash in the middle, or the same file
//! again, adds nothing twice. Imports of one installation take turns.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tracing::info;
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::SourceKind;
use crate::error::{Class, Context, Error, Result};
use crate::event::{self, Event};
use crate::rollup::sql;
use crate::schema::Store;
use crate::service::{IMPORTED, Prefill};
use crate::warehouse::codes;
use crate::warehouse::name::{Name, with_names};

/// Rows of one INSERT: enough to be fast, little enough to be held by the engine at once.
const BATCH: usize = 200_000;
const PREFIX: &str = "prefill_import_";
const COMMENT: &str = "prefill:import";

/// How many events came, and how many of them were new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    pub events: u64,
    pub added: u64,
    /// The source had them already.
    pub known: u64,
    /// Teams of the events that are not in the teams table: nobody fills their days.
    pub unknown_teams: Vec<TeamId>,
}

/// Events on their way to the source of their team's warehouse.
pub struct Load<'a> {
    prefill: &'a Prefill,
    /// See [`Load::of_lines`].
    are_lines: bool,
    /// The warehouse of each team that an event was of.
    warehouses: BTreeMap<i64, &'a str>,
    unknown_teams: Vec<TeamId>,
    landings: BTreeMap<&'a str, Landing<'a>>,
    _turn: File,
}

/// A table of the import's own on one warehouse.
struct Landing<'a> {
    store: &'a Store,
    table: Name,
    insert: Option<clickhouse::insert::Insert<Event>>,
    in_batch: usize,
    events: u64,
}

#[derive(Row, Deserialize)]
struct Found {
    name: String,
}

#[derive(Row, Deserialize)]
struct Counted {
    value: u64,
}

impl<'a> Load<'a> {
    /// Begins, once no other import of the installation is under way; `waiting` is told when one is.
    ///
    /// # Errors
    ///
    /// When the data directory fails.
    pub async fn begin(prefill: &'a Prefill, waiting: impl FnOnce()) -> Result<Self> {
        Ok(Self {
            prefill,
            are_lines: false,
            warehouses: BTreeMap::new(),
            unknown_teams: Vec::new(),
            landings: BTreeMap::new(),
            _turn: take_turn(prefill.data_dir(), waiting).await?,
        })
    }

    /// Of events that are lines of a log, each with a uuid that holds its place among those of its second: a
    /// line that has another place in another file is known all the same.
    #[must_use]
    pub fn of_lines(self) -> Self {
        Self {
            are_lines: true,
            ..self
        }
    }

    /// Takes an event.
    ///
    /// # Errors
    ///
    /// When the warehouse of its team fails.
    pub async fn add(&mut self, event: &Event) -> Result<()> {
        let warehouse = match self.warehouses.get(&event.team_id) {
            Some(warehouse) => *warehouse,
            None => {
                let team = TeamId(event.team_id);
                let known = self.prefill.ledger.find_team(team).await?;
                if known.is_none() {
                    self.unknown_teams.push(team);
                }
                let named = known.and_then(|known| known.warehouse);
                let warehouse = self.prefill.config.warehouse_of(team, named.as_deref())?;
                self.takes_imports(warehouse, team)?;
                self.warehouses.insert(event.team_id, warehouse);
                if !self.landings.contains_key(warehouse) {
                    let store = self.prefill.store(warehouse).await?;
                    self.landings.insert(warehouse, Landing::new(store).await?);
                }
                warehouse
            }
        };
        match self.landings.get_mut(warehouse) {
            Some(landing) => landing.add(event).await,
            None => Ok(()),
        }
    }

    /// PostHog's tables have a writer of their own, and states that only it keeps.
    fn takes_imports(&self, warehouse: &str, team: TeamId) -> Result<()> {
        let configured = self.prefill.config.warehouses.get(warehouse);
        if configured.is_none_or(|configured| configured.source.kind == SourceKind::Events) {
            return Ok(());
        }
        Err(Error::misuse(format!(
            "the events of team {team} are PostHog's on the warehouse {warehouse}, and nothing is imported into those"
        ))
        .hint("send events to PostHog itself; to import, give the team a warehouse whose source is \"events\" (prefill team set --warehouse NAME)"))
    }

    /// Puts what is new into the sources.
    ///
    /// # Errors
    ///
    /// When a warehouse fails; the same import again adds what is missing.
    pub async fn end(self) -> Result<Loaded> {
        let mut loaded = Loaded {
            unknown_teams: self.unknown_teams,
            ..Loaded::default()
        };
        loaded.unknown_teams.sort_unstable();
        for landing in self.landings.into_values() {
            let here = landing.end(self.are_lines).await?;
            loaded.events += here.events;
            loaded.added += here.added;
            loaded.known += here.known;
        }
        // A service that runs looks at the days at once.
        let now = jiff::Timestamp::now().as_microsecond();
        self.prefill.ledger.tell_mark(IMPORTED, now).await?;
        info!(
            events = loaded.events,
            added = loaded.added,
            known = loaded.known,
            "imported events"
        );
        Ok(loaded)
    }

    /// Ends without adding anything.
    ///
    /// # Errors
    ///
    /// When a warehouse fails.
    pub async fn abandon(self) -> Result<()> {
        for mut landing in self.landings.into_values() {
            drop(landing.insert.take());
            drop_table(landing.store, &landing.table).await?;
        }
        Ok(())
    }
}

impl<'a> Landing<'a> {
    async fn new(store: &'a Store) -> Result<Self> {
        let (database, _) = store.tables.stats.parts();
        let left: Vec<Found> = store
            .warehouse
            .statement(
                "select name from system.tables where database = {database:String} and startsWith(name, {prefix:String}) and metadata_modification_time <= now() - toIntervalSecond({age_s:UInt64})",
                COMMENT,
            )
            .param("database", database)
            .param("prefix", PREFIX)
            // Imports into a server may come from several machines, which take no turns.
            .param(
                "age_s",
                if store.warehouse.is_embedded() {
                    0_u64
                } else {
                    24 * 3_600
                },
            )
            .rows("look for tables that a crash left")
            .await?;
        for Found { name } in left {
            drop_table(store, &store.tables.own(&name)?).await?;
        }
        let table = store
            .tables
            .own(&format!("{PREFIX}{}", Uuid::new_v4().simple()))?;
        store
            .warehouse
            .statement(
                &with_names(event::CREATE_TABLE, &[("table", &table)]),
                COMMENT,
            )
            .run("create a table for the import")
            .await?;
        Ok(Self {
            store,
            table,
            insert: None,
            in_batch: 0,
            events: 0,
        })
    }

    async fn add(&mut self, event: &Event) -> Result<()> {
        let mut insert = match self.insert.take() {
            Some(insert) => insert,
            None => {
                let (database, table) = self.table.parts();
                let client = self.store.warehouse.client().with_database(database);
                client.insert::<Event>(table).await.map_err(not_sent)?
            }
        };
        insert.write(event).await.map_err(not_sent)?;
        self.events += 1;
        self.in_batch += 1;
        if self.in_batch >= BATCH {
            self.in_batch = 0;
            insert.end().await.map_err(not_sent)?;
        } else {
            self.insert = Some(insert);
        }
        Ok(())
    }

    async fn end(mut self, are_lines: bool) -> Result<Loaded> {
        if let Some(insert) = self.insert.take() {
            insert.end().await.map_err(not_sent)?;
        }
        let id = |uuid: &str| match are_lines {
            false => uuid.to_owned(),
            true => with_names(sql::ID_OF_LINE, &[("id", &uuid)]),
        };
        // Two teams may name an event alike.
        let new_id = format!("(team_id, {})", id("uuid"));
        let known_id = format!("(toInt64({{team_id}}), {})", id("{uuid}"));
        let render = |text| {
            let text = with_names(text, &[("new_id", &new_id), ("known_id", &known_id)]);
            self.store.tables.render(&text, &[("import", &self.table)])
        };
        let warehouse = &self.store.warehouse;
        let new: Counted = warehouse
            .statement(&render(sql::COUNT_NEW_EVENTS), COMMENT)
            .row("count the new events")
            .await?;
        let added = new.value;
        if added > 0 {
            warehouse
                .statement(&render(sql::ADD_NEW_EVENTS), COMMENT)
                .run("add the new events")
                .await?;
        }
        drop_table(self.store, &self.table).await?;
        Ok(Loaded {
            events: self.events,
            added,
            known: self.events.saturating_sub(added),
            ..Loaded::default()
        })
    }
}

fn not_sent(error: clickhouse::error::Error) -> Error {
    const AGAIN: &str = "run the same import again: nothing is added twice";
    let text = error.to_string();
    let code = codes::code_in(&text);
    let full = code == Some(243) || text.contains("No space left");
    let class = if full {
        Class::Operator
    } else {
        code.map_or(Class::Later, codes::class)
    };
    let error = Error::new(class, "failed to send events to the warehouse").caused_by(error);
    if full {
        error.hint(format!(
            "free some space on the warehouse's disks, then {AGAIN}"
        ))
    } else {
        error.hint(AGAIN)
    }
}

async fn drop_table(store: &Store, table: &Name) -> Result<()> {
    store
        .warehouse
        .statement(
            &with_names("drop table if exists {table} sync", &[("table", table)]),
            COMMENT,
        )
        .run("drop the table of an import")
        .await
}

async fn take_turn(data_dir: &Path, waiting: impl FnOnce()) -> Result<File> {
    let path = data_dir.join("import.lock");
    let failed = || format!("failed to lock {}", path.display());
    let file = File::create(&path).classed(Class::Operator, failed)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => waiting(),
        Err(TryLockError::Error(error)) => return Err(Error::operator(failed()).caused_by(error)),
    }
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked
        .classed(Class::Never, failed)?
        .classed(Class::Operator, failed)
}
