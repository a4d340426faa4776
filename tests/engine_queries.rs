//! The embedded engine through its front door: what a ClickHouse client asks and gets.

mod engine_support;

use clickhouse::{Compression, Row};
use engine_support::{World, refused};
use serde::{Deserialize, Serialize};

#[derive(Row, Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
struct Visit {
    team: u64,
    path: String,
    visitors: Option<u32>,
    tags: Vec<String>,
}

fn visits(count: u64) -> Vec<Visit> {
    (0..count)
        .map(|n| Visit {
            team: n,
            path: format!("/päge/{n}\n'\\"),
            visitors: (n % 3 > 0).then_some(n as u32),
            tags: vec![format!("a{n}"), String::new()],
        })
        .collect()
}

#[tokio::test]
async fn the_official_client_reads_what_it_wrote_with_every_compression() {
    let world = World::new().await;
    for (name, compression) in [
        ("plain", Compression::None),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::zstd()),
    ] {
        let client = world.client().with_compression(compression);
        client
            .query(&format!(
                "create table {name} (team UInt64, path String, visitors Nullable(UInt32), tags Array(String)) engine = MergeTree order by team"
            ))
            .execute()
            .await
            .expect("a table");
        let written = visits(50_000);
        let mut insert = client.insert::<Visit>(name).await.expect("an insert");
        for visit in &written {
            insert.write(visit).await.expect("a row");
        }
        insert.end().await.expect("the end");
        let read: Vec<Visit> = client
            .query("select ?fields from ? order by team")
            .bind(clickhouse::sql::Identifier(name))
            .fetch_all()
            .await
            .expect("rows");
        assert_eq!(read.len(), written.len(), "{name}");
        assert!(read == written, "{name}: the rows differ");
        let one: u64 = client
            .query("select team from {table:Identifier} where path = {path:String} and team in {teams:Array(UInt64)}")
            .param("table", name)
            .param("path", "/päge/7\n'\\")
            .param("teams", vec![5, 6, 7])
            .fetch_one()
            .await
            .expect("a row");
        assert_eq!(one, 7, "{name}");
    }
}

#[tokio::test]
async fn the_official_client_gets_settings_summary_and_an_error_with_its_code() {
    let world = World::new().await;
    let client = world.client();
    let threads: u64 = client
        .query("select toUInt64(getSetting('max_threads'))")
        .with_setting("max_threads", "3")
        .fetch_one()
        .await
        .expect("a row");
    assert_eq!(threads, 3);
    let mut cursor = client
        .query("select number from numbers(1000)")
        .fetch_bytes("RowBinary")
        .expect("a cursor");
    assert_eq!(cursor.collect().await.expect("bytes").len(), 8000);
    let summary = cursor.summary().expect("a summary");
    assert_eq!(summary.read_rows(), Some(1000));
    assert_eq!(summary.result_rows(), Some(1000));
    let error = client
        .query("select nothing")
        .execute()
        .await
        .expect_err("an error");
    assert!(error.to_string().contains("Code: 47."), "{error}");
    // In the middle of an answer, after megabytes.
    let error = client
        .query("select throwIf(number = 2000000, 'too far') from numbers(3000000)")
        .fetch_all::<u8>()
        .await
        .expect_err("an error");
    assert!(error.to_string().contains("too far"), "{error}");
    assert!(error.to_string().contains("Code: 395."), "{error}");
}

