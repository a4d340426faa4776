//! The service, the engine, and what looks at the warehouse itself.

use serde_json::json;

use crate::cli::arguments::{Demo, Engine, Migrate, Query};

use super::{ledger, open_as_it_is, told_to_stop};
use crate::alert;
use crate::cli::{Ended, Surroundings};
use crate::demo;
use crate::engine;
use crate::error::{Class, Error, Result};
use crate::ledger::Ledger;
use crate::output::{self, line, note};
use crate::schema::{self, Store};
use crate::service::{Only, Prefill, make_data_dir};
use crate::telemetry;
use crate::web::Web;

pub(super) async fn serve(to: Surroundings) -> Result<Ended> {
    telemetry::install();
    let only = Only::take(&to.place.data_dir, &to.config)?;
    let web = Web::start(&to.place.data_dir, &to.config.http, &to.stop).await?;
    let served = async {
        let opened = Prefill::open_patiently(&to.place, to.config.clone(), &to.stop).await?;
        let Some(prefill) = opened else {
            return Ok(());
        };
        if let Some(web) = &web {
            web.answer_for(&prefill);
        }
        let ready = || web.iter().for_each(Web::announce);
        let alerting = alert::start(&prefill, &to.stop)?;
        let served = prefill.serve_as(only, to.stop.clone(), ready).await;
        alerting.end().await;
        served
    };
    let served = served.await;
    if let Some(web) = web {
        web.end().await;
    }
    served.map(|()| Ended::Well)
}

pub(super) async fn query(to: Surroundings, asked: Query) -> Result<Ended> {
    if asked.sql.trim().is_empty() {
        return Err(
            Error::misuse("the statement is empty").hint("try prefill query \"show tables\"")
        );
    }
    let prefill = open_as_it_is(&to).await?;
    let name = match (asked.team_id, &asked.warehouse) {
        (_, Some(name)) => name.clone(),
        (Some(team), None) => {
            let team = prefill.ledger.team(team).await?;
            let named = team.warehouse.as_deref();
            to.config.warehouse_of(team.id, named)?.to_owned()
        }
        (None, None) => to.config.default_warehouse.clone(),
    };
    let warehouse = prefill.warehouse(&name).await?;
    let format = match (&asked.format, to.json) {
        (Some(format), _) => format.as_str(),
        (None, true) => "JSON",
        (None, false) => "PrettyCompactMonoBlock",
    };
    let mut statement = warehouse.statement(&asked.sql, "prefill:query");
    if let Some(team) = asked.team_id {
        statement = statement.param("team_id", team.0);
    }
    let answer = tokio::select! {
        answer = statement.bytes(format, "run the statement") => answer.map_err(of_the_statement)?,
        () = to.stop.cancelled() => return Err(told_to_stop("a statement that writes may have written a part")),
    };
    output::bytes(&answer);
    Ok(Ended::Well)
}

/// What the warehouse said of somebody's own statement, without its list of every word it knows.
fn of_the_statement(error: Error) -> Error {
    if matches!(error.class(), Class::Unreachable | Class::Narrower) {
        return error;
    }
    let said = error.chain();
    let said = said.split(" Expected one of:").next().unwrap_or_default();
    Error::new(error.class(), said).hint(if said.contains("UNKNOWN_FORMAT") {
        "--format takes ClickHouse's names, such as TSV, CSVWithNames, JSONEachRow or Vertical"
    } else {
        "correct the statement; prefill query 'show tables' lists the tables"
    })
}

pub(super) async fn migrate(to: Surroundings, asked: Migrate) -> Result<Ended> {
    if asked.check {
        return check(to, asked.with_source).await;
    }
    if asked.undo {
        return undo(to).await;
    }
    make_data_dir(&to.place.data_dir)?;
    let (ledger, mut done) = Ledger::migrate(&to.place.data_dir, &to.config).await?;
    done.extend(ledger.install_trigger().await?);
    // Each step is told when it is done: a later one may fail.
    if !to.json {
        for done in &done {
            line(format!("done: {done}"));
        }
        line(format!("{}: the ledger is ready", ledger.place()));
    }
    let several = to.config.warehouses.len() > 1;
    let mut tables = Vec::new();
    for (name, config) in &to.config.warehouses {
        let (_, prepared) = Store::prepared(name, config, &to.place, asked.with_source)
            .await
            .map_err(|error| error.while_doing(format!("the warehouse {name} is not ready")))?;
        for table in prepared {
            if !to.json {
                let at = if several {
                    format!("{name}: ")
                } else {
                    String::new()
                };
                let is = if table.created {
                    "created"
                } else {
                    "there, and fits"
                };
                line(format!("{at}{}: {is}", table.table));
            }
            tables
                .push(json!({ "warehouse": name, "table": table.table, "created": table.created }));
        }
    }
    if to.json {
        output::json(
            &json!({ "status": "completed", "data_dir": to.place.data_dir, "ledger": ledger.place(), "done": done, "tables": tables }),
        )?;
    }
    Ok(Ended::Well)
}

