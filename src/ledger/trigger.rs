//! The trigger on somebody else's teams table, by which a change of a team is noticed at once.
//!
//! It writes to prefill's `signals` in the transaction of the change, so that a rollback leaves nothing
//! and a crash after the commit loses nothing, and notifies. Whatever fails in it, the change itself
//! does not. Making it takes a lock on the table that writers hold too: so it is tried for a moment
//! only, again and again, that nobody queues behind it, and all of it is one message to the server.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::Instant;

use super::Ledger;
use super::database::{Database, Said, Statement, code, failed, text};
use super::other_teams::OtherTeams;
use crate::error::{Class, Error, Result};

/// How long one try waits for the lock on the table, and with it whoever wants to write meanwhile.
const LOCK_MS: u64 = 100;
/// How long the lock is tried for.
const TRY_FOR: Duration = Duration::from_secs(20);

/// How changes of the teams are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// By the triggers of prefill's own table.
    Own,
    /// By the trigger on the other table.
    Trigger,
    /// By asking the other table; a trigger is not wanted.
    Poll(Duration),
    /// By asking the other table, because the trigger that is wanted is not there.
    PollForLackOfTrigger(Duration),
}

impl Notice {
    /// How often the table is asked, where it is.
    pub fn poll(self) -> Option<Duration> {
        match self {
            Self::Own | Self::Trigger => None,
            Self::Poll(every) | Self::PollForLackOfTrigger(every) => Some(every),
        }
    }
}

/// What is there of the trigger.
#[derive(Debug, Default)]
struct Found {
    /// The function, of this or of another definition.
    function: bool,
    /// Function and triggers are those that the configuration asks for.
    current: bool,
    /// Tables that have triggers which call it, with those triggers.
    triggers: Vec<(String, String)>,
}

