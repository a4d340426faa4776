//! What comes from outside means harm: text that is SQL, requests without the password, bodies that
//! are none; and secrets, which nothing tells.
//!
//! The requests are made by chance. Each run prints its seed, and `PREFILL_TEST_SEED` repeats it.

mod engine_support;
mod support;
#[path = "support/told.rs"]
mod told;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use prefill::calendar::{TeamId, Zone};
use prefill::engine::Endpoint;
use prefill::event::Event;
use prefill::ledger::NewTeam;
use rustix::process::Signal;
use serde_json::Value;

use engine_support::{World as EngineWorld, alive};
use support::{World, page_view, program};
use told::{Running, Told};

/// Text that some reader on its way may take for more than text.
fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "'; drop table events; --",
        "\"; drop table teams; --",
        "`; drop table web_pre_aggregated_stats; --",
        "a\\' or 1 = 1; truncate table events; -- \\",
        "\\",
        "'",
        "{team:UInt64} {now} {rows $1} {{}} $1 ? :a @b %s %n",
        "$$; drop schema prefill cascade; $$",
        "line\nbreak\r\n\ttab",
        "\u{202e}gnirts\u{200f}\u{200e}\u{feff}",
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{8}\u{7f}",
        "\u{1f468}\u{200d}\u{1f469} é e\u{301} 日本 \u{10ffff}",
        "\\N",
        "NULL",
        "</script><img src=x onerror=alert(1)>",
        "{\"a\": [1]}",
        " spaces ",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("long' \\ \n\"".repeat(1_000));
    texts
}

/// An event all of whose text is the same.
fn event_of(team: TeamId, number: usize, text: &str) -> Event {
    let person = number as u128 + 1;
    let minute = number % 60;
    let when = format!("2026-05-01T10:{minute:02}:00Z");
    let text = || text.to_owned();
    Event {
        distinct_id: text(),
        session_id: text(),
        host: text(),
        pathname: text(),
        current_url: text(),
        device_type: text(),
        browser: text(),
        os: text(),
        referring_domain: text(),
        utm_source: text(),
        utm_medium: text(),
        utm_campaign: text(),
        utm_term: text(),
        utm_content: text(),
        gclid: text(),
        gad_source: text(),
        fbclid: text(),
        country_code: text(),
        city_name: text(),
        region_code: text(),
        region_name: text(),
        ..page_view(team, person, "", &when, "/")
    }
}