#[tokio::test]
async fn errors_have_clickhouses_codes_and_statuses() {
    let world = World::new().await;
    for (path, sql, code, status) in [
        ("/", "", 62, 400),
        ("/", "-- select 1", 62, 400),
        ("/", "'select 1", 62, 400),
        ("/", "quit", 62, 400),
        ("/", "\u{1}select 1", 62, 400),
        ("/", "selec", 62, 400),
        ("/", "1", 62, 400),
        ("/", "select 1; select 2", 62, 400),
        ("/", "select * from nothing", 60, 404),
        ("/", "select nosuchfunction()", 46, 404),
        ("/?database=nothing", "select 1", 81, 404),
        ("/?nothing=1", "select 1", 115, 404),
        ("/?a%60%3D1=1", "select 1", 115, 404),
        ("/?param_a=x", "select {a:Int8}", 457, 500),
        ("/?query=select+'%FF'", "", 36, 400),
        ("/?param_a=%FF", "select {a:String}", 36, 400),
        (
            "/",
            "insert into function null('a UInt8') values (1); (2)",
            33,
            500,
        ),
        (
            "/",
            "insert into function null('a UInt8') format values (1); (2)",
            33,
            500,
        ),
        (
            "/",
            "insert into function null('a UInt8') format 'CSV' (1)",
            62,
            400,
        ),
        (
            "/",
            "select '' from numbers(1000) where not ignore(throwIf(number = 500)) format RawBLOB",
            395,
            500,
        ),
        ("/", "select 1 format Nothing", 73, 404),
        ("/", "select 1 into outfile '/tmp/x'", 358, 500),
        ("/", "insert into t from infile 'x' format TSV", 78, 404),
        (
            "/",
            "insert into t select * from input('a Int8') format TSV 1",
            48,
            501,
        ),
        (
            "/",
            "select sleep(1) settings max_execution_time = 0.1",
            159,
            408,
        ),
        ("/?session_id=a&session_check=1", "select 1", 372, 500),
        ("/?session_id=a&session_timeout=99999", "select 1", 374, 500),
        (
            "/?max_result_rows=1",
            "select number from numbers(1000000) format JSON",
            396,
            500,
        ),
    ] {
        let (found, answered, text) = world.failure(path, sql).await;
        assert_eq!((found, answered), (code, status), "{path} {sql}: {text}");
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{text}"
        );
    }
    assert_eq!(
        world
            .get("/nothing")
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
}

#[tokio::test]
async fn a_get_reads_and_does_not_write() {
    let world = World::new().await;
    world
        .text("/", "create table t (a Int8) engine = Memory")
        .await;
    let read = world
        .get("/?query=select%201%2B1")
        .send()
        .await
        .expect("an answer");
    assert_eq!(read.text().await.expect("a text"), "2\n");
    for query in [
        "insert%20into%20t%20values%20(1)",
        "drop%20table%20t",
        "set%20max_threads=1%20parallel%20with%20truncate%20table%20t",
        "use%20default%20parallel%20with%20drop%20table%20t",
    ] {
        for session in ["", "&session_id=s"] {
            let (code, _, text) = refused(world.get(&format!("/?query={query}{session}"))).await;
            assert_eq!(code, 164, "{text}");
        }
    }
    assert_eq!(world.text("/", "select count() from t").await, "0\n");
    // And the session can write afterwards.
    world
        .text("/?session_id=s", "insert into t values (1)")
        .await;
    assert_eq!(world.text("/", "select count() from t").await, "1\n");
    let head = world
        .signed(reqwest::Method::HEAD, "/?query=select%201")
        .send()
        .await;
    assert_eq!(head.expect("an answer").status(), 200);
    let ping = reqwest::get(format!("{}/ping", world.engine.endpoint().url)).await;
    assert_eq!(
        ping.expect("an answer").text().await.expect("a text"),
        "Ok.\n"
    );
}

#[tokio::test]
async fn who_asks_to_read_only_reads_and_sets_nothing() {
    let world = World::new().await;
    world
        .text("/", "create table t (a Int8) engine = Memory")
        .await;
    let value = "select getSetting('readonly')";
    assert_eq!(world.text("/?readonly=1", value).await, "1\n");
    assert_eq!(world.text("/?readonly=2", value).await, "2\n");
    assert_eq!(world.text("/?readonly=0", value).await, "0\n");
    let get = world.get("/?readonly=1&max_threads=3&query=select%20getSetting('max_threads')");
    let get = get.send().await.expect("an answer");
    assert_eq!(get.text().await.expect("a text"), "3\n");
    let parameter = "select {a:Int32} + 1";
    let path = "/?readonly=1&param_a=1";
    assert_eq!(world.text(path, parameter).await, "2\n");
    for (path, sql) in [
        ("/?readonly=1", "insert into t values (1)"),
        ("/?readonly=2", "insert into t values (1)"),
        ("/?readonly=1", "select 1 settings max_threads = 1"),
    ] {
        let (code, _, text) = world.failure(path, sql).await;
        assert_eq!(code, 164, "{path} {sql}: {text}");
    }
    // A session that was told so stays so, and goes on.
    world.text("/?session_id=r", "set readonly = 1").await;
    assert_eq!(world.text("/?session_id=r", value).await, "1\n");
    let (code, _, _) = world
        .failure("/?session_id=r", "insert into t values (1)")
        .await;
    assert_eq!(code, 164);
    assert_eq!(world.text("/", "select count() from t").await, "0\n");
}

