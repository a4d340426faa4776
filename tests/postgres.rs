//! A ledger in Postgres, beside an application whose teams table prefill watches: what the application
//! does is noticed, and prefill is never in its way.
//!
//! Needs the cluster of `tests/with_postgres`. No warehouse: what is noticed is planned and not filled.

#[path = "support/ledger.rs"]
mod ledger;
#[path = "support/midnight.rs"]
mod midnight;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ledger::{cluster, new_database, psql};
use prefill::calendar::TeamId;
use prefill::config::{Config, DEFAULT_WAREHOUSE, Teams};
use prefill::error::Class;
use prefill::ledger::{Extent, Ledger, Notice};
use prefill::reconcile;
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, PgConnection};

/// An application's database, and prefill's installation beside it.
struct Deployment {
    url: String,
    config: Config,
    dir: tempfile::TempDir,
}

/// Some columns that have nothing to do with prefill.
fn other_columns() -> String {
    (1..=95)
        .map(|number| match number % 3 {
            0 => format!("option_{number} boolean not null default false, "),
            1 => format!("option_{number} jsonb default '{{\"a\": [1, 2]}}', "),
            _ => format!("option_{number} text default 'a text of some length', "),
        })
        .collect()
}

impl Deployment {
    /// With teams 1 to 3 of the organization Acme, all off, in a table of 101 columns that has triggers of
    /// its own; nothing of prefill's is there yet.
    fn new() -> Self {
        midnight::clear_of_midnight();
        let url = new_database();
        psql(
            &url,
            &format!(
                "create table posthog_organization (id uuid primary key, name varchar(64) not null);
                 create table posthog_team (
                    id serial primary key,
                    organization_id uuid not null references posthog_organization (id),
                    name varchar(200) not null default '',
                    timezone varchar(240) not null default 'UTC',
                    web_analytics_pre_aggregated_tables_enabled boolean,
                    {}
                    updated_at timestamptz not null default now());
                 create table audit (team_id integer, at timestamptz default now());
                 create function audit_team() returns trigger language plpgsql as $$
                    begin insert into audit (team_id) values (new.id); return new; end $$;
                 create trigger audit before update on posthog_team for each row execute function audit_team();
                 create trigger audit_later after update on posthog_team for each row execute function audit_team();
                 insert into posthog_organization values ('00000000-0000-0000-0000-000000000001', 'Acme');
                 insert into posthog_team (organization_id, name, timezone)
                 select '00000000-0000-0000-0000-000000000001', 'Team ' || n, 'UTC' from generate_series(1, 3) n",
                other_columns()
            ),
        );
        let mut config = Config {
            teams: Some(Teams::default()),
            ..Config::default()
        };
        config.ledger.url = Some(url.clone().into());
        Self {
            url,
            config,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    async fn migrate(&self) -> Ledger {
        let (ledger, _) = Ledger::migrate(self.dir.path(), &self.config)
            .await
            .expect("migrated");
        ledger.install_trigger().await.expect("installed");
        ledger
    }

    fn sql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("connected")
    }

    /// What a running `prefill serve` does when it has noticed something.
    async fn look(&self, ledger: &Ledger) {
        while let Some(signals) = ledger.signals().await.expect("read") {
            reconcile::some(ledger, &self.config, &signals.teams, Timestamp::now())
                .await
                .expect("planned");
            ledger.forget_signals(&signals).await.expect("forgotten");
        }
    }

    /// How many slices a team wants, and how many runs it has had.
    async fn planned(&self, ledger: &Ledger, team: i64) -> (usize, usize) {
        let slices = ledger.slices(TeamId(team)).await.expect("slices").len();
        let runs = ledger.runs(None, None, 100_000).await.expect("runs");
        let runs = runs.iter().filter(|run| run.team_id == TeamId(team));
        (slices, runs.count())
    }

    fn signals(&self) -> String {
        self.sql("select count(*) from prefill.signals")
    }

    /// The program, with the configuration in a file.
    fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_as(&self.url, arguments)
    }

    /// The same, as the user of another address.
    fn cli_as(&self, url: &str, arguments: &[&str]) -> Output {
        std::fs::write(self.dir.path().join("prefill.toml"), "[teams]\n").expect("written");
        Command::new(env!("CARGO_BIN_EXE_prefill"))
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(arguments)
            .env("PREFILL_LEDGER_URL", url)
            .stdin(Stdio::null())
            .output()
            .expect("the program ran")
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }
}

