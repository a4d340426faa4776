//! `[teams]`: the table of the teams, where it is the product's own.

use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::check::{check_name, check_table, in_range};
use crate::error::Result;

/// The table of the teams and its columns, in the ledger's Postgres, where it is not prefill's own.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Teams {
    /// In the schema `public`, or as `schema.table`.
    pub table: String,
    /// The column of the team's number.
    pub id: String,
    /// The column of its name.
    pub name: String,
    /// The column of its time zone.
    pub timezone: String,
    /// The column of the setting.
    pub enabled: String,
    /// The column of a team's own number of days. Not set: there is none.
    /// Example: `"web_analytics_backfill_days"`.
    pub backfill_days: Option<String>,
    /// The column that names a team's warehouse. Not set: there is none.
    /// Example: `"web_analytics_warehouse"`.
    pub warehouse: Option<String>,
    /// Not set: by the foreign key of `organization_id`, where there is one.
    pub organization: Option<Organization>,
    /// Whether `prefill migrate` puts a trigger on the table; else it is asked.
    pub trigger: bool,
    /// How often the table is asked for changes where there is no trigger, in milliseconds.
    /// Range: 10 to 86400000.
    pub poll_ms: u64,
}

/// Where the name of a team's organization is. Without it: by the foreign key of `organization_id`, where
/// there is one.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Organization {
    /// In the schema of the teams, or as `schema.table`.
    pub table: String,
    /// The column of the teams that names the organization.
    pub key: String,
    /// The column by which the teams name it.
    pub id: String,
    /// The column of its name.
    pub name: String,
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

impl Teams {
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(super) fn check(&self) -> Result<()> {
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