#[tokio::test]
async fn rows_as_one_array_are_one_array_however_many_they_are() {
    let world = World::new().await;
    let set = "output_format_json_array_of_rows";
    for (rows, sql) in [
        (200_000, "select number from numbers(200000)".to_owned()),
        (0, "select number from numbers(0)".to_owned()),
        (1, "select 0 as number".to_owned()),
    ] {
        for format in ["JSONEachRow", "JSONLines", "NDJSON"] {
            let inside = format!("{sql} format {format} settings {set} = 1");
            let outside = format!("{sql} format {format}");
            for text in [
                world.text("/", &inside).await,
                world.text(&format!("/?{set}=1"), &outside).await,
            ] {
                let read: Vec<serde_json::Value> = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{format}, {rows} rows: {error}"));
                assert_eq!(read.len(), rows, "{format}");
                let number = |row: &serde_json::Value| row["number"].as_u64();
                let numbers = read.iter().filter_map(number);
                assert!(numbers.eq(0..rows as u64), "{format}");
            }
        }
    }
}

#[tokio::test]
async fn an_external_table_may_be_described_in_the_form_itself() {
    let world = World::new().await;
    let form = "--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nselect sum(a) from t\r\n--B\r\nContent-Disposition: form-data; name=\"t\"; filename=\"x\"\r\n\r\n1\n2\n\r\n--B\r\nContent-Disposition: form-data; name=\"t_structure\"\r\n\r\na Int32\r\n--B--\r\n";
    let answer = world
        .post("/", form)
        .header("Content-Type", "multipart/form-data; boundary=B")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "3\n");
}

#[tokio::test]
async fn a_refusal_before_the_body_was_read_says_that_the_connection_ends() {
    let world = World::new().await;
    let url = format!("{}/", world.engine.endpoint().url);
    let refused = reqwest::Client::new().post(url).body("select 1").send();
    let refused = refused.await.expect("an answer");
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["connection"], "close");
    let packed = world.post("/", "select 1").header("Content-Encoding", "xz");
    let packed = packed.send().await.expect("an answer");
    assert_eq!(packed.headers()["connection"], "close");
}

#[tokio::test]
async fn nobody_without_the_password_gets_in() {
    let world = World::new().await;
    let endpoint = world.engine.endpoint();
    let http = reqwest::Client::new();
    let url = format!("{}/?query=select%201", endpoint.url);
    let wrong = [
        http.get(&url),
        http.get(&url).basic_auth("default", Some("wrong")),
        http.get(&url).basic_auth("other", Some(&endpoint.password)),
        http.get(&url).header("X-ClickHouse-User", "default"),
        http.get(format!("{url}&user=default&password=wrong")),
    ];
    for request in wrong {
        let (code, status, text) = refused(request).await;
        assert_eq!((code, status), (516, 403), "{text}");
    }
    let right = [
        http.get(&url)
            .basic_auth("default", Some(&endpoint.password)),
        http.get(&url)
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", &endpoint.password),
        http.get(format!("{url}&user=default&password={}", endpoint.password)),
    ];
    for request in right {
        assert_eq!(
            request
                .send()
                .await
                .expect("an answer")
                .text()
                .await
                .expect("a text"),
            "1\n"
        );
    }
    assert!(!format!("{endpoint:?}").contains(&endpoint.password));
}