/// What `migrate` would do to the ledger, the teams table and the warehouses. It makes nothing, so an
/// installation that is not there yet is told from its configuration alone.
async fn check(to: Surroundings, with_source: bool) -> Result<Ended> {
    let file = Ledger::file(&to.place.data_dir);
    let is_new = to.config.ledger.url()?.is_none() && !file.exists();
    let (place, missing) = if is_new {
        (
            file.display().to_string(),
            vec!["make the ledger".to_owned()],
        )
    } else {
        let (ledger, mut missing) = Ledger::check(&to.place.data_dir, &to.config).await?;
        missing.extend(ledger.check_trigger().await?);
        (ledger.place(), missing)
    };
    if !to.json {
        if missing.is_empty() {
            line(format!("{place}: nothing to do"));
        }
        for step in &missing {
            line(format!("{place}: would {step}"));
        }
    }
    let mut tables = Vec::new();
    for (name, config) in &to.config.warehouses {
        let of_one = if config.url.is_none() && !to.place.data_dir.join("clickhouse").exists() {
            Ok(vec!["the embedded ClickHouse with all tables".to_owned()])
        } else {
            schema::missing(config, &to.place, with_source).await
        };
        let of_one = of_one
            .map_err(|error| error.while_doing(format!("the warehouse {name} is not ready")))?;
        for table in of_one {
            if !to.json {
                line(format!("warehouse {name}: would create {table}"));
            }
            tables.push(json!({ "warehouse": name, "table": table }));
        }
    }
    if to.json {
        output::json(
            &json!({ "status": "checked", "ledger": place, "would_do": missing, "would_create": tables }),
        )?;
    }
    Ok(Ended::Well)
}

async fn undo(to: Surroundings) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let Some(table) = ledger.other_teams() else {
        return Err(Error::misuse(
            "there is nothing to undo: the teams are prefill's own, and no other table has a trigger",
        )
        .hint("migrate --undo is for an installation whose configuration names another table under [teams]"));
    };
    let done = ledger.remove_trigger().await?;
    if to.json {
        output::json(&json!({ "status": "completed", "ledger": ledger.place(), "done": done }))?;
        return Ok(Ended::Well);
    }
    if done.is_empty() {
        line(format!("{table} has no trigger of prefill's"));
    }
    for done in &done {
        line(format!("done: {done}"));
    }
    note(format!(
        "prefill's own tables are left ({}); a prefill serve goes on, and asks {table} for changes",
        ledger.place()
    ));
    Ok(Ended::Well)
}

pub(super) async fn demo_site(to: Surroundings, asked: Demo) -> Result<Ended> {
    let well = demo::run(&to.place, &to.config, to.json, asked.serve, &to.stop).await?;
    Ok(if well { Ended::Well } else { Ended::Badly })
}

pub(super) async fn engine_process(to: Surroundings, asked: Engine) -> Result<Ended> {
    if asked.fetch {
        let path = tokio::task::spawn_blocking(engine::fetch)
            .await
            .unwrap_or_else(|panic| {
                Err(Error::new(Class::Never, "the fetching thread died").caused_by(panic))
            })?;
        if to.json {
            output::json(&json!({ "status": "completed", "library": path }))?;
        } else {
            line(path.display().to_string());
        }
        return Ok(Ended::Well);
    }
    let options = engine::ServeOptions {
        data_dir: to.place.data_dir.clone(),
        port: asked.port,
        user: None,
        password: None,
        until_unused: asked.until_unused,
    };
    engine::serve(options, to.stop.clone()).await?;
    Ok(Ended::Well)
}
