//! A ClickHouse server over HTTP and HTTPS, and several of them: what is missing is named before any
//! work, one that is down delays nobody else, and whatever happens to an answer, the tables end as an
//! undisturbed fill leaves them. The embedded engine plays the server: it is a real ClickHouse.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prefill::calendar::TeamId;
use prefill::config::{Compression, Config, DEFAULT_WAREHOUSE, Warehouse};
use prefill::error::Class;
use prefill::freshness::look;
use prefill::ledger::NewTeam;
use prefill::request::Asked;
use prefill::schema::{SYSTEM_TABLES, Store};
use prefill::service::{Place, Prefill};
use prefill::warehouse::codes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::{World, page_view, program, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

/// A warehouse that is a server: the engine of a world, or what stands before it.
fn server(world: &World, url: Option<String>) -> Warehouse {
    let endpoint = world.store.warehouse.endpoint();
    Warehouse {
        url: Some(url.unwrap_or(endpoint.url)),
        user: endpoint.user,
        password: Some(endpoint.password.into()),
        silence_ms: 1_500,
        ..Warehouse::default()
    }
}

/// An installation with its own ledger and these warehouses.
async fn installation(dir: &TempDir, warehouses: &[(&str, Warehouse)]) -> Prefill {
    let mut config = Config {
        default_warehouse: warehouses[0].0.to_owned(),
        warehouses: warehouses
            .iter()
            .map(|(name, warehouse)| ((*name).to_owned(), warehouse.clone()))
            .collect::<BTreeMap<_, _>>(),
        ..Config::default()
    };
    config.service.backoff_ms = 50;
    let place = Place {
        data_dir: dir.path().to_path_buf(),
        program: Some(program()),
    };
    Prefill::open(&place, config)
        .await
        .expect("an installation")
}

async fn add_team(prefill: &Prefill, id: i64, warehouse: Option<&str>) -> TeamId {
    let team = NewTeam {
        id: TeamId(id),
        name: format!("Team {id}"),
        organization: String::new(),
        zone: prefill::calendar::Zone::utc(),
        backfill_days: None,
        warehouse: warehouse.map(ToOwned::to_owned),
    };
    prefill.ledger.add_team(&team).await.expect("added");
    prefill
        .ledger
        .set_enabled(team.id, true)
        .await
        .expect("enabled");
    team.id
}

fn first_of_may() -> Asked {
    Asked {
        days: None,
        date_start: Some("2026-05-01".parse().expect("a date")),
        date_end: Some("2026-05-02".parse().expect("a date")),
    }
}

/// Fills the 1st of May of a team, asked again where even asking met a fault; how the run ended.
async fn fill(prefill: &Prefill, team: TeamId, force: bool) -> &'static str {
    let target = prefill.target(team, first_of_may()).await;
    let target = target.expect("a target");
    let run = match prefill.backfill(&target, force).await {
        Ok(run) => run,
        Err(_) => prefill.backfill(&target, force).await.expect("asked"),
    };
    let stop = CancellationToken::new();
    tokio::time::timeout(Duration::from_secs(60), prefill.finish(run, &stop))
        .await
        .expect("done in time")
        .expect("finished");
    let progress = prefill.ledger.progress(run).await.expect("progress");
    progress.status()
}

/// A world with two sessions of team 7 on the 1st of May.
async fn world_with_events() -> World {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/"),
            page_view(team, 1, "s1", "2026-05-01T10:00:30Z", "/pricing"),
            page_view(team, 2, "s2", "2026-05-01T12:00:00Z", "/"),
        ])
        .await;
    world
}

const VIEWS: &str = "select sumMerge(pageviews_count_state) from web_pre_aggregated_stats";

