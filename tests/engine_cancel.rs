//! Statements whose client goes away, and KILL QUERY.

mod engine_support;

use std::time::{Duration, Instant};

use engine_support::World;

/// Runs long enough for every test here, and checks for a kill ten times a second.
const FOREVER: &str = "select sum(sleepEachRow(0.1)) from numbers(100000) settings max_block_size = 1, function_sleep_max_microseconds_per_block = 0";

const LEFT: Duration = Duration::from_secs(5);

fn running(query_id: &str) -> String {
    format!("select count() from system.processes where Settings['promql_table'] = '{query_id}'")
}

#[tokio::test]
async fn a_statement_ends_soon_after_its_client_left() {
    let world = World::new().await;
    let endless_rows = "select number, toString(number) from system.numbers";
    let insert = "insert into function null('a UInt8, b UInt64') select sleepEachRow(0.1), number from numbers(100000) settings max_block_size = 1, function_sleep_max_microseconds_per_block = 0";
    for (id, sql) in [
        ("long", FOREVER),
        ("rows", endless_rows),
        ("insert", insert),
    ] {
        let path = format!("/?query_id={id}&log_comment=mine");
        let request = tokio::spawn(world.post(&path, sql).send());
        world.until(&running(id), "1").await;
        let comment = "select count() from system.processes where Settings['log_comment'] = 'mine'";
        assert_eq!(world.text("/", comment).await, "1\n", "{id}");
        // The rows that nobody reads are in the response that is dropped with the task.
        request.abort();
        drop(request);
        let left = Instant::now();
        world.until(&running(id), "0").await;
        assert!(left.elapsed() < LEFT, "{id} took {:?}", left.elapsed());
    }
}

#[tokio::test]
async fn an_insert_whose_client_left_stores_nothing_more() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a UInt64) engine = MergeTree order by a",
        )
        .await;
    let (pieces, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = futures_util::stream::unfold(body, |mut body| async {
        body.recv().await.map(|piece| (piece, body))
    });
    let path = "/?query_id=gone&query=insert%20into%20t%20format%20RowBinary";
    let request = tokio::spawn(world.post(path, reqwest::Body::wrap_stream(body)).send());
    pieces
        .send(Ok(7u64.to_le_bytes().to_vec()))
        .await
        .expect("a reader");
    world.until(&running("gone"), "1").await;
    request.abort();
    drop(pieces);
    world.until(&running("gone"), "0").await;
    assert_eq!(world.text("/", "select count() from t").await, "0\n");
}

#[tokio::test]
async fn a_client_kills_by_its_own_query_id_or_comment_and_sync_returns() {
    let world = World::new().await;
    for (id, kill) in [
        ("a'b", "kill query where query_id = 'a\\'b'"),
        ("k2", "kill query where query_id in ('k2', 'x') sync"),
        ("k3", "KILL QUERY WHERE Settings['log_comment'] = 'k3' SYNC"),
        ("k4", "kill query where `query_id` like 'k4%' -- and so on"),
        ("k5", "kill query where 'k5' = (system.processes.query_id)"),
        ("k6", "kill query where has(['k6'], lower(query_id)) async"),
        ("k\n7", "kill query where initial_query_id = 'k\n7'"),
        (
            "k8",
            "kill query where query_id in (select query_id from system.processes where query_id = 'k8')",
        ),
        (
            "k9",
            "kill query where Settings is not null and has(Settings.Values, 'k9')",
        ),
    ] {
        let in_url = id.replace('\'', "%27").replace('\n', "%0A");
        let path = format!("/?query_id={in_url}");
        let request = tokio::spawn(world.post(&path, FOREVER).send());
        world.until(&running(&id.replace('\'', "\\'")), "1").await;
        for spares in [
            "query_id not like 'k%' and query_id not like 'a%'",
            "(query_id) != {id:String}",
            "query_id = {id:String} test",
            "query_id not in [{id:String}]",
        ] {
            let sql = format!("kill query where query like '%sleepEachRow%' and {spares}");
            let path = format!("/?param_id={}", in_url.replace("%0A", "%5Cn"));
            let told = world.text(&path, &sql);
            let lines = usize::from(spares.ends_with("test"));
            assert_eq!(told.await.lines().count(), lines, "{id}: {spares}");
        }
        let killed = tokio::time::timeout(LEFT, world.text("/", kill))
            .await
            .expect("it returns");
        assert!(killed.starts_with("waiting\t"), "{id}: {killed}");
        let answer = request.await.expect("a task").expect("an answer");
        let text = answer.text().await.expect("a text");
        assert!(text.starts_with("Code: 394."), "{id}: {text}");
    }
}

