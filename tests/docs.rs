//! What the documents say is so: each answer in JSON has the fields that `docs/cli-json.md` names, and no
//! others; the messages that people look up are those of the code; and links lead somewhere.

mod support;
#[path = "support/told.rs"]
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prefill::calendar::Day;
use prefill::config::{Config, DEFAULT_WAREHOUSE, Teams};
use prefill::error::Class;
use prefill::ledger::{Ledger, Outcome};
use serde_json::Value;
use support::ledger::{new_database, psql};
use support::{World, program};
use told::Told;
use uuid::Uuid;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A type, as the document writes it.
#[derive(Clone, Debug)]
enum Type {
    Text,
    Integer,
    Number,
    Boolean,
    Day,
    Instant,
    Id,
    /// Whatever its fields are.
    Object,
    /// An object that is described under a heading of its own, by the anchor.
    Of(String),
    List(Box<Type>),
    /// An object whose keys are names, or days.
    By(Box<Type>),
}

impl Type {
    fn read(written: &str) -> Self {
        if let Some(of) = written.strip_prefix("list of ") {
            return Self::List(Box::new(Self::read(of)));
        }
        for by in [" by name", " by day"] {
            if let Some(of) = written.strip_suffix(by) {
                return Self::By(Box::new(Self::read(of)));
            }
        }
        match written {
            "text" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "day" => Self::Day,
            "instant" => Self::Instant,
            "id" => Self::Id,
            "object" => Self::Object,
            link => Self::Of(
                anchor(link)
                    .unwrap_or_else(|| panic!("{link:?} is no type of the document"))
                    .to_owned(),
            ),
        }
    }
}

/// Where a link within the document leads.
fn anchor(link: &str) -> Option<&str> {
    link.split_once("](#")?.1.strip_suffix(')')
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    kind: Type,
    may_be_null: bool,
    may_be_missing: bool,
}

/// What stands under a heading.
#[derive(Debug, Default)]
struct Section {
    fields: Vec<Field>,
    /// Sections whose fields are this one's, too.
    with: Vec<String>,
    examples: Vec<Value>,
    prose: String,
}

/// `docs/cli-json.md`: what stands under each heading, by anchor, or by command where it is one's.
struct Document {
    sections: BTreeMap<String, Section>,
    /// The headings that are commands.
    commands: BTreeMap<String, String>,
}