#[tokio::test(flavor = "multi_thread")]
async fn the_codes_that_are_told_apart_have_the_names_that_clickhouse_gives_them() {
    let world = World::new().await;
    for (code, name, _) in codes::CODES {
        let named = world
            .query(&format!("select errorCodeToName(toInt32({code}))"))
            .await;
        assert_eq!(named, *name, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_from_an_empty_answer_to_a_question_that_always_has_one() {
    let world = World::new().await;
    let warehouse = &world.store.warehouse;
    for (where_is, answer) in [("1", Ok(7)), ("0", Err(Class::Later))] {
        let text = format!("select toUInt8(7) as value where {where_is}");
        let row = warehouse.statement(&text, "prefill:look").row::<u8>("ask");
        assert_eq!(row.await.map_err(|error| error.class()), answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_filled_with_every_compression_and_its_settings() {
    let world = world_with_events().await;
    let dir = tempfile::tempdir().expect("a directory");
    for compression in [Compression::Lz4, Compression::Zstd, Compression::None] {
        let mut warehouse = server(&world, None);
        warehouse.compression = compression;
        // The second is one that prefill sets where nobody else does.
        let settings = [
            ("max_block_size", 1_000),
            ("max_bytes_before_external_group_by", 2_000_000_000),
        ];
        for (name, value) in settings {
            let value = toml::Value::Integer(value);
            warehouse.settings.insert(name.to_owned(), value);
        }
        let prefill = installation(&dir, &[("default", warehouse)]).await;
        let team = match prefill.ledger.find_team(TeamId(7)).await.expect("asked") {
            Some(team) => team.id,
            None => add_team(&prefill, 7, None).await,
        };
        assert_eq!(fill(&prefill, team, true).await, "completed");
        assert_eq!(world.query(VIEWS).await, "3", "{compression:?}");
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        let others = [("max_bytes_before_external_sort", 512 << 20)];
        for (name, value) in settings.into_iter().chain(others) {
            let question = format!("select getSetting('{name}')");
            let told = store.warehouse.statement(&question, "test");
            let told = told.bytes("TSV", "ask").await.expect("an answer");
            assert_eq!(told, format!("{value}\n").as_bytes());
        }
    }
}

/// A certificate authority with a certificate for `localhost` and one for a client.
struct Certificates {
    ca: String,
    server: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    client: (String, String),
}

fn certificates() -> Certificates {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let signed = |name: &str| {
        let key = key();
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &ca).expect("signed"), key)
    };
    let (server, server_key) = signed("localhost");
    let (client, client_key) = signed("prefill");
    Certificates {
        ca: ca.pem(),
        server: (
            vec![server.der().clone()],
            PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key"),
        ),
        client: (client.pem(), client_key.serialize_pem()),
    }
}

/// Speaks TLS and hands on to a plain address; the port.
async fn terminate_tls(plain: String, certificates: &Certificates, asks_client: bool) -> u16 {
    let mut roots = RootCertStore::empty();
    let pem = certificates.ca.as_bytes();
    let ca = CertificateDer::from_pem_slice(pem);
    roots.add(ca.expect("a certificate")).expect("added");
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if asks_client {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = &certificates.server;
    let config = builder
        .with_single_cert(chain.clone(), key.clone_key())
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let plain = plain.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                if let (Ok(mut tls), Ok(mut behind)) = (
                    acceptor.accept(stream).await,
                    TcpStream::connect(plain).await,
                ) {
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut behind).await;
                }
            });
        }
    });
    port
}