const ON: &str = "web_analytics_pre_aggregated_tables_enabled = true";
const OFF: &str = "web_analytics_pre_aggregated_tables_enabled = false";

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.expect("done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trigger_is_put_on_a_table_whose_rows_the_application_holds_and_the_application_does_not_wait()
 {
    let deployment = Deployment::new();
    let mut holding = deployment.connect().await;
    run(&mut holding, "begin").await;
    run(
        &mut holding,
        "update posthog_team set name = 'Held' where id = 1",
    )
    .await;
    let config = deployment.config.clone();
    let dir = deployment.dir.path().to_owned();
    let migrating = tokio::spawn(async move {
        let (ledger, _) = Ledger::migrate(&dir, &config).await.expect("migrated");
        ledger.install_trigger().await.expect("installed")
    });
    // Others write on, each of them in no time, as long as the trigger waits for its lock.
    let mut writing = deployment.connect().await;
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(3) {
        let one = Instant::now();
        run(
            &mut writing,
            "update posthog_team set name = 'Written' where id = 2",
        )
        .await;
        longest = longest.max(one.elapsed());
    }
    assert!(longest < Duration::from_millis(400), "waited {longest:?}");
    assert!(!migrating.is_finished(), "a row was held all the time");
    run(&mut holding, "commit").await;
    let committed = Instant::now();
    let done = migrating.await.expect("no panic");
    assert_eq!(
        done,
        ["put the triggers prefill_insert, prefill_update, prefill_delete on public.posthog_team"]
    );
    assert!(
        committed.elapsed() < Duration::from_secs(3),
        "{:?}",
        committed.elapsed()
    );
    // The application's own triggers are as they were: two for each change.
    let audited = deployment.sql("select count(*) from audit where team_id = 3");
    deployment.sql(&format!("update posthog_team set {ON} where id = 3"));
    assert_eq!(
        (
            audited.as_str(),
            deployment
                .sql("select count(*) from audit where team_id = 3")
                .as_str()
        ),
        ("0", "2")
    );
    assert_eq!(deployment.signals(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_locked_and_not_changed_do_not_keep_the_trigger_waiting() {
    let deployment = Deployment::new();
    let mut holding = deployment.connect().await;
    run(&mut holding, "begin").await;
    run(&mut holding, "select * from posthog_team for update").await;
    let begun = Instant::now();
    let ledger = deployment.migrate().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // Nor does anything else of prefill's wait for them.
    assert_eq!(ledger.notice().await.expect("asked"), Notice::Trigger);
    reconcile::all(&ledger, &deployment.config, Timestamp::now())
        .await
        .expect("looked");
    run(&mut holding, "commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_f2_every_kind_of_change_is_noticed_once_and_a_rollback_is_not() {
    let deployment = Deployment::new();
    let ledger = deployment.migrate().await;
    // The application has no rights on anything of prefill's.
    let role = format!("application_{}", uuid::Uuid::new_v4().simple());
    deployment.sql(&format!("create role {role} login; grant all on all tables in schema public to {role}; grant all on all sequences in schema public to {role}"));
    let saved = |change: &str, where_: &str| {
        // As an object mapper saves: every column, most of them as they were.
        deployment.sql(&format!(
            "set role {role}; update posthog_team set {change}, option_1 = option_1, option_2 = option_2, updated_at = now() where {where_}"
        ));
    };

    saved("name = 'Another name'", "id = 1");
    assert_eq!(
        deployment.signals(),
        "0",
        "nothing that matters has changed"
    );

    saved(ON, "id = 1");
    deployment.look(&ledger).await;
    assert_eq!(deployment.planned(&ledger, 1).await, (8, 1));
    assert_eq!(deployment.signals(), "0");

    saved(ON, "id = 1");
    saved("timezone = timezone", "id = 1");
    assert_eq!(deployment.signals(), "0", "it was on already");

    deployment.sql(&format!(
        "begin; update posthog_team set {ON} where id = 2; rollback"
    ));
    deployment.look(&ledger).await;
    assert_eq!(deployment.planned(&ledger, 2).await, (0, 0));

    deployment.sql(&format!("set role {role}; insert into posthog_team (id, organization_id, name, timezone, web_analytics_pre_aggregated_tables_enabled) values (50, '00000000-0000-0000-0000-000000000001', 'Born on', 'Asia/Kolkata', true)"));
    deployment.look(&ledger).await;
    assert_eq!(deployment.planned(&ledger, 50).await, (8, 1));
    let team = ledger.team(TeamId(50)).await.expect("the team");
    assert_eq!(
        (
            team.organization.as_str(),
            team.timezone.as_str(),
            team.enabled
        ),
        ("Acme", "Asia/Kolkata", true)
    );

    // A storm while prefill is down: the last setting wins, and on, off and on is one run.
    for _ in 0..3 {
        saved(ON, "id in (2, 3)");
        saved(OFF, "id in (2, 3)");
    }
    saved(ON, "id = 2");
    drop(ledger);
    let ledger = Ledger::open(deployment.dir.path(), &deployment.config)
        .await
        .expect("opened");
    deployment.look(&ledger).await;
    assert_eq!(deployment.planned(&ledger, 2).await, (8, 1));
    assert_eq!(deployment.planned(&ledger, 3).await, (0, 0));

    // Off and on again, each of them noticed: a run for each turn.
    saved(OFF, "id = 2");
    deployment.look(&ledger).await;
    let held = "select count(*) from prefill.slices where held = 1 and team_id = ";
    assert_eq!(deployment.sql(&format!("{held} 2")), "8");
    saved(ON, "id = 2");
    deployment.look(&ledger).await;
    assert_eq!(deployment.sql(&format!("{held} 2")), "0");
    assert_eq!(deployment.planned(&ledger, 2).await, (8, 2));
    // And looking at everything again changes nothing.
    for _ in 0..2 {
        reconcile::all(&ledger, &deployment.config, Timestamp::now())
            .await
            .expect("looked");
    }
    assert_eq!(deployment.planned(&ledger, 2).await, (8, 2));

    saved("timezone = 'Asia/Tokyo'", "id = 2");
    deployment.look(&ledger).await;
    let zones = "select distinct timezone from prefill.slices where team_id = 2 and state = 'wanted' and reason = 'time zone changed'";
    assert_eq!(deployment.sql(zones), "Asia/Tokyo");

    deployment.sql("delete from posthog_team where id = 50");
    deployment.look(&ledger).await;
    assert_eq!(deployment.sql(&format!("{held} 50")), "8");
    deployment.sql(&format!("drop owned by {role}; drop role {role}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_teams_turned_on_by_one_statement_are_one_notification_and_planned_in_seconds()
{
    let deployment = Deployment::new();
    deployment.sql("insert into posthog_team (organization_id, name) select '00000000-0000-0000-0000-000000000001', 'Team ' || n from generate_series(4, 10000) n");
    let ledger = deployment.migrate().await;
    let mut listener = PgListener::connect(&deployment.url)
        .await
        .expect("connected");
    listener.listen("prefill_prefill").await.expect("listening");
    let ids: Vec<String> = (1..=10_000).map(|id| id.to_string()).collect();
    let begun = Instant::now();
    deployment.sql(&format!(
        "update posthog_team set {ON} where id in ({})",
        ids.join(", ")
    ));
    println!("the statement took {:?}", begun.elapsed());
    listener.recv().await.expect("told");
    let more = tokio::time::timeout(Duration::from_millis(300), listener.recv()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(deployment.signals(), "10000");
    let begun = Instant::now();
    deployment.look(&ledger).await;
    let elapsed = begun.elapsed();
    println!("planned in {elapsed:?}");
    assert_eq!(
        deployment.sql("select count(*) from prefill.slices"),
        "80000"
    );
    assert_eq!(
        deployment.sql("select count(*), count(distinct team_id) from prefill.runs"),
        "10000|10000"
    );
    assert_eq!(
        deployment.sql("select count(*) from prefill.run_slices"),
        "80000"
    );
    // Without optimisation and beside other tests; `make bench-ledger` measures it.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_fails_does_not_fail_the_application_and_the_change_is_found_all_the_same() {
    let deployment = Deployment::new();
    let ledger = deployment.migrate().await;
    deployment.sql("alter table prefill.signals rename to gone");
    deployment.sql(&format!("update posthog_team set {ON} where id = 1"));
    deployment.sql("alter table prefill.gone rename to signals");
    assert_eq!(deployment.signals(), "0");
    reconcile::all(&ledger, &deployment.config, Timestamp::now())
        .await
        .expect("looked");
    assert_eq!(deployment.planned(&ledger, 1).await, (8, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trigger_asking_the_table_notices_the_same_changes() {
    let mut deployment = Deployment::new();
    deployment.config.teams = Some(Teams {
        trigger: false,
        poll_ms: 100,
        ..Teams::default()
    });
    let ledger = deployment.migrate().await;
    assert_eq!(
        ledger.notice().await.expect("asked"),
        Notice::Poll(Duration::from_millis(100))
    );
    assert_eq!(
        deployment.sql("select count(*) from pg_trigger where tgname like 'prefill%'"),
        "0"
    );
    let polled = async |ledger: &Ledger| {
        let found = ledger.poll_teams().await.expect("asked");
        deployment.look(ledger).await;
        found
    };
    assert_eq!(polled(&ledger).await, 0);
    deployment.sql(&format!("update posthog_team set {ON} where id in (1, 2)"));
    deployment.sql(&format!(
        "begin; update posthog_team set {ON} where id = 3; rollback"
    ));
    deployment.sql("insert into posthog_team (id, organization_id, name, web_analytics_pre_aggregated_tables_enabled) values (50, '00000000-0000-0000-0000-000000000001', 'Born on', true)");
    assert_eq!(polled(&ledger).await, 3);
    for team in [1, 2, 50] {
        assert_eq!(deployment.planned(&ledger, team).await, (8, 1));
    }
    assert_eq!(deployment.planned(&ledger, 3).await, (0, 0));
    assert_eq!(polled(&ledger).await, 0, "what was seen is no change");

    deployment.sql(&format!("update posthog_team set {OFF} where id = 1"));
    deployment.sql("update posthog_team set timezone = 'Asia/Tokyo' where id = 2");
    deployment.sql("delete from posthog_team where id = 50");
    assert_eq!(polled(&ledger).await, 3);
    let held = "select string_agg(distinct team_id::text, ' ' order by team_id::text) from prefill.slices where held = 1";
    assert_eq!(deployment.sql(held), "1 50");
    assert_eq!(
        deployment.sql("select distinct timezone from prefill.slices where team_id = 2"),
        "Asia/Tokyo"
    );
    assert_eq!(polled(&ledger).await, 0);

    deployment.sql(&format!("update posthog_team set {ON} where id = 1"));
    assert_eq!(polled(&ledger).await, 1);
    assert_eq!(deployment.planned(&ledger, 1).await, (8, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_it_would_do_does_it_once_and_takes_the_trigger_away() {
    let deployment = Deployment::new();
    let check = deployment.told(&["migrate", "--check"]);
    assert!(check.contains("would make version 1 (ledger)"), "{check}");
    assert!(check.contains("would put the triggers prefill_insert, prefill_update, prefill_delete on public.posthog_team"), "{check}");
    let schemas = "select count(*) from pg_namespace where nspname = 'prefill'";
    assert_eq!(deployment.sql(schemas), "0", "nothing was changed");

    let ledger = deployment.migrate().await;
    let check = deployment.told(&["migrate", "--check"]);
    assert!(check.contains("nothing to do"), "{check}");
    let json: serde_json::Value =
        serde_json::from_str(&deployment.told(&["migrate", "--check", "--json"])).expect("JSON");
    assert_eq!(json["would_do"], serde_json::json!([]));
    assert_eq!(
        ledger.install_trigger().await.expect("asked"),
        Vec::<String>::new()
    );
    // Somebody disabled one of the triggers; another column is the setting now.
    deployment.sql("alter table posthog_team disable trigger prefill_update");
    assert_ne!(ledger.notice().await.expect("asked"), Notice::Trigger);
    assert_eq!(ledger.install_trigger().await.expect("installed").len(), 1);
    assert_eq!(ledger.notice().await.expect("asked"), Notice::Trigger);
    let mut config = deployment.config.clone();
    config.teams = Some(Teams {
        enabled: "option_3".to_owned(),
        ..Teams::default()
    });
    let other = Ledger::open(deployment.dir.path(), &config)
        .await
        .expect("opened");
    assert_ne!(other.notice().await.expect("asked"), Notice::Trigger);
    assert_eq!(other.install_trigger().await.expect("installed").len(), 1);
    deployment.sql("update posthog_team set option_3 = true where id = 1");
    assert_eq!(deployment.signals(), "1");

    let undone = deployment.told(&["migrate", "--undo"]);
    assert!(
        undone.contains("prefill_update on public.posthog_team"),
        "{undone}"
    );
    for left in [
        "select count(*) from pg_trigger where tgname like 'prefill%'",
        "select count(*) from pg_proc where proname = 'signal_other_team'",
    ] {
        assert_eq!(deployment.sql(left), "0");
    }
    assert_eq!(
        deployment.sql(schemas),
        "1",
        "the record of what was filled stays"
    );
    let again = deployment.told(&["migrate", "--undo"]);
    assert!(again.contains("has no trigger"), "{again}");
    assert!(matches!(
        ledger.notice().await.expect("asked"),
        Notice::PollForLackOfTrigger(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_another_table_the_commands_change_the_setting_and_nothing_else() {
    let deployment = Deployment::new();
    deployment.migrate().await;
    deployment.sql("create table before as select * from posthog_team");
    let told = deployment.told(&["enable", "--team-id", "2"]);
    assert!(
        told.contains("team 2 (Team 2) has the setting on"),
        "{told}"
    );
    assert!(
        deployment
            .told(&["enable", "--team-id", "2"])
            .contains("already")
    );
    let list = deployment.told(&["team", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list["teams"][1]["enabled"], true);
    assert_eq!(list["teams"][1]["organization"], "Acme");
    deployment.told(&["disable", "--team-id", "2"]);
    let changed = "select count(*) from posthog_team t join before b using (id) where t.id <> 2 and (to_jsonb(t) - 'web_analytics_pre_aggregated_tables_enabled') is distinct from (to_jsonb(b) - 'web_analytics_pre_aggregated_tables_enabled')";
    assert_eq!(deployment.sql(changed), "0");
    for arguments in [
        vec!["team", "add", "--team-id", "9", "--name", "New"],
        vec!["team", "set", "--team-id", "1", "--name", "Other"],
    ] {
        let refused = deployment.cli(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains("public.posthog_team") && said.contains("hint:"),
            "{said}"
        );
    }
    let unknown = deployment.cli(&["enable", "--team-id", "999"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_of_a_teams_table_is_named() {
    let deployment = Deployment::new();
    let open = async |teams: Teams| {
        let mut config = deployment.config.clone();
        config.teams = Some(teams);
        let error = Ledger::open(deployment.dir.path(), &config)
            .await
            .expect_err("refused");
        assert_eq!(error.class(), Class::Operator, "{}", error.chain());
        assert!(error.next_step().is_some());
        error.chain()
    };
    let table = Teams {
        table: "team".to_owned(),
        ..Teams::default()
    };
    assert!(open(table).await.contains("there is no table public.team"));
    let column = Teams {
        timezone: "zone".to_owned(),
        ..Teams::default()
    };
    assert!(
        open(column)
            .await
            .contains("public.posthog_team has no column zone")
    );
    let kind = Teams {
        enabled: "name".to_owned(),
        ..Teams::default()
    };
    assert!(open(kind).await.contains("of the type character varying"));
}

#[test]
fn privileges_that_are_missing_are_named_all_at_once_before_anything_is_made() {
    let deployment = Deployment::new();
    let role = format!("prefill_{}", uuid::Uuid::new_v4().simple());
    deployment.sql(&format!("create role {role} login"));
    let url = deployment
        .url
        .replace("://postgres@", &format!("://{role}@"));
    let json = |arguments: &[&str]| {
        let told = deployment.cli_as(&url, arguments).stdout;
        serde_json::from_slice::<serde_json::Value>(&told).expect("JSON")
    };
    let lacks = |what: &str, hint: &str| {
        for asked in [
            &["migrate", "--check", "--json"][..],
            &["migrate", "--json"],
        ] {
            let said = json(asked);
            let error = said["error"].as_str().expect("an error");
            let (user, lacks) = error
                .split_once(" lacks privileges at postgres ")
                .unwrap_or_else(|| panic!("{asked:?}: {said}"));
            assert_eq!(user, format!("the user {role}"));
            assert!(lacks.ends_with(&format!(": {what}")), "{asked:?}: {said}");
            assert_eq!(said["hint"], hint);
        }
        let schemas = "select count(*) from pg_namespace where nspname = 'prefill'";
        deployment.sql(schemas)
    };
    let or_poll = "; or set trigger = false in [teams]: then the table is asked";
    let none = lacks(
        "create on the database, for the schema prefill, select on public.posthog_team, trigger on public.posthog_team",
        &format!(
            "create schema prefill authorization {role}; grant select on public.posthog_team to {role}; grant trigger on public.posthog_team to {role}{or_poll}"
        ),
    );
    assert_eq!(none, "0", "nothing was made");
    deployment.sql(&format!(
        "create schema prefill; grant usage on schema prefill to {role};
         grant select (id, name, timezone, organization_id), trigger on posthog_team to {role}"
    ));
    let setting = "select (web_analytics_pre_aggregated_tables_enabled) on public.posthog_team";
    lacks(
        &format!("create on schema prefill, {setting}"),
        &format!("grant create on schema prefill to {role}; grant {setting} to {role}"),
    );

    deployment.sql(&format!("grant create on schema prefill to {role}"));
    deployment.sql(&format!("grant {setting} to {role}"));
    assert_eq!(json(&["migrate", "--check", "--json"])["status"], "checked");
    let done = json(&["migrate", "--json"])["done"].to_string();
    assert!(done.contains("put the triggers"), "{done}");

    // What is taken away later is told as Postgres says it, without a line of its own source.
    deployment.sql(&format!("revoke {setting} from {role}"));
    let said = json(&["team", "list", "--json"]);
    let error = said["error"].as_str().expect("an error");
    assert!(
        error.ends_with("permission denied for table posthog_team"),
        "{error}"
    );
    let hint = "grant what it names to the user of [ledger] url, or name another user there";
    assert_eq!(said["hint"], hint);
}

/// Who waits has looked for the schema before (for its privileges), and Postgres keeps that answer; as it
/// would keep all that was there before the wait, where that is the database's default.
#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_another_migration_sees_what_it_made() {
    let deployment = Deployment::new();
    let database = deployment.sql("select quote_ident(current_database())");
    deployment.sql(&format!(
        "alter database {database} set default_transaction_isolation = 'serializable'"
    ));
    let mut other = deployment.connect().await;
    let lock = "begin isolation level read committed; select pg_advisory_xact_lock(hashtextextended('prefill:prefill:migrate', 0))";
    sqlx::raw_sql(lock)
        .execute(&mut other)
        .await
        .expect("locked");
    let (dir, config) = (deployment.dir.path().to_owned(), deployment.config.clone());
    let migrating = tokio::spawn(async move { Ledger::migrate(&dir, &config).await });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                 and database = (select oid from pg_database where datname = current_database())";
    let deadline = Instant::now() + Duration::from_secs(30);
    while deployment.sql(waits) != "1" {
        assert!(Instant::now() < deadline, "it waits for the other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::raw_sql("create schema prefill; commit")
        .execute(&mut other)
        .await
        .expect("made");
    let (ledger, _) = migrating.await.expect("no panic").expect("migrated");
    ledger
        .slices(TeamId(1))
        .await
        .expect("its tables are there");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_migrate_at_once_and_an_older_or_a_newer_version_is_told_from_this_one() {
    let deployment = Deployment::new();
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let (dir, config) = (deployment.dir.path().to_owned(), deployment.config.clone());
            tokio::spawn(async move {
                let (ledger, _) = Ledger::migrate(&dir, &config).await.expect("migrated");
                ledger.install_trigger().await.expect("installed");
            })
        })
        .collect();
    for migrating in migrating {
        migrating.await.expect("no panic");
    }
    let newest = deployment.sql("select count(*) from prefill.migrations");
    deployment.sql(
        "insert into prefill.migrations (version, name, digest) values (99, 'of the future', '')",
    );
    let newer = deployment.cli(&["list"]);
    assert_eq!(newer.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&newer.stderr).contains("another version of prefill"));
    deployment.sql("delete from prefill.migrations where version = 99");
    deployment.sql(&format!(
        "delete from prefill.migrations where version = {newest}"
    ));
    let older = deployment.cli(&["list"]);
    assert_eq!(older.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&older.stderr)
            .contains("hint: stop the processes of the older prefill, then run prefill migrate")
    );
}

/// A PgBouncer in transaction mode before the cluster, gone at the end.
struct Pooler {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Pooler {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))
            .expect("open to all");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let socket = std::env::var("PREFILL_TEST_POSTGRES_DIR").expect("a cluster");
        let behind = std::env::var("PREFILL_TEST_POSTGRES_PORT").expect("a cluster");
        let ini = dir.path().join("pgbouncer.ini");
        std::fs::write(
            &ini,
            format!(
                "[databases]\n* = host={socket} port={behind} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 4\nunix_socket_dir =\n"
            ),
        )
        .expect("written");
        let program = std::env::var("PREFILL_TEST_PGBOUNCER").expect("a cluster");
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .arg(ini)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer runs");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, dir, port }
    }

    fn url(&self, of: &str) -> String {
        let (_, name) = of.split_once("/prefill_").expect("a database");
        let name = name.split('?').next().expect("a name");
        format!("postgres://postgres@127.0.0.1:{}/prefill_{name}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.dir.path().to_path_buf());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_pgbouncer_in_transaction_mode_everything_works_and_listening_is_replaced_by_asking()
{
    let mut deployment = Deployment::new();
    let pooler = Pooler::new();
    let direct = deployment.url.clone();
    deployment.url = pooler.url(&direct);
    deployment.config.ledger.url = Some(deployment.url.clone().into());
    let ledger = deployment.migrate().await;
    let mut watch = ledger.watch().await.expect("watched");
    assert!(watch.wait(Duration::from_secs(10)).await.expect("waited"));
    // More at once than the pooler has connections: each transaction may get any of them.
    deployment.sql(&format!("update posthog_team set {ON}"));
    deployment.look(&ledger).await;
    let claiming: Vec<_> = (0..8)
        .map(|worker| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let owner = format!("worker {worker}");
                let mut slices = 0;
                for _ in 0..20 {
                    let claim = ledger
                        .claim(&owner, Duration::from_secs(60), 2, "default", None)
                        .await
                        .expect("claimed");
                    let Some(claim) = claim else { continue };
                    for slice in &claim.slices {
                        let filled = (slice.clone(), prefill::ledger::Receipt::default());
                        let recorded = ledger.record(&claim, &[filled]).await;
                        slices += recorded.expect("recorded").len();
                    }
                }
                slices
            })
        })
        .collect();
    let mut slices = 0;
    for claiming in claiming {
        slices += claiming.await.expect("no panic");
    }
    assert_eq!(slices, 24);
    let begun = Instant::now();
    assert!(watch.wait(Duration::from_secs(10)).await.expect("waited"));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "asked every 500 ms"
    );
    watch.close().await.expect("closed");
    let told = deployment.told(&["team", "list"]);
    assert!(told.contains("Team 2"), "{told}");
    deployment.told(&["migrate", "--undo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_hears_of_changes_at_once_and_again_after_its_connection_was_broken() {
    let deployment = Deployment::new();
    let ledger = deployment.migrate().await;
    let mut watch = ledger.watch().await.expect("watched");
    assert!(
        watch.wait(Duration::ZERO).await.expect("waited"),
        "at first"
    );
    assert!(
        !watch
            .wait(Duration::from_millis(200))
            .await
            .expect("waited"),
        "silence"
    );
    for round in 0..2 {
        let sql = "update posthog_team set web_analytics_pre_aggregated_tables_enabled = not coalesce(web_analytics_pre_aggregated_tables_enabled, false) where id = 1";
        let url = deployment.url.clone();
        let changing = std::thread::spawn(move || psql(&url, sql));
        assert!(
            watch.wait(Duration::from_secs(5)).await.expect("waited"),
            "round {round}"
        );
        changing.join().expect("changed");
        deployment.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'",
        );
        // Whatever it missed meanwhile is looked at: it says so, once it listens again.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !matches!(watch.wait(Duration::from_secs(1)).await, Ok(true)) {
            assert!(Instant::now() < deadline);
        }
        while watch
            .wait(Duration::from_millis(100))
            .await
            .expect("waited")
        {
            assert!(Instant::now() < deadline);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_with_odd_passwords_sockets_and_certificates_work_and_no_password_is_told() {
    let deployment = Deployment::new();
    let dir = PathBuf::from(std::env::var("PREFILL_TEST_POSTGRES_DIR").expect("a cluster"));
    let port = std::env::var("PREFILL_TEST_POSTGRES_PORT").expect("a cluster");
    let (_, name) = deployment.url.split_once("/prefill_").expect("a database");
    let name = format!("prefill_{}", name.split('?').next().expect("a name"));
    let user = name.replace("prefill_", "user_");
    let password = "p@ss/w:rd?#%20 &ü";
    psql(
        &cluster(),
        &format!("create role {user} superuser login password '{password}'"),
    );
    let encoded = "p%40ss%2Fw%3Ard%3F%23%2520%20%26%C3%BC";
    let at =
        |host: &str, more: &str| format!("postgres://{user}:{encoded}@{host}:{port}/{name}{more}");
    let ca = dir.join("ca.pem").display().to_string();
    let other_ca = dir.join("other-ca.pem").display().to_string();
    let verify = |ca: &str| format!("?sslmode=verify-full&sslrootcert={ca}");
    let open = async |url: String| {
        let mut config = deployment.config.clone();
        config.ledger.url = Some(url.into());
        assert!(!format!("{config:?}").contains("p%40ss"), "{config:?}");
        Ledger::open(deployment.dir.path(), &config).await
    };
    for url in [
        at("127.0.0.1", ""),
        at("localhost", &verify(&ca)),
        at("127.0.0.1", &verify(&ca)),
        at("ignored", &format!("?host={}", dir.display())),
        format!(
            "postgres:///{name}?user={user}&password={encoded}&host={}&port={port}",
            dir.display()
        ),
    ] {
        let opened = open(url.clone()).await;
        let ledger = opened.unwrap_or_else(|error| panic!("{url}: {}", error.chain()));
        assert!(!ledger.place().contains("p@ss"), "{}", ledger.place());
        assert_eq!(ledger.teams().await.expect("teams").len(), 3);
    }
    let wrong = at("127.0.0.1", "").replace(encoded, "p%40ss-wrong");
    let nobody = format!("postgres://u:{encoded}@127.0.0.1:1/{name}");
    let no_socket = at("ignored", "?host=/nowhere/at/all");
    for (url, class) in [
        (wrong, Class::Operator),
        (at("localhost", &verify(&other_ca)), Class::Operator),
        (nobody, Class::Unreachable),
        (no_socket, Class::Unreachable),
        (
            format!("mysql://{user}:{encoded}@127.0.0.1/{name}"),
            Class::Misuse,
        ),
        (
            format!("postgres://{user}:{encoded}@127.0.0.1:no/{name}"),
            Class::Misuse,
        ),
    ] {
        let error = open(url.clone()).await.expect_err(&url);
        assert_eq!(error.class(), class, "{url}: {}", error.chain());
        let said = format!("{} {:?} {error:?}", error.chain(), error.next_step());
        assert!(error.next_step().is_some(), "{said}");
        assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
    }
    // By the program, too: one error, with a hint, and an exit code.
    let begun = Instant::now();
    let unreachable = Command::new(env!("CARGO_BIN_EXE_prefill"))
        .arg("--data-dir")
        .arg(deployment.dir.path())
        .arg("list")
        .env(
            "PREFILL_LEDGER_URL",
            format!("postgres://u:{encoded}@127.0.0.1:1/{name}"),
        )
        .output()
        .expect("the program ran");
    let said = String::from_utf8_lossy(&unreachable.stderr).into_owned();
    assert_eq!(unreachable.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: failed to reach the ledger at postgres 127.0.0.1:1/"),
        "{said}"
    );
    assert!(
        said.contains("hint:") && !said.contains("p@ss") && !said.contains("p%40"),
        "{said}"
    );
    assert!(begun.elapsed() < Duration::from_secs(15));
    psql(
        &deployment.url,
        &format!("reassign owned by {user} to postgres; drop role {user}"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_claim_that_is_being_made_in_the_moment_of_a_pause_or_a_cancel_does_not_get_what_is_stopped()
 {
    for what in ["pause", "cancel"] {
        let deployment = Deployment::new();
        let ledger = deployment.migrate().await;
        deployment.sql("update posthog_team set web_analytics_pre_aggregated_tables_enabled = true where id = 1");
        deployment.look(&ledger).await;
        let run = ledger.runs(None, None, 1).await.expect("runs").remove(0).id;

        // Claims wait with the slice that they have chosen.
        let lock = format!("hashtextextended('prefill:prefill:claim:{DEFAULT_WAREHOUSE}', 0)");
        let mut holder = deployment.connect().await;
        let hold = format!("select pg_advisory_lock({lock})");
        sqlx::query(sqlx::AssertSqlSafe(hold))
            .execute(&mut holder)
            .await
            .expect("held");
        let waiting = async |count: usize| {
            let asked = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())";
            while deployment.sql(asked) != count.to_string() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let lease = Duration::from_secs(60);
        let claim = {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let claimed = ledger.claim("test", lease, 50, DEFAULT_WAREHOUSE, None);
                claimed.await.expect("asked")
            })
        };
        waiting(1).await;
        let stop = {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                match what {
                    "pause" => ledger.pause(Extent::Task(run)).await.expect("paused"),
                    _ => drop(ledger.cancel(Extent::Task(run)).await.expect("cancelled")),
                }
            })
        };
        waiting(2).await;
        holder.close().await.expect("let go");
        let claimed = claim.await.expect("no panic");
        stop.await.expect("no panic");
        assert!(claimed.is_none(), "{what}: {claimed:?}");
        ledger.resume(Extent::Task(run)).await.expect("resumed");
        let claimed = ledger.claim("test", lease, 50, DEFAULT_WAREHOUSE, None);
        assert!(claimed.await.expect("asked").is_some(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_waits_for_any_more_ends_on_the_server_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = new_database();
    let mut config = Config::default();
    config.ledger.url = Some(url.clone().into());
    config.ledger.max_connections = 2;
    let ledger = Ledger::open(dir.path(), &config).await.expect("a ledger");
    ledger.teams().await.expect("teams");
    let mut locking = PgConnection::connect(&url).await.expect("connected");
    run(&mut locking, "begin").await;
    run(&mut locking, "lock table prefill.teams").await;
    // More of them than there are connections: none is kept by one that is over.
    for _ in 0..4 {
        let asked = tokio::time::timeout(Duration::from_millis(200), ledger.teams());
        assert!(asked.await.is_err());
    }
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let begun = Instant::now();
    while psql(&url, waiting) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(15), "they go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The lock is still held: nothing but the end of who asked has ended them.
    let refused = tokio::time::timeout(Duration::from_millis(200), ledger.teams());
    assert!(refused.await.is_err());
    run(&mut locking, "rollback").await;
    ledger.teams().await.expect("teams");
}