/// The rows of a statement, as JSON.
async fn rows(world: &World, sql: &str) -> Vec<Value> {
    let statement = world.store.warehouse.statement(sql, "test");
    let answer = statement.bytes("JSONEachRow", "ask").await;
    String::from_utf8(answer.expect("an answer"))
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// On standard output is nothing that a terminal obeys.
#[track_caller]
fn shows_only_text(told: &Told) {
    for said in [&told.out, &told.err] {
        let obeyed = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(obeyed, None, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_events_of_any_text_are_data_on_every_way_through() {
    let world = World::new().await;
    let range = ("2026-05-01", "2026-05-02");
    let bystander = world.team(1, "Asia/Kolkata").await;
    world.enable(bystander).await;
    let views: Vec<Event> = (0..20)
        .map(|n| {
            page_view(
                bystander,
                n % 3 + 1,
                &format!("s{}", n % 5),
                "2026-05-01T08:00:00Z",
                &format!("/{n}"),
            )
        })
        .collect();
    assert_eq!(world.insert(&views).await, 20);
    assert_eq!(
        world.fill(bystander, range.0, range.1, false).await,
        "completed"
    );
    let tables_before = world.tables().await;

    let texts = hostile_texts();
    for (number, text) in texts.iter().enumerate() {
        let team = NewTeam {
            id: TeamId(100 + number as i64),
            name: text.clone(),
            organization: text.clone(),
            zone: Zone::utc(),
            backfill_days: None,
            warehouse: None,
        };
        world.prefill.ledger.add_team(&team).await.expect("added");
    }
    // One team's events come by the library, another's from a file.
    let (by_library, by_file) = (TeamId(100), TeamId(101));
    let events = |team| {
        let texts = texts.iter().enumerate();
        texts
            .map(move |(number, text)| event_of(team, number, text))
            .collect::<Vec<_>>()
    };
    assert_eq!(world.insert(&events(by_library)).await, texts.len() as u64);
    let lines: Vec<String> = events(by_file)
        .iter()
        .map(|event| {
            let mut line = serde_json::to_value(event).expect("JSON");
            line["uuid"] = event.uuid.to_string().into();
            line["person_id"] = event.person_id.to_string().into();
            line["timestamp"] = (event.timestamp / 1_000_000).into();
            line.to_string()
        })
        .collect();
    let file = world.dir.path().join("'; drop table events; --.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("written");
    let file = file.to_str().expect("a path");
    let told = Told::from(world.cli(&["import", "jsonl", file, "--team-id", "101"])).done();
    assert!(
        told.out.contains(&format!("{} events", texts.len())),
        "{told:?}"
    );

    let expected: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    for team in [by_library, by_file] {
        world.enable(team).await;
        assert_eq!(world.fill(team, range.0, range.1, false).await, "completed");
        assert_eq!(
            world.differences(team, range.0, range.1).await,
            Vec::<String>::new()
        );
        let stored = rows(
            &world,
            &format!("select * from events where team_id = {team}"),
        )
        .await;
        assert_eq!(stored.len(), texts.len());
        for row in &stored {
            let text = row["distinct_id"].as_str().expect("text");
            assert!(expected.contains(text), "{text:?}");
            let event = serde_json::to_value(event_of(team, 0, text)).expect("JSON");
            for (name, value) in event.as_object().expect("an object") {
                if value.as_str() == Some(text) {
                    assert_eq!(row[name], *value, "{name}");
                }
            }
        }
        let rolled_up = rows(&world, &format!("select distinct host, pathname, utm_source, city_name from web_pre_aggregated_stats where team_id = {team}")).await;
        for name in ["host", "pathname", "utm_source", "city_name"] {
            let found: BTreeSet<&str> = rolled_up
                .iter()
                .filter_map(|row| row[name].as_str())
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    for command in [
        &["list"][..],
        &["team", "list"],
        &["status"],
        &["health"],
        &["metrics"],
        &["backfill", "--team-id", "100", "--dry-run"],
        &[
            "validate",
            "--team-id",
            "100",
            "--date-start",
            range.0,
            "--date-end",
            range.1,
        ],
    ] {
        let told = Told::from(world.cli(command));
        assert!(!told.err.contains("error:"), "{told:?}");
        shows_only_text(&told);
        let told = Told::from(world.cli(&[command, &["--json"]].concat()));
        shows_only_text(&told);
        told.json();
    }
    let listed = Told::from(world.cli(&["team", "list", "--json"]))
        .done()
        .json();
    let listed = listed["teams"].as_array().expect("teams");
    assert_eq!(listed.len(), texts.len() + 1);
    for (team, text) in listed[1..].iter().zip(&texts) {
        assert_eq!(team["team_name"], **text);
        assert_eq!(team["organization"], **text);
    }

    // A cleanup of one takes nothing of another, and nothing of the bystander was touched by any.
    for team in ["100", "101"] {
        Told::from(world.cli(&[
            "cleanup",
            "--yes",
            "--team-id",
            team,
            "--date-start",
            range.0,
            "--date-end",
            range.1,
        ]))
        .done();
    }
    assert_eq!(world.tables().await, tables_before);
    let left = world
        .query("select team_id, count() from events group by team_id order by team_id")
        .await;
    let each = texts.len();
    assert_eq!(left, format!("1\t20\n100\t{each}\n101\t{each}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plain_sql_puts_into_the_teams_table_is_never_run_and_stops_no_other_team() {
    let world = World::new().await;
    let bystander = world.team(1, "UTC").await;
    world.enable(bystander).await;
    let view = page_view(bystander, 1, "s", "2026-05-01T08:00:00Z", "/");
    world.insert(&[view]).await;
    let texts = hostile_texts();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut sql = String::new();
    for (number, text) in texts.iter().enumerate() {
        let (zone, warehouse) = match number % 3 {
            0 => (text.as_str(), None),
            1 => ("UTC", Some(text.as_str())),
            _ => (text.as_str(), Some(text.as_str())),
        };
        let warehouse = warehouse.map_or("null".to_owned(), quoted);
        sql += &format!(
            "insert into teams (id, name, timezone, warehouse) values ({}, {}, {}, {warehouse});\n",
            100 + number,
            quoted(text),
            quoted(zone)
        );
    }
    sql += "update teams set web_analytics_pre_aggregated_tables_enabled = 1 where id >= 100;";
    support::ledger::plain_sql(world.dir.path(), &sql);

    let as_json = Running::start(world.command(&["--log-format", "json", "serve"]));
    as_json.says("no valid time zone");
    assert_eq!(
        world
            .fill(bystander, "2026-05-01", "2026-05-02", false)
            .await,
        "completed"
    );
    for command in [
        &["list"][..],
        &["team", "list"],
        &["health"],
        &["metrics"],
        &["status"],
    ] {
        let told = Told::from(world.cli(command));
        assert!(!told.err.contains("error:"), "{told:?}");
        shows_only_text(&told);
        let told = Told::from(world.cli(&[command, &["--json"]].concat()));
        shows_only_text(&told);
        told.json();
    }
    for (number, text) in texts.iter().enumerate() {
        let id = (100 + number).to_string();
        let told = Told::from(world.cli(&["backfill", "--team-id", &id, "--days", "1", "--json"]));
        assert_eq!(told.code, Some(2), "{text:?}: {told:?}");
        shows_only_text(&told);
        assert!(told.json()["error"].is_string());
    }
    let listed = Told::from(world.cli(&["team", "list", "--json"]))
        .done()
        .json();
    let listed = listed["teams"].as_array().expect("teams");
    assert_eq!(listed.len(), texts.len() + 1);
    for (team, text) in listed[1..].iter().zip(&texts) {
        assert_eq!(team["team_name"], **text);
    }
    assert_eq!(world.query("select count() from events").await, "1");
    // Each entry of the log is a line, whatever is told in it.
    as_json.signal(Signal::TERM);
    for line in as_json.end().err.lines() {
        let read: Result<Value, _> = serde_json::from_str(line);
        assert!(read.is_ok_and(|line| line["level"].is_string()), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let as_text = Running::start(world.command(&["--log-format", "text", "serve"]));
    as_text.says("no valid time zone");
    as_text.signal(Signal::TERM);
    for line in as_text.end().err.lines() {
        let instant = line.split_whitespace().next().unwrap_or_default();
        assert!(instant.parse::<jiff::Timestamp>().is_ok(), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// Numbers by chance, the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    /// With the seed of the environment, else a new one, which is told where the test fails.
    fn told() -> Self {
        let seed = match std::env::var("PREFILL_TEST_SEED") {
            Ok(seed) => seed.parse().expect("PREFILL_TEST_SEED is a number"),
            Err(_) => rand::random(),
        };
        eprintln!("to repeat it: PREFILL_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, these: &[&'a T]) -> &'a T {
        these[self.below(these.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1))
            .map(|_| self.next() as u8)
            .collect()
    }
}

/// An engine with a table and a file beside it, both with words that nobody without the password may
/// see, and a file that nobody may make.
struct Guarded {
    world: EngineWorld,
    secret_file: PathBuf,
    made_file: PathBuf,
}

const IN_TABLE: &str = "words-of-the-table";
const IN_FILE: &str = "words-of-the-file";
/// What a statement answers that has it only in two parts.
const COMPUTED: &str = "computed-by-the-engine";

impl Guarded {
    async fn new() -> Self {
        let world = EngineWorld::new().await;
        let secret_file = world.directory.path().join("secret.txt");
        std::fs::write(&secret_file, IN_FILE).expect("written");
        let made_file = world.directory.path().join("made.txt");
        world
            .text(
                "/",
                "create table t (a String) engine = MergeTree order by a",
            )
            .await;
        world
            .text("/", &format!("insert into t values ('{IN_TABLE}')"))
            .await;
        Self {
            world,
            secret_file,
            made_file,
        }
    }

    /// It is the same engine, it answers the password, and nothing was changed.
    async fn is_as_it_was(&self, pid: u32) {
        assert_eq!(
            self.world.text("/", "select a from t").await,
            format!("{IN_TABLE}\n")
        );
        let tables = "select count() from system.tables where database = currentDatabase()";
        assert_eq!(self.world.text("/", tables).await, "1\n");
        assert!(!self.made_file.exists());
        assert!(alive(pid) && self.world.engine.pid() == pid);
    }

    fn statements(&self) -> Vec<String> {
        let (secret, made) = (self.secret_file.display(), self.made_file.display());
        let url = self.world.engine.endpoint().url;
        vec![
            "select a from t".to_owned(),
            "select concat('computed-by', '-the-engine')".to_owned(),
            format!("select * from file('{secret}', 'LineAsString', 'a String')"),
            format!("select * from file('{secret}', 'RawBLOB', 'a String') format RawBLOB"),
            format!("insert into function file('{made}', 'TSV', 'a String') select 'x'"),
            format!("insert into function file('{made}', 'TSV', 'a String') values ('x')"),
            format!("select concat('computed-by', '-the-engine') into outfile '{made}'"),
            format!("select * from url('{url}/?query=select%201', 'LineAsString', 'a String')"),
            "select * from input('a String') format TSV".to_owned(),
            "insert into t values ('x')".to_owned(),
            "insert into t format TSV\nx\n".to_owned(),
            format!("create table x (a String) engine = File(TSV, '{made}')"),
            format!("backup table t to File('{made}')"),
            "drop table t".to_owned(),
            "truncate table t sync".to_owned(),
            "system shutdown".to_owned(),
            "kill query where 1 sync".to_owned(),
            "set readonly = 0".to_owned(),
            "select {a:String}".to_owned(),
            "show tables".to_owned(),
        ]
    }
}

fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A request by somebody who does not know the password, as bytes.
fn request_by_chance(chance: &mut Chance, statements: &[String], endpoint: &Endpoint) -> Vec<u8> {
    if chance.one_in(12) {
        return match chance.below(3) {
            0 => chance.bytes(600),
            1 => [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &chance.bytes(100)[..]].concat(),
            _ => [
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                &chance.bytes(500),
            ]
            .concat(),
        };
    }
    let statement = statements[chance.below(statements.len())].as_str();
    let query = percent_encoded(statement);
    let method = chance.of(&[
        "GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE",
        "CONNECT", "get", "PROPFIND", "QUERY", "G\tET", "",
    ]);
    let path = chance.of(&[
        "/",
        "/",
        "/",
        "/query",
        "//",
        "/.",
        "/%2f",
        "/%3Fquery",
        "/ping",
        "/replicas_status",
        "/play",
        "/query/",
        "/Query",
        "/../query",
        "/?",
        "*",
        "query",
        "",
    ]);
    let mut target = match chance.below(6) {
        0 => format!("{}{path}", endpoint.url),
        1 => format!("http://evil.test{path}"),
        _ => path.to_owned(),
    };
    let wrong = &endpoint.password[..endpoint.password.len() - 1];
    let other_case: String = endpoint
        .password
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let longer = format!("{}x", endpoint.password);
    let password = chance.of(&[wrong, &other_case, &longer, "", "default", "\u{ff}", "%00"]);
    let user = chance.of(&[
        "default",
        "default",
        "Default",
        "admin",
        "",
        "default\u{0}",
        "default:",
    ]);
    let in_url = chance.one_in(2);
    let mut pairs = Vec::new();
    if in_url {
        let name = chance.of(&["query", "query", "query", "Query", "%71uery", "query[]"]);
        pairs.push(format!("{name}={query}"));
    }
    if chance.one_in(4) {
        pairs.push(format!(
            "user={}&password={}",
            percent_encoded(user),
            percent_encoded(password)
        ));
    }
    for more in [
        "param_a=x",
        "session_id=s",
        "database=system",
        "default_format=JSON",
        "readonly=0",
        "decompress=1",
        "compress=1",
        "enable_http_compression=1",
        "wait_end_of_query=1",
        "query=",
        "user=default",
        "password=",
        "quota_key=x",
        "%00=%ff",
        "&&=&",
    ] {
        if chance.one_in(8) {
            pairs.push(more.to_owned());
        }
    }
    if !pairs.is_empty() {
        target = format!("{target}?{}", pairs.join("&"));
    }
    let version = chance.of(&[
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", "",
    ]);
    let mut body = if in_url && chance.one_in(2) {
        chance.bytes(200)
    } else {
        statement.as_bytes().to_vec()
    };
    let mut head = format!("{method} {target} {version}\r\nHost: 127.0.0.1\r\n");
    let login = base64_of(&format!("{user}:{password}"));
    for more in [
        format!("Authorization: Basic {login}"),
        format!("authorization: basic {login}"),
        format!("AUTHORIZATION:Basic {login}"),
        format!("Authorization: Basic {}", base64_of("default")),
        format!("Authorization: Bearer {password}"),
        "Authorization: Basic".to_owned(),
        "Authorization: Basic ====".to_owned(),
        "Authorization: ".to_owned(),
        format!("X-ClickHouse-User: {user}"),
        format!("X-ClickHouse-Key: {password}"),
        format!("x-clickhouse-key:{password}"),
        "X-ClickHouse-Key: \u{ff}".to_owned(),
        "X-ClickHouse-SSL-Certificate-Auth: on".to_owned(),
        "X-ClickHouse-Database: system".to_owned(),
        "X-Forwarded-For: 127.0.0.1".to_owned(),
        "X-Original-URL: /?query=select%201".to_owned(),
        "Content-Encoding: zstd".to_owned(),
        "Content-Encoding: nothing".to_owned(),
        "Expect: 100-continue".to_owned(),
        "Upgrade: websocket\r\nConnection: upgrade".to_owned(),
        format!("X-Large: {}", "a".repeat(chance.below(40_000))),
        "Bad Name: x".to_owned(),
        " folded: x".to_owned(),
    ] {
        if chance.one_in(7) {
            head += &more;
            head += "\r\n";
        }
    }
    if chance.one_in(6) {
        let boundary = "B";
        let form = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n{statement}\r\n--{boundary}--\r\n"
        );
        head += "Content-Type: multipart/form-data; boundary=B\r\n";
        body = form.into_bytes();
    }
    match chance.below(6) {
        0 => {
            head += "Transfer-Encoding: chunked\r\n";
            let size = format!("{:x}\r\n", body.len());
            body = [size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        }
        1 => {
            head += &format!(
                "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                body.len()
            )
        }
        2 => {
            head += chance.of(&[
                "Content-Length: 18446744073709551615\r\n",
                "Content-Length: -1\r\n",
                "Content-Length: 1, 2\r\n",
                "Transfer-Encoding: xchunked\r\n",
            ])
        }
        _ => head += &format!("Content-Length: {}\r\n", body.len()),
    }
    head += "\r\n";
    let mut request = [head.as_bytes(), &body].concat();
    if chance.one_in(8) {
        // Damage, or an end too early.
        let at = chance.below(request.len());
        match chance.below(3) {
            0 => request[at] = chance.next() as u8,
            1 => request.truncate(at),
            _ => drop(request.splice(at..at, chance.bytes(4))),
        }
    }
    request
}

/// Sends bytes and reads whatever comes back until the connection ends.
fn exchange(endpoint: &Endpoint, request: &[u8]) -> String {
    let address = endpoint.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).expect("the engine listens");
    let limit = Some(Duration::from_secs(10));
    connection.set_read_timeout(limit).expect("a limit");
    connection.set_write_timeout(limit).expect("a limit");
    // The engine may have answered and closed before it has read it all.
    drop(connection.write_all(request));
    drop(connection.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        let closed = std::io::ErrorKind::ConnectionReset;
        assert_eq!(error.kind(), closed, "{}", String::from_utf8_lossy(request));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_password_reads_writes_or_computes_anything_in_any_way() {
    let guarded = Guarded::new().await;
    let pid = guarded.world.engine.pid();
    let endpoint = guarded.world.engine.endpoint();
    let statements = guarded.statements();
    let mut chance = Chance::told();
    let mut answered = 0;
    for number in 0..800 {
        let request = request_by_chance(&mut chance, &statements, &endpoint);
        let answer = exchange(&endpoint, &request);
        let told = || {
            format!(
                "request {number}:\n{}\nanswer:\n{answer}",
                String::from_utf8_lossy(&request)
            )
        };
        for hidden in [IN_TABLE, IN_FILE, COMPUTED, &endpoint.password] {
            assert!(!answer.contains(hidden), "{}", told());
        }
        assert!(!guarded.made_file.exists(), "{}", told());
        // Several requests may stand in one; each is answered by a head and a body.
        for answer in answer.split("HTTP/1.").skip(1) {
            answered += 1;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
            let status = head.get(2..5).unwrap_or_default();
            assert!(
                [
                    "200", "100", "400", "403", "404", "405", "414", "431", "501", "505"
                ]
                .contains(&status),
                "{}",
                told()
            );
            // Who asks nothing is told that somebody is there.
            assert!(
                status != "200" || ["Ok.\n", ""].contains(&body),
                "{}",
                told()
            );
        }
    }
    assert!(answered > 400, "only {answered} requests were answered");
    guarded.is_as_it_was(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_none_and_a_request_that_is_absurd_are_refused_and_the_engine_lives_on() {
    let guarded = Guarded::new().await;
    let world = &guarded.world;
    let pid = world.engine.pid();
    let endpoint = world.engine.endpoint();
    let mut chance = Chance::told();
    let insert = percent_encoded("insert into t format TSV");
    let data = "a row that is never stored\n".repeat(3);

    // What is cut off, damaged or nothing at all is never stored, not even in part.
    for coding in [
        "gzip", "deflate", "br", "lz4", "zstd", "identity", "nothing",
    ] {
        for native in [0, 1] {
            for _ in 0..3 {
                let mut body = packed(&data, coding);
                let cut = 1 + chance.below(body.len() - 1);
                match (chance.below(3), coding) {
                    // Any text is a row.
                    (0, _) if native == 1 => body.truncate(cut),
                    (_, "identity") => body = b"\x01\x02\t".to_vec(),
                    (0, _) => body.truncate(cut),
                    // Neither looks beyond the end of its stream.
                    (1, _) | (_, "deflate" | "br") => {
                        body = [b"\x00\xff", &chance.bytes(200)[..]].concat()
                    }
                    _ => body.extend(b"\x00\xff\x00\xff\x00\xff\x00\xff\x00"),
                }
                let path = format!("/?decompress={native}&query={insert}");
                let asked = world
                    .post(&path, body.clone())
                    .header("Content-Encoding", coding);
                let (code, status, text) = engine_support::refused(asked).await;
                assert!(
                    status >= 400 && code > 0,
                    "{coding} {native} {body:02x?}: {status} {text}"
                );
            }
        }
    }

    // Statements and parameters that are none.
    for _ in 0..60 {
        let garbage = chance.bytes(300);
        let garbage = [b"\xfe", &garbage[..]].concat();
        let path = chance.of(&[
            "/",
            "/?query=",
            "/?query=%ff",
            "/?wait_end_of_query=1",
            "/?session_id=%00",
            "/?database=%60",
            "/?query_id=%27%3B",
            "/?param_a=%ff",
            "/?default_format=%00",
            "/?compress=1",
        ]);
        let (code, status, text) = engine_support::refused(world.post(path, garbage)).await;
        assert!(status >= 400 && code > 0, "{path}: {status} {text}");
    }
    for path in [
        "/?nothing=1",
        "/?max_threads=x",
        "/?max_memory_usage=-1",
        "/?%27=1",
        "/?a%20%3D%201,%20b=1",
        "/?=1",
        "/?session_timeout=-1&session_id=s",
        "/?session_timeout=1e9&session_id=s",
        "/?max_threads=%27",
        "/?default_format=Nothing",
        "/?database=nothing",
        "/?database=%27%3B%20drop%20table%20t",
        "/?session_id=a&session_check=1",
        "/?log_comment=%00&x=1",
    ] {
        let (code, status, text) = world.failure(path, "select 1").await;
        assert!(status >= 400 && code > 0, "{path}: {status} {text}");
    }

    // Lengths that no body has, each by somebody who may ask.
    let login = base64_of(&format!("{}:{}", endpoint.user, endpoint.password));
    for lengths in [
        "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551616",
        "Content-Length: 9223372036854775807",
        "Content-Length: -1",
        "Content-Length: 1e9",
        "Content-Length: ",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nX: y",
    ] {
        for body in [
            "x\n",
            "ffffffffffffffff\r\nx\n",
            "-1\r\nx",
            "5;a=b\r\nx\n",
            "",
        ] {
            let request = format!(
                "POST /?query={insert} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n{lengths}\r\n\r\n{body}"
            );
            let answer = exchange(&endpoint, request.as_bytes());
            assert!(!answer.starts_with("HTTP/1.1 200"), "{request}\n{answer}");
        }
    }
    guarded.is_as_it_was(pid).await;
}

/// Data as a body of that coding.
fn packed(data: &str, coding: &str) -> Vec<u8> {
    const NEVER: &str = "a Vec takes every write";
    match coding {
        "gzip" => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(data.as_bytes()).expect(NEVER);
            to.finish().expect(NEVER)
        }
        "deflate" => {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(data.as_bytes()).expect(NEVER);
            to.finish().expect(NEVER)
        }
        "br" => {
            let mut to = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
            to.write_all(data.as_bytes()).expect(NEVER);
            to.into_inner()
        }
        "lz4" => {
            let mut to = lz4_flex::frame::FrameEncoder::new(Vec::new());
            to.write_all(data.as_bytes()).expect(NEVER);
            to.finish().expect(NEVER)
        }
        "zstd" => zstd::encode_all(data.as_bytes(), 1).expect(NEVER),
        _ => data.as_bytes().to_vec(),
    }
}

/// A program with a configuration and everything that it can log.
fn talkative(dir: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(program());
    command
        .arg("--data-dir")
        .arg(dir)
        .args(arguments)
        .env("PREFILL_LOG", "trace")
        .env("RUST_LOG", "trace")
        .env_remove("PREFILL_LEDGER_URL")
        .stdin(std::process::Stdio::null());
    command
}

/// In each form in which a secret may go over a wire.
fn forms_of(user: &str, secret: &str) -> Vec<String> {
    let base64 = |text: &str| base64_of(text).trim_end_matches('=').to_owned();
    vec![
        secret.to_owned(),
        percent_encoded(secret),
        base64(secret),
        base64(&format!("{user}:{secret}")),
    ]
}

#[track_caller]
fn tells_none(said: &str, secrets: &[String]) {
    for secret in secrets {
        // Some lines around it say what told it.
        if let Some(at) = said.find(secret.as_str()) {
            let from = said[..at].rfind('\n').map_or(0, |line| line + 1);
            panic!("{secret:?} is told: {:.600}", &said[from..]);
        }
    }
}

/// The command lines of a process and of its children.
fn command_lines(pid: u32) -> String {
    let of = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let mut all = of(&pid.to_string());
    children
        .split_whitespace()
        .for_each(|child| all.extend(of(child)));
    String::from_utf8_lossy(&all).into_owned()
}

/// The files below a directory, with their content.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(content) = std::fs::read(&path) {
            // A merge may take a file away that was there.
            found.push((path, content));
        }
    }
    found
}

#[test]
fn no_secret_of_the_configuration_is_told_whatever_cannot_be_reached() {
    let secret = "Hunter2-of+the/warehouse=";
    let of_ledger = "Hunter3-of-the-ledger";
    let mut secrets = forms_of("somebody", secret);
    secrets.extend(forms_of("u", of_ledger));
    for (config, arguments) in [
        (
            format!(
                "[warehouse]\nurl = \"http://127.0.0.1:1\"\nuser = \"somebody\"\npassword = \"{secret}\"\n"
            ),
            &[
                &["query", "select 1"][..],
                &["health"],
                &["migrate"],
                &["validate", "--team-id", "7"],
                &["serve"],
            ][..],
        ),
        (
            format!(
                "[warehouse]\nurl = \"https://127.0.0.1:1\"\nuser = \"somebody\"\npassword = \"{secret}\"\n"
            ),
            &[&["query", "select 1", "--json"]],
        ),
        (
            format!(
                "[ledger]\nurl = \"postgres://u:{of_ledger}@127.0.0.1:1/db\"\nconnect_timeout_ms = 300\n"
            ),
            &[
                &["list"],
                &["serve"],
                &["migrate"],
                &["team", "list", "--json"],
            ],
        ),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let add = ["team", "add", "--team-id", "7", "--name", "Acme"];
        Told::from(talkative(dir.path(), &add).output().expect("it ran")).done();
        Told::from(
            talkative(dir.path(), &["enable", "--team-id", "7"])
                .output()
                .expect("it ran"),
        )
        .done();
        std::fs::write(dir.path().join("prefill.toml"), config).expect("written");
        for arguments in arguments {
            for format in ["text", "json"] {
                let mut command = talkative(dir.path(), arguments);
                command.args(["--log-format", format]);
                let told = if *arguments == ["serve"] {
                    let serving = Running::start(command);
                    serving.says("failed to");
                    serving.signal(Signal::TERM);
                    serving.end()
                } else {
                    Told::from(command.output().expect("it ran"))
                };
                assert!(!told.err.is_empty(), "{told:?}");
                tells_none(&format!("{}\n{}", told.out, told.err), &secrets);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_of_an_engine_is_told_by_who_uses_it_and_its_file_is_for_its_user_alone() {
    let world = World::new().await;
    let endpoint = world.store.warehouse.endpoint();
    let secrets = forms_of(&endpoint.user, &endpoint.password);
    let event = r#"{"event":"$pageview","distinct_id":"a","session_id":"s","timestamp":"2026-05-01T10:00:00Z"}"#;
    // As a server that is configured, with the right password and with a wrong one, and as the engine of
    // the installation.
    let as_server = |password: &str| {
        format!(
            "[warehouse]\nurl = \"{}\"\npassword = \"{password}\"\n",
            endpoint.url
        )
    };
    let wrong = format!("{}x", endpoint.password);
    for (config, works) in [
        (String::new(), true),
        (as_server(&endpoint.password), true),
        (as_server(&wrong), false),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("events.jsonl");
        std::fs::write(&file, event).expect("written");
        let file = file.to_str().expect("a path");
        std::fs::write(dir.path().join("prefill.toml"), &config).expect("written");
        let range = [
            "--team-id",
            "7",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
        ];
        let serving = Running::start(talkative(dir.path(), &["serve"]));
        if works {
            serving.says("serving: teams");
        } else {
            serving.says("uthentication failed");
        }
        let mut own = secrets.clone();
        let card = std::fs::read(dir.path().join("engine.json")).unwrap_or_default();
        if let Ok(card) = serde_json::from_slice::<Value>(&card) {
            let text = |name: &str| card[name].as_str().expect("text").to_owned();
            own.extend(forms_of(&text("user"), &text("password")));
        } else {
            assert!(!config.is_empty(), "an engine of its own leaves a card");
        }
        tells_none(&command_lines(serving.process()), &own);
        let backfill = [&["backfill"], &range[..]].concat();
        let validate = [&["validate"], &range[..]].concat();
        for command in [
            &["team", "add", "--team-id", "7", "--name", "Acme"][..],
            &["enable", "--team-id", "7"],
            &["import", "jsonl", file, "--team-id", "7"],
            &backfill,
            &validate,
            &["health"],
            &["query", "select nothing"],
            &["query", "select * from system.processes format JSON"],
        ] {
            let told = Told::from(talkative(dir.path(), command).output().expect("it ran"));
            if works && *command != ["health"] && command[1] != "select nothing" {
                assert_eq!(told.code, Some(0), "{told:?}");
            }
            tells_none(&format!("{}\n{}", told.out, told.err), &own);
        }
        // While the engine has its card.
        for (path, content) in files(dir.path()) {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            if name == "engine.json" {
                let mode = path.metadata().expect("a file").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            } else if name != "prefill.toml" {
                tells_none(&content, &own);
            }
        }
        serving.signal(Signal::TERM);
        let told = serving.end();
        // A password that is wrong is somebody's to correct, so the service gives up.
        assert_eq!(
            told.code,
            Some(if works { 0 } else { 1 }),
            "{:.2000}",
            told.err
        );
        tells_none(&format!("{}\n{}", told.out, told.err), &own);
        let log = std::fs::read_to_string(dir.path().join("engine.log")).unwrap_or_default();
        tells_none(&log, &own);
    }
}
