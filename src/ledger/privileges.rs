//! What prefill's user may do in Postgres, asked before anything is changed: all that is missing is named
//! at once, with the statements that grant it.
//!
//! To change the setting (`enable`, `disable`, `cleanup`) takes `update` on its column. Who never does that
//! need not grant it, so it is not asked for here.

use super::Ledger;
use super::database::{Statement, text};
use super::trigger::Notice;
use crate::error::{Error, Result};

/// A privilege that is missing: how it is named, and what grants it, but for the user.
struct Missing {
    what: String,
    grant: String,
}

impl Missing {
    fn of(what: &str, on: &str) -> Self {
        let what = format!("{what} on {on}");
        Self {
            grant: format!("grant {what} to"),
            what,
        }
    }
}

impl Ledger {
    /// Names every privilege that is missing to read the teams and to make what is to be made; `makes`
    /// where tables of the ledger are.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Operator`] naming them; as the database otherwise.
    pub(super) async fn check_privileges(&self, makes: bool) -> Result<()> {
        const DOING: &str = "ask for the user's privileges";
        if self.access.is_none() {
            return Ok(());
        }
        let puts_trigger = matches!(self.notice().await?, Notice::PollForLackOfTrigger(_));
        let of_schema = Statement::new(text!(
            "select quote_ident(current_user) as role, quote_ident($1) as name, to_regnamespace(quote_ident($1)) is not null as is_there, coalesce(has_schema_privilege(cast(to_regnamespace(quote_ident($1)) as oid), 'usage'), true) as may_use, coalesce(has_schema_privilege(cast(to_regnamespace(quote_ident($1)) as oid), 'create'), has_database_privilege(current_database(), 'create')) as may_create"
        ))
        .bind(self.schema());
        let row = self.database.row(DOING, &of_schema).await?;
        let (role, name): (String, String) = (row.get("role")?, row.get("name")?);
        let schema = format!("schema {name}");
        let mut missing = Vec::new();
        if !row.get::<bool>("may_use")? {
            missing.push(Missing::of("usage", &schema));
        }
        // The trigger's function is made there, too.
        if (makes || puts_trigger) && !row.get::<bool>("may_create")? {
            missing.push(if row.get("is_there")? {
                Missing::of("create", &schema)
            } else {
                Missing {
                    what: format!("create on the database, for the {schema}"),
                    grant: format!("create {schema} authorization"),
                }
            });
        }
        missing.extend(self.missing_of_teams(DOING, puts_trigger).await?);
        if missing.is_empty() {
            return Ok(());
        }
        let lacks: Vec<&str> = missing.iter().map(|missing| &*missing.what).collect();
        let grants = missing.iter();
        let grants: Vec<_> = grants
            .map(|missing| format!("{} {role}", missing.grant))
            .collect();
        let mut hint = grants.join("; ");
        if lacks.iter().any(|what| what.starts_with("trigger on ")) {
            hint.push_str("; or set trigger = false in [teams]: then the table is asked");
        }
        Err(Error::operator(format!(
            "the user {role} lacks privileges at {}: {}",
            self.place(),
            lacks.join(", ")
        ))
        .hint(hint))
    }

    async fn missing_of_teams(&self, doing: &str, puts_trigger: bool) -> Result<Vec<Missing>> {
        let Some(teams) = &self.other_teams else {
            return Ok(Vec::new());
        };
        let columns = serde_json::json!(teams.columns).to_string();
        let statement = Statement::new(text!(include_str!("sql/postgres/privileges.sql")))
            .bind(&teams.quoted)
            .bind(columns);
        let rows = self.database.rows(doing, &statement).await?;
        let mut missing = Vec::new();
        let mut unreadable: Vec<String> = Vec::new();
        for row in &rows {
            if !row.get::<bool>("may_select")? {
                unreadable.push(row.get("name")?);
            }
        }
        let Some(row) = rows.first() else {
            return Ok(missing);
        };
        let table: String = row.get("on_table")?;
        if unreadable.len() == rows.len() {
            missing.push(Missing::of("select", &table));
        } else if !unreadable.is_empty() {
            let what = format!("select ({})", unreadable.join(", "));
            missing.push(Missing::of(&what, &table));
        }
        if puts_trigger && !row.get::<bool>("may_trigger")? {
            missing.push(Missing::of("trigger", &table));
        }
        Ok(missing)
    }
}
