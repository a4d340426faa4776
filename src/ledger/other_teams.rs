//! Teams that are the rows of somebody else's table, such as `posthog_team`.
//!
//! Of that table prefill reads the configured columns, and writes one: the setting, of one row, when
//! somebody asks for it by command. What prefill has to remember of the teams (when the setting was
//! turned on, what was seen last) is in its own `team_state`. Names come from the configuration, where
//! they are checked, and are quoted.

use tracing::info;

use super::Ledger;
use super::database::{Statement, Tries, text};
use super::slices::team_ids;
use crate::calendar::TeamId;
use crate::config;
use crate::error::{Error, Result};

/// The other table, looked up: it is there and has the columns.
#[derive(Debug)]
pub(super) struct OtherTeams {
    /// As people write it: `public.posthog_team`.
    table: String,
    pub(super) quoted: String,
    pub(super) id: String,
    /// The columns that are read, as they are called.
    pub(super) columns: Vec<String>,
    /// The columns whose change matters, quoted.
    pub(super) relevant: Vec<String>,
    pub(super) enabled: Enabled,
    timezone: String,
    name: String,
    backfill_days: Option<String>,
    warehouse: Option<String>,
    organization: Option<Joined>,
    /// Whether a trigger is wanted.
    pub(super) trigger: bool,
    pub(super) poll: std::time::Duration,
}

/// The column of the setting.
#[derive(Debug)]
pub(super) struct Enabled {
    column: String,
    is_boolean: bool,
}

impl Enabled {
    /// Whether the setting is on in the row `of`: a condition that is never null.
    pub(super) fn is_on(&self, of: &str) -> String {
        let Self { column, .. } = self;
        if self.is_boolean {
            format!("coalesce({of}.{column}, false)")
        } else {
            format!("coalesce({of}.{column} <> 0, false)")
        }
    }
}