fn written(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_own_authority_and_a_client_certificate_and_refused_without_either() {
    let world = world_with_events().await;
    let certificates = certificates();
    let plain = world.store.warehouse.endpoint().url;
    let files = tempfile::tempdir().expect("a directory");
    let ca = written(files.path(), "ca.pem", &certificates.ca);
    let certificate = written(files.path(), "client.pem", &certificates.client.0);
    let key = written(files.path(), "client.key", &certificates.client.1);
    let open = terminate_tls(plain.clone(), &certificates, false).await;
    let asking = terminate_tls(plain, &certificates, true).await;
    let at = |port: u16| server(&world, Some(format!("https://localhost:{port}")));
    let with_all = Warehouse {
        ca_file: Some(ca.clone()),
        client_cert_file: Some(certificate.clone()),
        client_key_file: Some(key.clone()),
        ..at(asking)
    };
    let dir = tempfile::tempdir().expect("a directory");
    let prefill = installation(&dir, &[("default", with_all.clone())]).await;
    let team = add_team(&prefill, 7, None).await;
    assert_eq!(fill(&prefill, team, false).await, "completed");
    assert_eq!(world.query(VIEWS).await, "3");
    let other = certificates_pem_of_another();
    let other_ca = written(files.path(), "other.pem", &other);
    for (what, warehouse, class, says) in [
        // The system's authorities do not know ours.
        ("no authority", at(open), Class::Unreachable, "certificate"),
        (
            "another authority",
            Warehouse {
                ca_file: Some(other_ca),
                ..at(open)
            },
            Class::Unreachable,
            "certificate",
        ),
        (
            "no client certificate",
            Warehouse {
                ca_file: Some(ca.clone()),
                ..at(asking)
            },
            Class::Unreachable,
            "",
        ),
        (
            "a certificate that is not there",
            Warehouse {
                ca_file: Some(files.path().join("gone.pem")),
                ..at(open)
            },
            Class::Operator,
            "gone.pem",
        ),
        (
            "a key that is none",
            Warehouse {
                client_key_file: Some(ca),
                ..with_all.clone()
            },
            Class::Operator,
            "client_key_file",
        ),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let prefill = installation(&dir, &[("default", warehouse)]).await;
        let error = prefill.store(DEFAULT_WAREHOUSE).await.expect_err(what);
        assert_eq!(error.class(), class, "{what}: {}", error.chain());
        assert!(error.chain().contains(says), "{what}: {}", error.chain());
        assert!(error.next_step().is_some(), "{what}");
    }
}

fn certificates_pem_of_another() -> String {
    certificates().ca
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_what_a_server_lacks_is_named_before_any_work() {
    let world = world_with_events().await;
    let dir = tempfile::tempdir().expect("a directory");
    // Another database: there is no table of events in it, and none is made on a server.
    let mut warehouse = server(&world, None);
    warehouse.database = "analytics".to_owned();
    let refused = |warehouse: Warehouse| {
        let dir = &dir;
        async move {
            let prefill = installation(dir, &[("default", warehouse)]).await;
            prefill.store(DEFAULT_WAREHOUSE).await.expect_err("refused")
        }
    };
    let error = refused(warehouse.clone()).await;
    assert_eq!(error.class(), Class::Operator);
    assert!(
        error.chain().contains("no table `analytics`.`events`"),
        "{}",
        error.chain()
    );
    let hint = error.next_step().expect("a hint");
    assert!(
        hint.contains("prefill migrate --with-source makes one"),
        "{hint}"
    );
    let development = Warehouse {
        database: "development".to_owned(),
        ..warehouse.clone()
    };
    let place = Place {
        data_dir: dir.path().to_path_buf(),
        program: Some(program()),
    };
    let made = Store::prepared(DEFAULT_WAREHOUSE, &development, &place, true).await;
    let (_, tables) = made.expect("made");
    assert_eq!(
        (&*tables[0].table, tables[0].created),
        ("development.events", true)
    );
    warehouse.source.table = "default.events".to_owned();
    let prefill = installation(&dir, &[("default", warehouse.clone())]).await;
    prefill.store(DEFAULT_WAREHOUSE).await.expect("it fits now");
    world
        .query("alter table analytics.web_pre_aggregated_bounces drop column bounces_count_state")
        .await;
    let error = refused(warehouse.clone()).await;
    assert!(
        error
            .chain()
            .contains("`analytics`.`web_pre_aggregated_bounces` has no column bounces_count_state"),
        "{}",
        error.chain()
    );
    let mut unknown = server(&world, None);
    unknown.password = Some("wrong".to_owned().into());
    let error = refused(unknown).await;
    assert_eq!(error.class(), Class::Operator, "{}", error.chain());
    assert!(
        error
            .next_step()
            .is_some_and(|hint| hint.contains("PREFILL_WAREHOUSE_PASSWORD")),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
}

/// What a proxy does to the answer of one statement.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The connection is closed before the statement is handed on.
    Refused,
    /// A proxy's own error; the statement is done.
    DoneAndAnswered500,
    /// The connection breaks in the middle of the answer; the statement is done.
    BrokenInTheMiddle,
    /// The statement is done and its answer never comes, and neither does any other for a while.
    Silent,
}

/// Stands before an engine, one request a connection, and breaks the one whose turn it is.
#[derive(Clone)]
struct Between {
    engine: String,
    calls: Arc<AtomicUsize>,
    /// The call to break, counted from 1; 0 breaks none.
    broken: Arc<AtomicUsize>,
    fault: Fault,
    /// Answers that a fault keeps back until then.
    silent_until: Arc<std::sync::Mutex<Option<Instant>>>,
    /// Answers `check grant` with no for statements that hold this.
    denied: Option<String>,
}

impl Between {
    async fn start(engine: &str, fault: Fault, denied: Option<String>) -> (Self, String) {
        let between = Self {
            engine: engine.trim_start_matches("http://").to_owned(),
            calls: Arc::default(),
            broken: Arc::default(),
            fault,
            silent_until: Arc::default(),
            denied,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = between.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let between = serving.clone();
                tokio::spawn(async move { between.serve(stream).await });
            }
        });
        (between, url)
    }

    async fn serve(self, mut client: TcpStream) {
        let Some(request) = read_request(&mut client).await else {
            return;
        };
        let text = String::from_utf8_lossy(&request).into_owned();
        if self
            .denied
            .as_ref()
            .is_some_and(|denied| text.contains("check grant") && text.contains(denied.as_str()))
        {
            let _ = client
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n0\n")
                .await;
            return;
        }
        let is_ping = text.ends_with("select 1");
        let call = if is_ping {
            0
        } else {
            self.calls.fetch_add(1, Ordering::SeqCst) + 1
        };
        let broken = call != 0 && call == self.broken.load(Ordering::SeqCst);
        if broken && self.fault == Fault::Refused {
            return;
        }
        if broken && self.fault == Fault::Silent {
            *self.silent_until.lock().expect("a lock") =
                Some(Instant::now() + Duration::from_secs(4));
        }
        let Ok(mut engine) = TcpStream::connect(&self.engine).await else {
            return;
        };
        engine
            .write_all(&closing(&request))
            .await
            .expect("handed on");
        let mut answer = Vec::new();
        engine.read_to_end(&mut answer).await.expect("an answer");
        let silent = *self.silent_until.lock().expect("a lock");
        if let Some(until) = silent.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
            if broken {
                return;
            }
        }
        if broken && self.fault == Fault::DoneAndAnswered500 {
            let _ = client
                .write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops")
                .await;
            return;
        }
        if broken && self.fault == Fault::BrokenInTheMiddle {
            answer.truncate(answer.len() - 3);
        }
        let _ = client.write_all(&answer).await;
    }
}