impl Document {
    fn read() -> Self {
        let text = text(&root().join("docs/cli-json.md"));
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        let mut commands = BTreeMap::new();
        let mut section = Section::default();
        let mut name = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(heading) = line.strip_prefix("##") {
                let heading = heading.trim_start_matches('#').trim();
                sections.insert(name, std::mem::take(&mut section));
                name = slug(heading);
                if heading.starts_with('`') {
                    for command in heading.split(", ") {
                        commands.insert(command.trim_matches('`').to_owned(), name.clone());
                    }
                }
            } else if line == "```json" {
                let example: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                let example = serde_json::from_str(&example.join("\n"));
                section
                    .examples
                    .push(example.unwrap_or_else(|error| panic!("the example of {name}: {error}")));
            } else if let Some(row) = line.strip_prefix("| ") {
                section.add_row(row);
            } else if let Some(shape) = line.strip_prefix("Answers ") {
                let shape = shape.split_once(')').map(|(link, _)| format!("{link})"));
                let shape = shape.as_deref().and_then(anchor);
                section
                    .with
                    .push(shape.expect("a link to what it answers").to_owned());
            } else {
                section.prose += line;
                section.prose.push('\n');
            }
        }
        sections.insert(name, section);
        Self { sections, commands }
    }

    fn section(&self, anchor: &str) -> &Section {
        self.sections
            .get(anchor)
            .unwrap_or_else(|| panic!("docs/cli-json.md has no heading {anchor:?}"))
    }

    /// The fields of a section, with those that it has from others.
    fn fields(&self, section: &str) -> Vec<Field> {
        let section = self.section(section);
        let others = section.with.iter().flat_map(|other| self.fields(other));
        others.chain(section.fields.iter().cloned()).collect()
    }

    /// What of an object is not as the section says, each with the way to it.
    fn misfits(
        &self,
        section: &str,
        value: &Value,
        at: &str,
        seen: &mut BTreeSet<String>,
    ) -> Vec<String> {
        seen.insert(section.to_owned());
        seen.extend(self.section(section).with.iter().cloned());
        let fields = self.fields(section);
        let Some(object) = value.as_object() else {
            return vec![format!("{at} is no object: {value}")];
        };
        let mut wrong: Vec<String> = object
            .keys()
            .filter(|name| !fields.iter().any(|field| field.name == **name))
            .map(|name| format!("{at}.{name} is not in the document"))
            .collect();
        for field in &fields {
            let at = format!("{at}.{}", field.name);
            match object.get(&field.name) {
                None if field.may_be_missing => {}
                None => wrong.push(format!("{at} is not there")),
                Some(Value::Null) if field.may_be_null => {}
                Some(value) => wrong.extend(self.of_another_type(&field.kind, value, &at, seen)),
            }
        }
        wrong
    }

    fn of_another_type(
        &self,
        kind: &Type,
        value: &Value,
        at: &str,
        seen: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let text = value.as_str();
        let fits = match kind {
            Type::Text => text.is_some(),
            Type::Integer => value.is_i64() || value.is_u64(),
            Type::Number => value.is_number(),
            Type::Boolean => value.is_boolean(),
            Type::Day => text.is_some_and(|text| text.parse::<Day>().is_ok()),
            Type::Instant => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            Type::Id => text.is_some_and(|text| text.parse::<Uuid>().is_ok()),
            Type::Object => value.is_object(),
            Type::Of(section) => return self.misfits(section, value, at, seen),
            Type::List(of) => {
                let Some(list) = value.as_array() else {
                    return vec![format!("{at} is no list: {value}")];
                };
                return list
                    .iter()
                    .flat_map(|value| self.of_another_type(of, value, &format!("{at}[]"), seen))
                    .collect();
            }
            Type::By(of) => {
                let Some(object) = value.as_object() else {
                    return vec![format!("{at} is no object: {value}")];
                };
                return object
                    .values()
                    .flat_map(|value| self.of_another_type(of, value, &format!("{at}.*"), seen))
                    .collect();
            }
        };
        if fits {
            return Vec::new();
        }
        vec![format!("{at} is not of the type {kind:?}: {value}")]
    }
}

impl Section {
    fn names_fields(&self) -> bool {
        !self.fields.is_empty() || !self.with.is_empty()
    }

    fn add_row(&mut self, row: &str) {
        let cells: Vec<&str> = row.split(" |").map(str::trim).collect();
        if let Some(of) = cells[0].strip_prefix("all of ") {
            self.with
                .push(anchor(of).expect("a link to more fields").to_owned());
            return;
        }
        let Some(name) = cells[0]
            .strip_prefix('`')
            .and_then(|name| name.strip_suffix('`'))
        else {
            return;
        };
        let written = cells[1];
        let (written, may_be_missing) = match written.strip_suffix(", not always there") {
            Some(written) => (written, true),
            None => (written, false),
        };
        let (written, may_be_null) = match written.strip_suffix(" or null") {
            Some(written) => (written, true),
            None => (written, false),
        };
        self.fields.push(Field {
            name: name.to_owned(),
            kind: Type::read(written),
            may_be_null,
            may_be_missing,
        });
    }
}

/// The anchor that a heading has where Markdown is shown.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// An installation that is asked, and the document that says what is answered.
struct Asked<'w> {
    world: &'w World,
    document: Document,
    /// The sections that an answer was held against.
    seen: BTreeSet<String>,
}

impl Asked<'_> {
    /// Holds the answer of a command, which ends with `code`, against the section of that name.
    fn answer(&mut self, section: &str, words: &[&str], code: i32) -> Value {
        let mut command = self.world.command(words);
        command.env("PREFILL_ALERT_WEBHOOK_SECRET", "a secret");
        self.answer_of(section, command.arg("--json"), code)
    }

    fn answer_of(&mut self, section: &str, command: &mut Command, code: i32) -> Value {
        let told = Told::from(command.output().expect("the program ran"));
        assert_eq!(told.code, Some(code), "{told:?}");
        let answer = told.json();
        let anchor = self.document.commands.get(section);
        let anchor = anchor.map_or(section, String::as_str).to_owned();
        let wrong = self
            .document
            .misfits(&anchor, &answer, section, &mut self.seen);
        assert!(
            wrong.is_empty(),
            "docs/cli-json.md is not what {section} answers:\n{}",
            wrong.join("\n")
        );
        answer
    }
}