#[tokio::test]
async fn a_session_keeps_its_tables_and_settings_and_is_locked_while_in_use() {
    let world = World::new().await;
    world.text("/", "create database d").await;
    world
        .text("/?session_id=a", "create temporary table x (a Int8)")
        .await;
    world
        .text("/?session_id=a", "insert into x values (1), (2)")
        .await;
    world.text("/?session_id=a", "set max_threads = 5").await;
    assert_eq!(
        world.text("/?session_id=a", "select sum(a) from x").await,
        "3\n"
    );
    let both = "select getSetting('max_threads'), currentDatabase()";
    assert_eq!(
        world
            .text("/?session_id=a&max_threads=7&database=d", both)
            .await,
        "7\td\n"
    );
    assert_eq!(world.text("/?session_id=a", both).await, "5\tdefault\n");
    let (code, _, _) = world
        .failure("/?session_id=b", "select sum(a) from x")
        .await;
    assert_eq!(code, 60);
    let slow = world.post("/?session_id=a&query_id=slow", "select sleep(2)");
    let slow = tokio::spawn(slow.send());
    let running = "select count() from system.processes where Settings['promql_table'] = 'slow'";
    world.until(running, "1").await;
    let (code, _, text) = world.failure("/?session_id=a", "select 1").await;
    assert_eq!(code, 373, "{text}");
    let (code, _, text) = world.failure("/?query_id=slow", "select 1").await;
    assert_eq!(code, 216, "{text}");
    assert!(
        slow.await
            .expect("a task")
            .expect("an answer")
            .status()
            .is_success()
    );
    world
        .text(
            "/?session_id=c&session_timeout=0",
            "create temporary table y (a Int8)",
        )
        .await;
    let (code, _, _) = world
        .failure("/?session_id=c&session_check=1", "select 1")
        .await;
    assert_eq!(code, 372);
}

#[tokio::test]
async fn every_way_to_insert_stores_the_same_row() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a UInt8, b String) engine = MergeTree order by a",
        )
        .await;
    let url = |query: &str| {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        format!("/?query={query}")
    };
    for (path, body) in [
        ("/".to_owned(), "insert into t values (1, 'x;y')".to_owned()),
        (
            "/".to_owned(),
            "insert into t (b, a) values ('x;y', 1);".to_owned(),
        ),
        (
            "/".to_owned(),
            "/* insert */ insert into `t` format JSONEachRow {\"a\":1,\"b\":\"x;y\"}".to_owned(),
        ),
        (
            "/".to_owned(),
            "insert into t format TSV\n1\tx;y\n".to_owned(),
        ),
        (
            "/".to_owned(),
            "insert into t settings async_insert = 0 format CSV\r\n1,x;y\n".to_owned(),
        ),
        ("/".to_owned(), "insert into t select 1, 'x;y'".to_owned()),
        ("/".to_owned(), "insert into t (select 1, 'x;y')".to_owned()),
        (
            url("insert into t format RowBinary"),
            "\u{1}\u{3}x;y".to_owned(),
        ),
        (
            url("insert into table t (a, b) values"),
            "(1, 'x;y')".to_owned(),
        ),
        (url("insert into t format"), "TSV\n1\tx;y\n".to_owned()),
        (
            format!("{}&param_t=t", url("insert into {t:Identifier} format CSV")),
            "1,\"x;y\"\n".to_owned(),
        ),
    ] {
        let answer = world
            .post(&path, body.clone())
            .send()
            .await
            .expect("an answer");
        let summary = answer.headers()["x-clickhouse-summary"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(
            answer.status(),
            200,
            "{path} {body}: {:?}",
            answer.text().await
        );
        assert!(
            summary.contains("\"written_rows\":\"1\""),
            "{path} {body}: {summary}"
        );
        let row = world
            .text("/", "select a, b, count() from t group by all")
            .await;
        assert_eq!(row, "1\tx;y\t1\n", "{path} {body}");
        world.text("/", "truncate table t").await;
    }
    let (code, _, text) = world
        .failure(&url("insert into t format TSV"), "x\ty\n")
        .await;
    assert_eq!(code, 27, "{text}");
}

#[tokio::test]
async fn two_million_rows_arrive_exactly() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a UInt64, b UInt64) engine = MergeTree order by a",
        )
        .await;
    let mut body = Vec::new();
    for n in 0..2_000_000u64 {
        body.extend_from_slice(&n.to_le_bytes());
        body.extend_from_slice(&(n * n).to_le_bytes());
    }
    let answer = world
        .post("/?query=insert%20into%20t%20format%20RowBinary", body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let sums = world
        .text("/", "select count(), sum(a), sum(b), uniqExact(a) from t")
        .await;
    let sum: u64 = (0..2_000_000u64).sum();
    let squares = (0..2_000_000u64)
        .map(|n| n * n)
        .fold(0u64, u64::wrapping_add);
    assert_eq!(sums, format!("2000000\t{sum}\t{squares}\t2000000\n"));
}