/// A table that is joined for the organization's name.
#[derive(Debug)]
struct Joined {
    quoted: String,
    key: String,
    id: String,
    name: String,
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn quoted_table(table: &str, usual: &str) -> String {
    let (schema, name) = table.split_once('.').unwrap_or((usual, table));
    format!("{}.{}", quoted(schema), quoted(name))
}

impl OtherTeams {
    /// Looks the table up.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Operator`] naming what is missing.
    pub(super) async fn find(ledger: &Ledger, config: &config::Teams) -> Result<Self> {
        const DOING: &str = "look at the teams table";
        let (schema, _) = config.table.split_once('.').unwrap_or(("public", ""));
        let schema = schema.to_owned();
        let table = quoted_table(&config.table, "public");
        let looking = Statement::new(text!(
            "select a.attname::text as name, format_type(a.atttypid, null) as type from pg_attribute a where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped"
        ))
        .bind(&table);
        let mut types = std::collections::BTreeMap::new();
        for row in ledger.database.rows(DOING, &looking).await? {
            types.insert(row.get::<String>("name")?, row.get::<String>("type")?);
        }
        let plain = table.replace('"', "");
        if types.is_empty() {
            return Err(Error::operator(format!(
                "there is no table {plain} at {}, or its schema may not be used",
                ledger.place()
            ))
            .hint("correct table in [teams], or remove [teams] to keep the teams in prefill's own table"));
        }
        let optional = [&config.backfill_days, &config.warehouse];
        let wanted = [&config.id, &config.name, &config.timezone, &config.enabled];
        let mut columns = Vec::new();
        for column in wanted.into_iter().chain(optional.into_iter().flatten()) {
            columns.push(column.clone());
            if !types.contains_key(column) {
                return Err(Error::operator(format!("{plain} has no column {column}"))
                    .hint("name the column that it has in [teams] of the configuration"));
            }
        }
        let is_boolean = match types[&config.enabled].as_str() {
            "boolean" => true,
            "smallint" | "integer" | "bigint" => false,
            other => {
                return Err(Error::operator(format!(
                    "{plain}.{} is of the type {other}, and has to be boolean or a whole number",
                    config.enabled
                ))
                .hint("name the column of the setting as enabled in [teams]"));
            }
        };
        let organization = match &config.organization {
            Some(own) => Some(Joined {
                quoted: quoted_table(&own.table, &schema),
                key: quoted(&own.key),
                id: quoted(&own.id),
                name: quoted(&own.name),
            }),
            None => referenced(ledger, &table).await?,
        };
        columns.extend(
            organization
                .iter()
                .map(|joined| joined.key.replace('"', "")),
        );
        let relevant = [&config.enabled, &config.timezone]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .map(|column| quoted(column))
            .collect();
        Ok(Self {
            table: plain,
            quoted: table,
            id: quoted(&config.id),
            columns,
            relevant,
            enabled: Enabled {
                column: quoted(&config.enabled),
                is_boolean,
            },
            timezone: quoted(&config.timezone),
            name: quoted(&config.name),
            backfill_days: config.backfill_days.as_deref().map(quoted),
            warehouse: config.warehouse.as_deref().map(quoted),
            organization,
            trigger: config.trigger,
            poll: config.poll(),
        })
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The rows as prefill has teams, without names.
    fn rows(&self, condition: &str) -> String {
        format!("select {} from {} t {condition}", self.what(), self.quoted)
    }

    fn what(&self) -> String {
        let or_null = |column: &Option<String>, kind| match column {
            Some(column) => format!("cast(t.{column} as {kind})"),
            None => format!("cast(null as {kind})"),
        };
        format!(
            "cast(t.{id} as bigint) as id, coalesce(cast(t.{timezone} as text), 'UTC') as timezone, cast(case when {is_on} then 1 else 0 end as bigint) as enabled, {days} as backfill_days, {warehouse} as warehouse",
            id = self.id,
            timezone = self.timezone,
            is_on = self.enabled.is_on("t"),
            days = or_null(&self.backfill_days, "bigint"),
            warehouse = or_null(&self.warehouse, "text"),
        )
    }

    fn with_names(&self, condition: &str) -> Statement {
        let (organization, join) = match &self.organization {
            Some(Joined {
                quoted,
                key,
                id,
                name,
            }) => (
                format!("coalesce(cast(o.{name} as text), '')"),
                format!("left join {quoted} o on o.{id} = t.{key}"),
            ),
            None => ("''".to_owned(), String::new()),
        };
        Statement::made(&format!(
            "select {what}, {is_on} as web_analytics_pre_aggregated_tables_enabled, coalesce(cast(t.{name} as text), '') as name, {organization} as organization, s.enabled_at as enabled_at from {table} t left join team_state s on s.team_id = t.{id} {join} {condition} order by t.{id}",
            what = self.what(),
            is_on = self.enabled.is_on("t"),
            name = self.name,
            table = self.quoted,
            id = self.id,
        ))
    }

    pub(super) fn all(&self) -> Statement {
        self.with_names("")
    }

    /// $1 ids as a JSON array
    pub(super) fn some(&self) -> Statement {
        self.with_names(&self.of_ids())
    }

    fn of_ids(&self) -> String {
        format!(
            "where t.{} in (select cast(value as bigint) from {{rows $1}})",
            self.id
        )
    }

    /// $1 id, $2 on
    pub(super) fn set_enabled(&self) -> Statement {
        let Enabled { column, is_boolean } = &self.enabled;
        let value = if *is_boolean { "$2 = 1" } else { "$2" };
        Statement::made(&format!(
            "update {table} t set {column} = {value} where t.{id} = $1 and {is_on} <> ($2 = 1)",
            table = self.quoted,
            id = self.id,
            is_on = self.enabled.is_on("t"),
        ))
    }

    /// The condition under which what is known of a team (`s`) is not what its row (`t`) says.
    const DIFFERS: &str = "(s.team_id is null and t.enabled = 1) or (s.team_id is not null and t.id is not null and (s.enabled, s.timezone, s.backfill_days, s.warehouse) is distinct from (t.enabled, t.timezone, t.backfill_days, t.warehouse))";

    /// Takes notice of what the rows say now: when a setting was turned on, and what was seen of each.
    /// A turn has the instant that the trigger gave it, or else that of the look.
    pub(super) async fn settle(&self, ledger: &Ledger, ids: Option<&[TeamId]>) -> Result<()> {
        const DOING: &str = "take notice of the teams table";
        let condition = if ids.is_some() {
            self.of_ids()
        } else {
            String::new()
        };
        let of_ids = |statement: Statement| match ids {
            Some(ids) => statement.bind(team_ids(ids)),
            None => statement,
        };
        let unsettled = of_ids(Statement::made(&format!(
            "select 1 as one from ({rows}) t left join team_state s on s.team_id = t.id where {differs} or (t.enabled = 1 and exists (select 1 from signals g where g.team_id = t.id and g.turned_on_at > s.enabled_at)) limit 1",
            rows = self.rows(&condition),
            differs = Self::DIFFERS,
        )));
        if !ledger.database.rows(DOING, &unsettled).await?.is_empty() {
            let settle = of_ids(Statement::made(&format!(
                include_str!("sql/postgres/settle.sql.in"),
                rows = self.rows(&condition),
            )));
            let mut tries = Tries::default();
            loop {
                match try_settle(ledger, &settle).await {
                    Err(error) if tries.again(&error).await => {}
                    done => break done?,
                }
            }
        }
        Ok(())
    }

    /// Forgets those of these teams that are not in the table any more.
    pub(super) async fn forget(&self, ledger: &Ledger, ids: &[TeamId]) -> Result<()> {
        let forget = Statement::made(&format!(
            "delete from team_state s where s.team_id in (select cast(value as bigint) from {{rows $1}}) and not exists (select 1 from {table} t where t.{id} = s.team_id)",
            table = self.quoted,
            id = self.id,
        ))
        .bind(team_ids(ids));
        ledger
            .database
            .execute("forget teams that are gone", &forget)
            .await?;
        Ok(())
    }

    /// Compares the rows with what was seen of them last, and signals the teams that differ: what the
    /// trigger does, where there is none. How many there are.
    pub(super) async fn poll(&self, ledger: &Ledger) -> Result<u64> {
        const DOING: &str = "ask the teams table for changes";
        let statement = Statement::made(&format!(
            "insert into signals (team_id) select coalesce(t.id, s.team_id) from ({rows}) t full join team_state s on s.team_id = t.id where ({differs} or (t.id is null and s.enabled = 1)) and not exists (select 1 from signals g where g.team_id = coalesce(t.id, s.team_id))",
            rows = self.rows(""),
            differs = Self::DIFFERS,
        ));
        let found = ledger.database.execute(DOING, &statement).await?;
        if found > 0 {
            info!(teams = found, "{} was changed", self.table);
        }
        Ok(found)
    }
}

/// One at a time, so that nobody writes what somebody else has seen later.
async fn try_settle(ledger: &Ledger, settle: &Statement) -> Result<()> {
    const DOING: &str = "take notice of the teams table";
    let mut transaction = ledger.database.begin(DOING).await?;
    let lock = format!("{}:settle", ledger.schema());
    transaction.lock(DOING, &lock).await?;
    transaction.execute(DOING, settle).await?;
    transaction.commit(DOING).await
}

/// Where the foreign key of `organization_id` leads to, if it leads to something with a name that may
/// be read.
async fn referenced(ledger: &Ledger, table: &str) -> Result<Option<Joined>> {
    let statement = Statement::new(text!(include_str!("sql/postgres/referenced.sql"))).bind(table);
    let rows = ledger
        .database
        .rows("look at the teams table's foreign keys", &statement)
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Joined {
        quoted: row.get("referenced")?,
        key: row.get("key")?,
        id: row.get("id")?,
        name: quoted("name"),
    }))
}