const FIRST: &str = "2026-05-01";
const SECOND: &str = "2026-05-02";
const THIRD: &str = "2026-05-03";

/// Two days of page views, one line each that has too much, too little, and nothing to read.
const EVENTS: &str = r#"{"uuid":"00000000-0000-0000-0000-000000000001","event":"$pageview","team_id":7,"distinct_id":"a","session_id":"s1","timestamp":"2026-05-01T10:00:00Z","pathname":"/"}
{"uuid":"00000000-0000-0000-0000-000000000002","event":"$pageview","team_id":7,"distinct_id":"a","session_id":"s1","timestamp":"2026-05-01T10:00:20Z","pathname":"/pricing","colour":"red"}
{"uuid":"00000000-0000-0000-0000-000000000003","event":"$pageview","team_id":7,"distinct_id":"b","session_id":"s2","timestamp":"2026-05-02T10:00:00Z","pathname":"/","viewport_width":"wide"}
no JSON
"#;

const LOG: &str = "10.0.0.1 - - [02/May/2026:11:00:00 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn f41_every_answer_in_json_has_the_fields_that_the_document_names_and_no_others() {
    let world = World::new().await;
    let document = Document::read();
    let mut asked = Asked {
        world: &world,
        document,
        seen: BTreeSet::new(),
    };
    let dir = world.dir.path();
    let file = |name: &str, text: &str| {
        fs::write(dir.join(name), text).expect("written");
        dir.join(name).to_str().expect("a path").to_owned()
    };
    let team = ["--team-id", "7"];
    let of_team = |words: &[&'static str], more: &[&'static str]| [words, &team[..], more].concat();

    asked.answer("when-it-fails", &["enable", "--team-id", "7"], 2);
    asked.answer(
        "team add",
        &of_team(&["team", "add"], &["--name", "Acme"]),
        0,
    );
    asked.answer(
        "team set",
        &of_team(&["team", "set"], &["--organization", "Org"]),
        0,
    );
    asked.answer("team list", &["team", "list"], 0);
    asked.answer("enable", &of_team(&["enable"], &[]), 0);

    let imported = asked.answer(
        "import jsonl",
        &["import", "jsonl", &file("events.jsonl", EVENTS)],
        0,
    );
    assert_eq!(imported["report"]["first_unreadable"][0]["line"], 4);
    let log = file("access.log", LOG);
    asked.answer(
        "import access-log",
        &of_team(&["import", "access-log"], &[])
            .into_iter()
            .chain([&*log])
            .collect::<Vec<_>>(),
        0,
    );

    let range = ["--date-start", FIRST, "--date-end", THIRD];
    let would = asked.answer(
        "backfill --dry-run",
        &of_team(&["backfill", "--dry-run"], &range),
        0,
    );
    assert_eq!(would["slices"].as_array().map(Vec::len), Some(2));
    let queued = asked.answer("backfill", &of_team(&["backfill", "--async"], &range), 0);
    let task = queued["task_id"].as_str().expect("an id").to_owned();
    let id: Uuid = task.parse().expect("an id");

    // A worker takes the newest day, and fails at it.
    let explain_second = of_team(&["explain", "--day", SECOND], &[]);
    let ledger = &world.prefill.ledger;
    let lease = Duration::from_secs(60);
    let claim = ledger
        .claim("test:1", lease, 1, DEFAULT_WAREHOUSE, Some(id))
        .await;
    let claim = claim.expect("asked").expect("a claim");
    let running = asked.answer("explain", &explain_second, 0);
    assert_eq!(running["situation"], "running");
    asked.answer("status TASK", &["status", &task], 0);
    let outcome = Outcome {
        wait: Duration::ZERO,
        error: Some("failed to fill team 7: no disk (hint: free some space)".to_owned()),
        class: Some(Class::Operator),
        failed: true,
        counts: true,
        waiting_for_events: false,
    };
    ledger
        .give_back(&claim, &claim.slices, &outcome)
        .await
        .expect("given back");
    // A receiver that was taken out of the configuration, while a message waited for it.
    support::ledger::plain_sql(
        dir,
        "insert into outbox (receiver, body, made_at) values ('slack.old', '{}', 0)",
    );
    // And a cleanup of another team was killed.
    support::ledger::plain_sql(
        dir,
        "insert into teams (id, name, timezone, web_analytics_pre_aggregated_tables_enabled) values (9, 'B', 'UTC', 0)",
    );
    support::ledger::plain_sql(
        dir,
        "insert into slices (team_id, day, timezone, bucket_s, until_s, partition, state, reason, held, wanted_at, filled_at) values (9, '2026-05-01', 'UTC', 1777593600, 1777680000, 20260501, 'stale', 'cleanup not ended', 1, 0, 0)",
    );
    let health = asked.answer("health", &["health"], 1);
    assert_eq!(health["teams_missing_data"][0]["team_id"], 7);
    assert_eq!(health["cleanups_not_ended"][0]["team_id"], 9);
    for table in ["slices where team_id", "teams where id"] {
        support::ledger::plain_sql(dir, &format!("delete from {table} = 9"));
    }
    assert_eq!(health["alerts_not_sent"][0]["receiver"], "slack.old");
    asked.answer("retry", &["retry", &task], 0);

    asked.answer("pause", &of_team(&["pause"], &[]), 0);
    asked.answer("pause", &["pause", "--all"], 0);
    let paused = asked.answer("explain", &explain_second, 0);
    assert_eq!(paused["stops"].as_array().map(Vec::len), Some(2));
    let resumed = asked.answer("resume", &of_team(&["resume"], &[]), 0);
    assert_eq!(resumed["still_paused_by"], "--all");
    asked.answer("resume", &["resume", "--all"], 0);

    asked.answer("backfill", &of_team(&["backfill"], &range), 0);
    let filled = asked.answer(
        "explain",
        &of_team(&["explain", "--verify", "--day", SECOND], &[]),
        0,
    );
    assert_eq!(filled["verdict"]["clean"], true);
    asked.answer("validate", &of_team(&["validate"], &range), 0);
    asked.answer("status", &["status"], 0);
    asked.answer("status TASK", &["status", &task], 0);
    asked.answer("list", &["list"], 0);
    asked.answer("metrics", &["metrics"], 0);
    asked.answer(
        "query",
        &[
            "query",
            "select count() as rows from web_pre_aggregated_stats",
        ],
        0,
    );

    // Somebody deletes what was filled.
    for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
        world
            .query(&format!("alter table {table} delete where period_bucket = '{SECOND} 00:00:00' settings mutations_sync = 1"))
            .await;
    }
    let differ = asked.answer("validate", &of_team(&["validate"], &range), 1);
    assert_eq!(differ["validation_results"]["days_that_differ"], 1);
    let health = asked.answer("health", &["health"], 1);
    assert_eq!(
        health["data_gaps_detected"][0]["days"],
        serde_json::json!([SECOND])
    );

    let cancelled = asked.answer("cancel", &of_team(&["cancel"], &[]), 0);
    assert_eq!(cancelled["tasks"].as_array().map(Vec::len), Some(1));
    asked.answer("cleanup", &of_team(&["cleanup", "--dry-run"], &range), 0);
    asked.answer("cleanup", &of_team(&["cleanup", "--yes"], &range), 0);
    asked.answer("disable", &of_team(&["disable"], &[]), 0);

    asked.answer("migrate", &["migrate"], 0);
    asked.answer("migrate --check", &["migrate", "--check"], 0);
    asked.answer("config check", &["config", "check"], 0);
    asked.answer("engine --fetch", &["engine", "--fetch"], 0);
    let nobody_listens = file(
        "alerts.toml",
        "[alerts]\nwebhook_url = \"http://127.0.0.1:1/\"\n",
    );
    asked.answer(
        "alerts test",
        &["alerts", "test", "--config", &nobody_listens],
        1,
    );
    undo_on_postgres(&mut asked).await;
    let pages = dir.join("pages");
    let pages = asked.answer(
        "man --dir",
        &["man", "--dir", pages.to_str().expect("a path")],
        0,
    );

    // The demo takes a minute: of it only the example is held against its table.
    asked
        .seen
        .extend(["demo", "loaded-events", "a-question"].map(str::to_owned));
    let sections = asked.document.sections.iter();
    let unasked: Vec<&String> = sections
        .filter(|(name, section)| section.names_fields() && !asked.seen.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert!(unasked.is_empty(), "no answer was held against {unasked:?}");
    every_command_is_there(&asked.document, &pages);
}