impl Ledger {
    /// How changes of the teams are noticed right now.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn notice(&self) -> Result<Notice> {
        let Some(teams) = &self.other_teams else {
            return Ok(Notice::Own);
        };
        Ok(if self.found(teams).await?.current {
            Notice::Trigger
        } else if teams.trigger {
            Notice::PollForLackOfTrigger(teams.poll)
        } else {
            Notice::Poll(teams.poll)
        })
    }

    /// Asks the teams table for changes, where that is how they are noticed; how many teams changed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn poll_teams(&self) -> Result<u64> {
        match &self.other_teams {
            Some(teams) => teams.poll(self).await,
            None => Ok(0),
        }
    }

    /// What [`Ledger::install_trigger`] would do.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn check_trigger(&self) -> Result<Vec<String>> {
        let Some(teams) = &self.other_teams else {
            return Ok(Vec::new());
        };
        let found = self.found(teams).await?;
        Ok(match (teams.trigger, found.current) {
            (true, false) => vec![format!(
                "put the triggers {} on {}",
                self.trigger_names().join(", "),
                teams.table()
            )],
            (false, _) if found.function => vec![removing(&found)],
            _ => Vec::new(),
        })
    }

    /// Puts the trigger on the teams table, or takes it away where it is not wanted any more; what that
    /// took.
    ///
    /// # Errors
    ///
    /// [`Class::Later`] when other transactions do not let go of the table;
    /// [`Class::Operator`] when the user may not make a trigger there.
    pub async fn install_trigger(&self) -> Result<Vec<String>> {
        let Some(teams) = &self.other_teams else {
            return Ok(Vec::new());
        };
        if !teams.trigger {
            return self.remove_trigger().await;
        }
        let found = self.found(teams).await?;
        if found.current {
            return Ok(Vec::new());
        }
        let mut script = String::new();
        if found.function {
            script.push_str(&self.removal());
        }
        script.push_str(&self.definition(teams));
        script.push_str(&format!(
            "comment on function {} is '{}';\n",
            self.function(),
            self.digest(teams)
        ));
        self.change_table(teams.table(), &script).await?;
        Ok(vec![format!(
            "put the triggers {} on {}",
            self.trigger_names().join(", "),
            teams.table()
        )])
    }

    /// Takes the trigger away, and the function that it calls; what was there.
    ///
    /// # Errors
    ///
    /// As [`Ledger::install_trigger`].
    pub async fn remove_trigger(&self) -> Result<Vec<String>> {
        let Some(teams) = &self.other_teams else {
            return Ok(Vec::new());
        };
        let found = self.found(teams).await?;
        if !found.function {
            return Ok(Vec::new());
        }
        self.change_table(teams.table(), &self.removal()).await?;
        Ok(vec![removing(&found)])
    }

    /// Runs a script that locks the table, as one message: the lock ends with it.
    async fn change_table(&self, table: &str, script: &str) -> Result<()> {
        let doing = format!("change the triggers of {table}");
        let Database::Postgres { pool, .. } = &self.database else {
            unreachable!("another teams table is in Postgres")
        };
        // One migrate at a time; only for the table's lock it does not wait long.
        let script = format!(
            "begin; select pg_advisory_xact_lock(hashtextextended('prefill:{}:migrate', 0)); set local lock_timeout = {LOCK_MS};\n{script}commit;",
            self.schema()
        );
        let until = Instant::now() + TRY_FOR;
        let mut pause = Duration::from_millis(100);
        loop {
            let mut connection = pool
                .acquire()
                .await
                .map_err(|error| failed(&doing, error))?;
            let run = sqlx::raw_sql(AssertSqlSafe(script.clone()));
            let Err(error) = run.execute(&mut *connection).await else {
                return Ok(());
            };
            // A transaction that failed on the way is over.
            drop(sqlx::raw_sql("rollback").execute(&mut *connection).await);
            drop(connection);
            let busy = matches!(code(&error).as_deref(), Some("55P03" | "40P01"));
            if !busy {
                let error = failed(&doing, error);
                return Err(match error.class() {
                    Class::Operator => error.hint(format!(
                        "grant the user of [ledger] url the trigger privilege on {table}, or set trigger = false in [teams]: then the table is asked"
                    )),
                    _ => error,
                });
            }
            if Instant::now() >= until {
                return Err(Error::new(
                    Class::Later,
                    format!(
                        "failed to {doing}: for {} s somebody was always at work on the table, a transaction that changed rows or a vacuum",
                        TRY_FOR.as_secs()
                    ),
                )
                .caused_by(Said(error))
                .hint("run prefill migrate again when that is over; pg_stat_activity shows it"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn found(&self, teams: &OtherTeams) -> Result<Found> {
        let statement = Statement::new(text!(include_str!("sql/postgres/trigger.sql")))
            .bind(self.schema())
            .bind(&teams.quoted);
        let rows = self
            .database
            .rows("look for the trigger", &statement)
            .await?;
        let mut found = Found::default();
        let mut here = 0;
        for row in &rows {
            found.function = true;
            found.current = row.get::<Option<String>>("definition")? == Some(self.digest(teams));
            if let Some(trigger) = row.get::<Option<String>>("trigger")? {
                let at_work = row.get::<bool>("at_work")?;
                here += usize::from(at_work && row.get::<bool>("here")?);
                found.triggers.push((row.get("on_table")?, trigger));
            }
        }
        found.current &= here == self.trigger_names().len() && found.triggers.len() == here;
        Ok(found)
    }

    fn function(&self) -> String {
        format!("\"{}\".signal_other_team", self.schema())
    }

    /// The triggers go with their function: to drop one by itself takes the owner of the table, and
    /// prefill's user may only be one who was granted the trigger privilege.
    fn removal(&self) -> String {
        format!("drop function {}() cascade;\n", self.function())
    }

    fn trigger_names(&self) -> [String; 3] {
        ["insert", "update", "delete"].map(|event| format!("{}_{event}", self.schema()))
    }

    fn digest(&self, teams: &OtherTeams) -> String {
        format!(
            "prefill {}",
            super::postgres::digest(&self.definition(teams))
        )
    }

    /// The function and the triggers, as statements.
    fn definition(&self, teams: &OtherTeams) -> String {
        let changed: Vec<String> = teams
            .relevant
            .iter()
            .map(|column| format!("old.{column} is distinct from new.{column}"))
            .collect();
        let [inserted, updated, deleted] = self.trigger_names();
        include_str!("sql/postgres/signal_other_team.sql.in")
            .replace("{function}", &self.function())
            .replace("{schema}", self.schema())
            .replace("{channel}", &self.channel())
            .replace("{id}", &teams.id)
            .replace("{is_on}", &teams.enabled.is_on("new"))
            .replace("{was_on}", &teams.enabled.is_on("old"))
            .replace("{table}", &teams.quoted)
            .replace("{inserted}", &inserted)
            .replace("{updated}", &updated)
            .replace("{deleted}", &deleted)
            .replace("{changed}", &changed.join(" or "))
    }
}

fn removing(found: &Found) -> String {
    if found.triggers.is_empty() {
        return "take the function of the triggers away".to_owned();
    }
    let triggers: Vec<String> = found
        .triggers
        .iter()
        .map(|(table, trigger)| format!("{trigger} on {table}"))
        .collect();
    format!("take the triggers {} away", triggers.join(", "))
}