#[tokio::test]
async fn ten_million_rows_stream_with_bounded_memory() {
    let world = World::new().await;
    let before = resident_kib(world.engine.pid());
    for format in ["RowBinary", "RowBinaryWithNamesAndTypes"] {
        let mut answer = world
            .post(
                &format!("/?default_format={format}"),
                "select number from numbers(10000000)",
            )
            .send()
            .await
            .expect("an answer");
        let header = if format == "RowBinary" { 0 } else { 1 + 7 + 7 };
        let (mut length, mut sum, mut rest) = (0usize, 0u64, Vec::new());
        while let Some(chunk) = answer.chunk().await.expect("a chunk") {
            rest.extend_from_slice(if length == 0 {
                &chunk[header..]
            } else {
                &chunk
            });
            length += chunk.len();
            let whole = rest.len() / 8 * 8;
            for number in rest[..whole].chunks_exact(8) {
                sum += u64::from_le_bytes(number.try_into().expect("eight bytes"));
            }
            rest.drain(..whole);
        }
        assert_eq!(length, 80_000_000 + header);
        assert_eq!(sum, 49_999_995_000_000);
    }
    let grown = resident_kib(world.engine.pid()).saturating_sub(before);
    assert!(grown < 150_000, "grew by {grown} KiB for 80 MB of answer");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("its memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

#[tokio::test]
async fn formats_answer_the_same_streamed_and_whole() {
    let world = World::new().await;
    let sql = "select number as n, toString(number) as s from numbers(200000) where n % 3 = 0";
    for format in [
        "TabSeparated",
        "TabSeparatedWithNamesAndTypes",
        "TSVWithNames",
        "CSV",
        "CSVWithNames",
        "JSONEachRow",
        "JSONCompactEachRowWithNamesAndTypes",
        "JSON",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "Values",
    ] {
        // `if` with a setting that nothing streams: extremes would add rows, 0 adds none.
        let streamed = bytes(&world, &format!("/?default_format={format}"), sql).await;
        let whole = bytes(
            &world,
            &format!("/?default_format={format}&extremes=0"),
            sql,
        )
        .await;
        if format == "JSON" {
            // It says how long it took.
            let data = |bytes: &[u8]| {
                serde_json::from_slice::<serde_json::Value>(bytes).expect("json")["data"].clone()
            };
            assert!(data(&streamed) == data(&whole), "{format}");
        } else {
            assert!(
                streamed == whole,
                "{format}: {} and {} bytes",
                streamed.len(),
                whole.len()
            );
        }
        assert!(streamed.len() > 66_667, "{format}");
    }
    // However its name is written.
    for format in [
        "`CSVWithNames`",
        "\"CSVWithNames\"",
        "\u{a0}CSVWithNames",
        "“CSVWithNames”",
    ] {
        let sql = format!("select number from numbers(6) format {format}");
        let answer = world.post("/?max_block_size=2", sql).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.headers()["x-clickhouse-format"], "CSVWithNames");
        let text = answer.text().await.expect("a text");
        assert_eq!(text, "\"number\"\n0\n1\n2\n3\n4\n5\n", "{format}");
    }
    let without_bytes =
        "select if(number between 100 and 199, '', 'x') from numbers(1000) format RawBLOB";
    let blob = bytes(&world, "/?max_block_size=10", without_bytes).await;
    assert_eq!(blob.len(), 900);
    let totals =
        "select number % 2 as a, count() from numbers(10) group by a with totals order by a";
    assert_eq!(world.text("/", totals).await, "0\t5\n1\t5\n\n0\t10\n");
}

async fn bytes(world: &World, path: &str, sql: &str) -> Vec<u8> {
    let answer = world
        .post(path, sql.to_owned())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.expect("bytes").to_vec()
}

#[tokio::test]
async fn results_do_not_depend_on_the_machines_time_zone() {
    let world = World::new().await;
    let zone = world
        .text(
            "/",
            "select timezone(), toDateTime(0), toStartOfDay(toDateTime(90000))",
        )
        .await;
    assert_eq!(zone, "UTC\t1970-01-01 00:00:00\t1970-01-02 00:00:00\n");
}