/// Beside an application's teams: the trigger, and what takes it away.
async fn undo_on_postgres(asked: &mut Asked<'_>) {
    let url = new_database();
    psql(
        &url,
        "create table posthog_team (id bigint primary key, name text, timezone text, web_analytics_pre_aggregated_tables_enabled boolean)",
    );
    let config = Config {
        ledger: prefill::config::Ledger {
            url: Some(url.clone().into()),
            ..Config::default().ledger
        },
        teams: Some(Teams::default()),
        ..Config::default()
    };
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("prefill.toml"), "[teams]\n").expect("written");
    let ledger = Ledger::open(dir.path(), &config).await.expect("a ledger");
    ledger.install_trigger().await.expect("installed");
    let mut undo = Command::new(program());
    undo.args(["migrate", "--undo", "--json", "--data-dir"])
        .arg(dir.path())
        .env("PREFILL_LEDGER_URL", &url);
    let undone = asked.answer_of("migrate --undo", &mut undo, 0);
    assert_eq!(undone["done"].as_array().map(Vec::len), Some(1));
}

/// By the pages of the manual: one for each command, `prefill-team-add.1`.
fn every_command_is_there(document: &Document, pages: &Value) {
    let pages = pages["files"].as_array().expect("files");
    let names: Vec<String> = pages
        .iter()
        .filter_map(|page| Path::new(page.as_str()?).file_stem()?.to_str())
        .map(|name| name.replace('-', " "))
        .collect();
    let is_group = |name: &String| {
        names
            .iter()
            .any(|other| other.starts_with(&format!("{name} ")))
    };
    let of = |name: &str| name.trim_start_matches("prefill ").to_owned();
    let commands: Vec<String> = names
        .iter()
        .filter(|name| !is_group(name))
        .map(|name| of(name))
        .collect();
    assert!(commands.len() > 25, "{commands:?}");
    let without = &document.section("without-an-answer-in-json").prose;
    for command in commands {
        // Two words of the command line are written with a hyphen.
        let written = command
            .replace("access log", "access-log")
            .replace("print default", "print-default");
        let named = document
            .commands
            .keys()
            .any(|known| known == &written || known.starts_with(&format!("{written} ")));
        assert!(
            named || without.contains(&format!("`{written}`")),
            "docs/cli-json.md does not say what prefill {written} answers"
        );
    }
}

