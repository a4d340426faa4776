//! Brings events into the source: each event once, however often it is brought.
//!
//! Events go to a table of their own first, and from there those whose identifier the source does
//! not have yet go to the source in one statement. So a crash in the middle, or the same file
//! again, adds nothing twice. Imports of one installation take turns.

use std::fs::{File, TryLockError};
use std::path::Path;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tracing::info;
use uuid::Uuid;

use crate::error::{Class, Context, Error, Result};
use crate::event::{self, Event};
use crate::rollup::sql;
use crate::service::{IMPORTED, Prefill};
use crate::warehouse::name::{Name, with_names};

/// Rows of one INSERT: enough to be fast, little enough to be held by the engine at once.
const BATCH: usize = 200_000;
const PREFIX: &str = "prefill_import_";
const COMMENT: &str = "prefill:import";

/// How many events came, and how many of them were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    pub events: u64,
    pub added: u64,
    /// The source had them already.
    pub known: u64,
}

/// Events on their way to the source.
pub struct Load<'a> {
    prefill: &'a Prefill,
    table: Name,
    insert: Option<clickhouse::insert::Insert<Event>>,
    in_batch: usize,
    events: u64,
    _turn: File,
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
    /// Begins, once no other import is under way in `data_dir`; `waiting` is told when one is.
    ///
    /// # Errors
    ///
    /// When the data directory or the warehouse fails.
    pub async fn begin(
        prefill: &'a Prefill,
        data_dir: &Path,
        waiting: impl FnOnce(),
    ) -> Result<Self> {
        let turn = take_turn(data_dir, waiting).await?;
        let (database, _) = prefill.tables.stats.parts();
        let left: Vec<Found> = prefill
            .warehouse
            .statement(
                "select name from system.tables where database = {database:String} and startsWith(name, {prefix:String})",
                COMMENT,
            )
            .param("database", database)
            .param("prefix", PREFIX)
            .rows("look for tables that a crash left")
            .await?;
        for Found { name } in left {
            drop_table(prefill, &prefill.tables.own(&name)?).await?;
        }
        let table = prefill
            .tables
            .own(&format!("{PREFIX}{}", Uuid::new_v4().simple()))?;
        prefill
            .warehouse
            .statement(
                &with_names(event::CREATE_TABLE, &[("table", &table)]),
                COMMENT,
            )
            .run("create a table for the import")
            .await?;
        Ok(Self {
            prefill,
            table,
            insert: None,
            in_batch: 0,
            events: 0,
            _turn: turn,
        })
    }

    /// Takes an event.
    ///
    /// # Errors
    ///
    /// When the warehouse fails.
    pub async fn add(&mut self, event: &Event) -> Result<()> {
        let failed = |error: clickhouse::error::Error| {
            Error::new(Class::Later, "failed to send events to the warehouse")
                .caused_by(error)
                .hint("run the same import again: nothing is added twice")
        };
        let mut insert = match self.insert.take() {
            Some(insert) => insert,
            None => {
                let (database, table) = self.table.parts();
                let client = self.prefill.warehouse.client().with_database(database);
                client.insert::<Event>(table).await.map_err(failed)?
            }
        };
        insert.write(event).await.map_err(failed)?;
        self.events += 1;
        self.in_batch += 1;
        if self.in_batch >= BATCH {
            self.in_batch = 0;
            insert.end().await.map_err(failed)?;
        } else {
            self.insert = Some(insert);
        }
        Ok(())
    }

    /// Puts what is new into the source.
    ///
    /// # Errors
    ///
    /// When the warehouse fails; the same import again adds what is missing.
    pub async fn end(mut self) -> Result<Loaded> {
        if let Some(insert) = self.insert.take() {
            insert.end().await.map_err(|error| {
                Error::new(Class::Later, "failed to send events to the warehouse")
                    .caused_by(error)
                    .hint("run the same import again: nothing is added twice")
            })?;
        }
        let render = |text| self.prefill.tables.render(text, &[("import", &self.table)]);
        let warehouse = &self.prefill.warehouse;
        let new: Vec<Counted> = warehouse
            .statement(&render(sql::COUNT_NEW_EVENTS), COMMENT)
            .rows("count the new events")
            .await?;
        let added = new.first().map_or(0, |new| new.value);
        if added > 0 {
            warehouse
                .statement(&render(sql::ADD_NEW_EVENTS), COMMENT)
                .run("add the new events")
                .await?;
        }
        drop_table(self.prefill, &self.table).await?;
        // A service that runs looks at the days at once.
        let now = jiff::Timestamp::now().as_microsecond();
        self.prefill.ledger.set_mark(IMPORTED, now).await?;
        let loaded = Loaded {
            events: self.events,
            added,
            known: self.events.saturating_sub(added),
        };
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
    /// When the warehouse fails.
    pub async fn abandon(mut self) -> Result<()> {
        drop(self.insert.take());
        drop_table(self.prefill, &self.table).await
    }
}

async fn drop_table(prefill: &Prefill, table: &Name) -> Result<()> {
    prefill
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