#[tokio::test]
async fn a_kill_finds_a_statement_by_the_engines_own_id_and_one_that_is_refused_kills_nothing() {
    let world = World::new().await;
    let request = tokio::spawn(world.post("/?query_id=own", FOREVER).send());
    world.until(&running("own"), "1").await;
    let own = running("own").replace("count()", "query_id");
    let own = world.text("/", &own).await;
    let kill = format!("kill query where query_id = '{}'", own.trim());
    assert!(world.text("/", &kill).await.starts_with("waiting\t"));
    let answer = request.await.expect("a task").expect("an answer");
    assert_eq!(answer.status(), 500);

    let request = tokio::spawn(world.post("/?query_id=lives", "select sleep(2)").send());
    world.until(&running("lives"), "1").await;
    let (code, _, text) = world
        .failure("/", "kill query where query_id = 'lives' async bla")
        .await;
    assert_eq!(code, 62, "{text}");
    let answer = request.await.expect("a task").expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "0\n");
}

#[tokio::test]
async fn a_kill_gets_through_when_there_is_no_place_for_more_statements() {
    let world = World::new().await;
    let mut requests = Vec::new();
    for n in 0..120 {
        let path = format!("/?query_id=n{n}&log_comment=flood&max_threads=1");
        requests.push(tokio::spawn(world.post(&path, FOREVER).send()));
    }
    let start = Instant::now();
    while requests
        .iter()
        .filter(|request| request.is_finished())
        .count()
        < 20
    {
        assert!(start.elapsed() < engine_support::LIMIT, "never full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Some may begin only now, in the places of those that were killed.
    while !requests.iter().all(tokio::task::JoinHandle::is_finished) {
        world
            .text("/", "kill query where Settings['log_comment'] = 'flood'")
            .await;
        assert!(start.elapsed() < engine_support::LIMIT, "still running");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut killed = 0;
    for request in requests {
        let text = request
            .await
            .expect("a task")
            .expect("an answer")
            .text()
            .await;
        let text = text.expect("a text");
        killed += usize::from(text.starts_with("Code: 394."));
        assert!(
            text.starts_with("Code: 394.") || text.starts_with("Code: 202."),
            "{text}"
        );
    }
    assert_eq!(killed, 100);
    assert_eq!(world.text("/", "select 1").await, "1\n");
}

#[tokio::test]
async fn the_answer_of_a_killed_statement_is_whole_or_an_error_and_never_cut_short() {
    let world = World::new().await;
    // In a session that lets nothing be set there is no comment either.
    world.text("/?session_id=ro", "set readonly = 1").await;
    let kill = "kill query where Settings['log_comment'] = 'victim' or query like '%numbers(300%'";
    let killers = async {
        loop {
            world.text("/", kill).await;
        }
    };
    let (mut whole, mut killed) = (0, 0);
    let victims = async {
        for _ in 0..60 {
            for (sql, rows) in [
                ("select number from numbers(3) format JSONEachRow", 3),
                ("select number from numbers(300000) format TSV", 300_000),
                (
                    "select name from system.functions limit 9 format JSONCompact",
                    9,
                ),
                ("exists table nothing format TSV", 1),
                ("select number from numbers(300001) format TSV", 300_001),
            ] {
                let path = match rows {
                    300_001 => "/?session_id=ro",
                    _ => "/?log_comment=victim",
                };
                let answer = world.post(path, sql).send().await;
                let text = answer.expect("an answer").text().await;
                // Of what was sent before the kill the end is missing, and a client is told by that.
                let Ok(text) = text else {
                    killed += 1;
                    continue;
                };
                if text.starts_with("Code: 394.") {
                    killed += 1;
                    continue;
                }
                let found = match serde_json::from_str::<serde_json::Value>(&text) {
                    Ok(told) if told["rows"].is_number() => {
                        told["rows"].as_u64().expect("a number")
                    }
                    _ => text.lines().count() as u64,
                };
                assert_eq!(found, rows, "{sql}: {text}");
                whole += 1;
            }
        }
    };
    tokio::select! {
        () = killers => unreachable!("it kills without an end"),
        () = victims => {}
    }
    assert!(killed > 0 && whole > 0, "{killed} killed, {whole} whole");
}