/// A whole request with a body of known length.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 64 << 10];
    loop {
        let read = client
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some(head) = text.find("\r\n\r\n") else {
            continue;
        };
        let length: usize = text[..head]
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().expect("a length"));
        if request.len() >= head + 4 + length {
            return Some(request);
        }
    }
}

/// The request, asking the engine to close the connection after its answer.
fn closing(request: &[u8]) -> Vec<u8> {
    let line = request
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .expect("a request line");
    [&request[..line], b"\r\nconnection: close", &request[line..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_a_permission_that_is_missing_is_named_with_the_statement_that_grants_it() {
    let world = world_with_events().await;
    let engine = world.store.warehouse.endpoint().url;
    let mut denials = vec!["alter delete on `default`.`web_pre_aggregated_stats`".to_owned()];
    // As where select_from_system_db_requires_grant is on.
    let of_system = |table| format!("select on `system`.`{table}`");
    denials.extend(SYSTEM_TABLES.map(of_system));
    for denied in denials {
        let (_, url) = Between::start(&engine, Fault::Refused, Some(denied.clone())).await;
        let dir = tempfile::tempdir().expect("a directory");
        let prefill = installation(&dir, &[("default", server(&world, Some(url)))]).await;
        let error = prefill.store(DEFAULT_WAREHOUSE).await.expect_err("refused");
        assert_eq!(error.class(), Class::Operator);
        let hint = format!("grant {denied} to default");
        assert_eq!(error.next_step(), Some(&*hint));
    }
}

#[test]
fn f28_every_system_table_that_a_statement_reads_is_asked_for_or_open_to_everybody() {
    // Of ClickHouse's always_accessible_tables those that are read.
    let open = ["columns", "databases", "settings", "tables"];
    let known: BTreeSet<&str> = open.into_iter().chain(SYSTEM_TABLES).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = BTreeSet::new();
    for text in sources(&root) {
        for words in text.split_whitespace().collect::<Vec<_>>().windows(2) {
            if let ["from" | "join", table] = words
                && let Some(table) = table.strip_prefix("system.")
            {
                let end = table.find(|c: char| !c.is_alphanumeric() && c != '_');
                read.insert(table[..end.unwrap_or(table.len())].to_owned());
            }
        }
    }
    let read: BTreeSet<&str> = read.iter().map(String::as_str).collect();
    assert_eq!(read, known);
}

/// The texts of everything in a directory.
fn sources(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                std::fs::read_to_string(path).into_iter().collect()
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_outside_of_a_fill_says_which_limit_to_raise() {
    let world = world_with_events().await;
    let dir = tempfile::tempdir().expect("a directory");
    let prefill = installation(&dir, &[("default", server(&world, None))]).await;
    let team = add_team(&prefill, 7, None).await;
    assert_eq!(fill(&prefill, team, false).await, "completed");

    // As a profile of the server's limits it: two sessions are too much.
    let mut poor = server(&world, None);
    let limit = toml::Value::Integer(1);
    poor.settings
        .insert("max_rows_to_group_by".to_owned(), limit);
    let prefill = installation(&dir, &[("default", poor)]).await;
    let target = prefill
        .target(team, first_of_may())
        .await
        .expect("a target");
    let of_validate = prefill.validate(&target).await.expect_err("too much");
    let late = page_view(team, 1, "s1", "2026-05-01T10:01:00Z", "/");
    let also_late = page_view(team, 2, "s2", "2026-05-01T12:01:00Z", "/");
    world.insert(&[late, also_late]).await;
    let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    let look = look(&prefill.ledger, store).await;
    for (error, doing) in [
        (of_validate, "failed to count the raw events"),
        (
            look.expect_err("too much"),
            "failed to look for late events",
        ),
    ] {
        let told = error.chain();
        assert!(
            told.contains(doing) && told.contains("TOO_MANY_ROWS"),
            "{told}"
        );
        assert_eq!(error.class(), Class::Narrower, "{told}");
        let hint = "raise the limit that it names, in the profile of the warehouse's user or under [warehouse.settings]";
        assert_eq!(error.next_step(), Some(hint));
    }
}

/// Of each so many calls of a fill one is broken: it is filled again until it is right.
async fn broken_calls_leave_the_right_rows(fault: Fault, every: usize) {
    let world = world_with_events().await;
    let engine = world.store.warehouse.endpoint().url;
    let (between, url) = Between::start(&engine, fault, None).await;
    let dir = tempfile::tempdir().expect("a directory");
    let prefill = installation(&dir, &[("default", server(&world, Some(url)))]).await;
    let team = add_team(&prefill, 7, None).await;
    prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    let before = between.calls.load(Ordering::SeqCst);
    assert_eq!(fill(&prefill, team, true).await, "completed");
    let calls = between.calls.load(Ordering::SeqCst) - before;
    assert!(calls > 10, "{calls}");
    let mut nth = 1;
    while nth <= calls {
        // A fill of an empty table and a refill go other ways.
        for table in ["web_pre_aggregated_stats", "web_pre_aggregated_bounces"] {
            if nth % 2 == 0 {
                world.query(&format!("truncate table {table}")).await;
            }
        }
        let at = between.calls.load(Ordering::SeqCst) + nth;
        between.broken.store(at, Ordering::SeqCst);
        let told = format!("{fault:?} of call {nth} of {calls}");
        assert_eq!(fill(&prefill, team, true).await, "completed", "{told}");
        assert_eq!(world.query(VIEWS).await, "3", "{told}");
        let differences = world.differences(team, "2026-05-01", "2026-05-02").await;
        assert!(differences.is_empty(), "{told}: {differences:?}");
        nth += every;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_that_are_too_many_at_once_are_looked_for_by_when_they_came() {
    let world = world_with_events().await;
    let dir = tempfile::tempdir().expect("a directory");
    let prefill = installation(&dir, &[("default", server(&world, None))]).await;
    let team = add_team(&prefill, 7, None).await;
    let days = ["2026-05-01", "2026-05-02", "2026-05-03"];
    let late = |day: &str, at: u128| {
        let when = format!("{day}T11:00:0{at}Z");
        page_view(team, at, &format!("{day} {at}"), &when, "/")
    };
    world.insert(&days.map(|day| late(day, 0))).await;
    assert_eq!(fill(&prefill, team, false).await, "completed");
    let asked = Asked {
        days: None,
        date_start: Some("2026-05-01".parse().expect("a date")),
        date_end: Some("2026-05-04".parse().expect("a date")),
    };
    let target = prefill.target(team, asked).await.expect("a target");
    let run = prefill.backfill(&target, false).await.expect("asked");
    let stop = CancellationToken::new();
    prefill.finish(run, &stop).await.expect("finished");

    // Of five sessions at once a set would be too large.
    let mut poor = server(&world, None);
    let limit = toml::Value::Integer(5);
    poor.settings.insert("max_rows_in_set".to_owned(), limit);
    let prefill = installation(&dir, &[("default", poor)]).await;
    let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    assert_eq!(look(&prefill.ledger, store).await.expect("looked"), 0);
    for day in days {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        world.insert(&[late(day, 1), late(day, 2)]).await;
    }
    assert_eq!(look(&prefill.ledger, store).await.expect("looked"), 3);
    let mark = prefill.ledger.mark("scanned_us:default").await;
    assert!(mark.expect("read").is_some(), "all was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_a_server_that_refuses_leaves_the_right_rows() {
    broken_calls_leave_the_right_rows(Fault::Refused, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_a_server_that_does_it_and_answers_500_leaves_the_right_rows() {
    broken_calls_leave_the_right_rows(Fault::DoneAndAnswered500, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_a_server_that_breaks_off_leaves_the_right_rows() {
    broken_calls_leave_the_right_rows(Fault::BrokenInTheMiddle, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_a_server_that_is_silent_leaves_the_right_rows() {
    // It costs seconds each time; tests/faults.rs breaks every call in the quick ways.
    broken_calls_leave_the_right_rows(Fault::Silent, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_a_command_gives_up_a_dead_server_in_seconds_and_says_which() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let dir = tempfile::tempdir().expect("a directory");
    let warehouse = Warehouse {
        url: Some(dead.clone()),
        ..Warehouse::default()
    };
    let prefill = installation(&dir, &[("default", warehouse)]).await;
    let begun = Instant::now();
    let error = prefill.store(DEFAULT_WAREHOUSE).await.expect_err("dead");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(error.class(), Class::Unreachable);
    assert!(error.chain().contains(&dead), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_of_two_warehouses_one_that_is_down_delays_nobody_and_is_filled_when_it_is_back() {
    let (eu, us) = (world_with_events().await, world_with_events().await);
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let dir = tempfile::tempdir().expect("a directory");
    let warehouses = [
        ("eu", server(&eu, None)),
        ("us", server(&us, Some(format!("http://{address}")))),
    ];
    let prefill = installation(&dir, &warehouses).await;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(prefill.clone().serve(stop.clone(), || ()));
    let now = jiff::Timestamp::now();
    let today = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for world in [&eu, &us] {
        world
            .insert(&[page_view(TeamId(7), 9, "today", &today, "/")])
            .await;
        world
            .insert(&[page_view(TeamId(8), 9, "today", &today, "/")])
            .await;
    }
    let here = add_team(&prefill, 8, Some("eu")).await;
    let there = add_team(&prefill, 7, Some("us")).await;
    let filled = |team| {
        let prefill = &prefill;
        async move {
            let slices = prefill.ledger.slices(team).await.expect("slices");
            slices
                .values()
                .any(|slice| {
                    slice
                        .receipt
                        .as_ref()
                        .is_some_and(|receipt| receipt.sessions > 0)
                })
                .then_some(())
        }
    };
    let begun = Instant::now();
    until("the team of eu is filled", Duration::from_secs(20), || {
        filled(here)
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let health = prefill
        .health(jiff::Timestamp::now())
        .await
        .expect("health");
    let down: Vec<_> = health
        .warehouses
        .iter()
        .filter(|warehouse| warehouse.error.is_some())
        .map(|warehouse| (warehouse.name.as_str(), warehouse.enabled_teams))
        .collect();
    assert_eq!(down, [("us", 1)]);
    assert_eq!(health.status, "unhealthy");
    assert!(
        health.recommendations[0].contains(&address.to_string()),
        "{health:?}"
    );
    assert!(filled(there).await.is_none());
    // It comes back at the same address.
    let listener = TcpListener::bind(address).await.expect("the port");
    let engine = us.store.warehouse.endpoint().url;
    let engine = engine.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let engine = engine.clone();
            tokio::spawn(async move {
                if let Ok(mut behind) = TcpStream::connect(engine).await {
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                }
            });
        }
    });
    until("the team of us is filled", Duration::from_secs(30), || {
        filled(there)
    })
    .await;
    stop.cancel();
    serving.await.expect("served").expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_statements_of_a_fill_have_read_is_seen_while_they_run() {
    let world = World::new().await;
    let warehouse = world.store.warehouse.clone();
    let before = warehouse.progress("prefill:slow").await.expect("asked");
    assert_eq!(before.statements, 0);
    let slow = warehouse.clone();
    let running = tokio::spawn(async move {
        slow.statement(
            "select sum(sleepEachRow(0.05)) from numbers(200) settings max_block_size = 1",
            "prefill:slow",
        )
        .run("take its time")
        .await
    });
    let seen = until("it is under way", Duration::from_secs(10), || async {
        let progress = warehouse.progress("prefill:slow").await.expect("asked");
        (progress.read_rows > 1).then_some(progress)
    })
    .await;
    assert_eq!(seen.statements, 1);
    assert!(
        seen.read_rows < 200 && seen.elapsed_seconds > 0.0,
        "{seen:?}"
    );
    warehouse.kill("prefill:slow").await.expect("killed");
    let error = running.await.expect("ended").expect_err("killed");
    assert_eq!(error.class(), Class::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_on_two_servers() {
    let world = world_with_events().await;
    let endpoint = world.store.warehouse.endpoint();
    let dir = tempfile::tempdir().expect("a directory");
    let text = format!(
        r#"
        default_warehouse = "eu"
        [warehouse]
        url = "{}"
        source = {{ table = "default.events" }}
        [warehouses.eu]
        database = "eu"
        [warehouses.us]
        database = "us"
        teams = [7]
        "#,
        endpoint.url
    );
    std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
    let run = |arguments: &[&str]| {
        let ran = std::process::Command::new(program())
            .arg("--data-dir")
            .arg(dir.path())
            .args(arguments)
            .env("PREFILL_WAREHOUSE_PASSWORD", &endpoint.password)
            .env_remove("WEB_ANALYTICS_BACKFILL_DAYS")
            .output()
            .expect("the program ran");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let (code, would, _) = run(&["migrate", "--check"]);
    assert_eq!(code, Some(0));
    assert!(
        would.contains("warehouse us: would create us.web_pre_aggregated_stats"),
        "{would}"
    );
    assert_eq!(
        world
            .query("select count() from system.databases where name in ('eu', 'us')")
            .await,
        "0"
    );
    let (code, done, _) = run(&["migrate"]);
    assert_eq!(code, Some(0));
    assert!(
        done.contains("eu: eu.web_pre_aggregated_bounces: created"),
        "{done}"
    );
    let (_, would, _) = run(&["migrate", "--check"]);
    assert!(
        would.contains("nothing to do") && !would.contains("would"),
        "{would}"
    );
    let (code, _, refused) = run(&[
        "team",
        "add",
        "--team-id",
        "9",
        "--name",
        "A",
        "--warehouse",
        "asia",
    ]);
    assert_eq!(code, Some(2));
    assert!(
        refused.contains("\"asia\"") && refused.contains("eu, us"),
        "{refused}"
    );
    for arguments in [
        &["team", "add", "--team-id", "7", "--name", "A"][..],
        &["enable", "--team-id", "7"],
        &[
            "backfill",
            "--team-id",
            "7",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
        ],
        &[
            "validate",
            "--team-id",
            "7",
            "--date-start",
            "2026-05-01",
            "--date-end",
            "2026-05-02",
        ],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{error}");
    }
    let count = "select toUInt64(sum(rows)) as n from system.parts where database = currentDatabase() and active and table = 'web_pre_aggregated_stats'";
    for (more, rows) in [
        (&["--warehouse", "us"][..], "3"),
        (&["--team-id", "7"], "3"),
        (&[], "0"),
    ] {
        let (_, out, error) = run(&[&["query", count, "--format", "TSV"], more].concat());
        assert_eq!(out.trim(), rows, "{more:?}: {error}");
    }
    let (_, health, _) = run(&["health", "--json"]);
    let health: serde_json::Value = serde_json::from_str(&health).expect("JSON");
    assert_eq!(health["warehouses"][1]["name"], "us");
    assert_eq!(health["warehouses"][1]["enabled_teams"], 1);
    assert!(health["warehouses"][1]["error"].is_null(), "{health}");
}