#[test]
fn every_example_of_an_answer_fits_its_table() {
    let document = Document::read();
    let mut checked = 0;
    for (name, section) in &document.sections {
        for example in &section.examples {
            let wrong = document.misfits(name, example, name, &mut BTreeSet::new());
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
            checked += 1;
        }
        if document.commands.values().any(|of| of == name) {
            assert!(!section.examples.is_empty(), "{name} has no example");
        }
    }
    assert!(checked > 20, "only {checked} examples were found");
}

fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).expect("docs");
    let mut documents: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.extend(["README.md", "ARCHITECTURE.md"].map(|name| root().join(name)));
    documents
}

/// The anchors of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut within_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        within_code ^= line.starts_with("```");
        if !within_code && line.starts_with('#') {
            anchors.insert(slug(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let here = document.parent().expect("a directory");
        for link in text(&document).split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = match link.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (link, None),
            };
            let to = if path.is_empty() {
                document.clone()
            } else {
                here.join(path)
            };
            assert!(to.exists(), "{}: {link}", document.display());
            if let Some(anchor) = anchor {
                assert!(
                    anchors(&text(&to)).contains(anchor),
                    "{}: {link}",
                    document.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links were found");
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// In the document a message is a row's first cell in italics, and `…` stands for what differs.
#[test]
fn the_messages_that_people_look_up_are_those_of_the_code() {
    let code: String = sources(&root().join("src"))
        .iter()
        .flat_map(|path| {
            let text = text(path);
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            code.map(|line| format!("{line}\n")).collect::<Vec<_>>()
        })
        .collect();
    let document = text(&root().join("docs/troubleshooting.md"));
    let mut looked_up = 0;
    for line in document.lines() {
        let Some(message) = line
            .strip_prefix("| *")
            .and_then(|rest| rest.split("* |").next())
        else {
            continue;
        };
        for part in message
            .split('…')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            assert!(
                code.contains(part),
                "docs/troubleshooting.md has {part:?}, and the code has not"
            );
            looked_up += 1;
        }
    }
    assert!(looked_up > 30, "only {looked_up} messages were found");
}
