//! One request, from its first byte to its last, on a thread of its own.
//!
//! Every call into the library blocks, so this is plain blocking code: it reads the body from a
//! channel, runs the statement on a connection that nobody else has, and writes the answer into a
//! channel. The engine has no cancel call and sets its own query ids; what a request is called in
//! `system.processes` is therefore [`HANDLE`].

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::body::{BodyReader, unpack};
use super::library::{Answer, Connection, Library, Parameters};
use super::reply::{Gone, Reply, WHOLE};
use super::request::{Request, form};
use super::running::{Requests, Running};
use super::session::{Sessions, Taken};
use super::statement::{self, Kind, Refused, Statement, Values, literal, name};
use super::status::{
    BAD_ARGUMENTS, CANNOT_READ_ALL_DATA, CANNOT_READ_FROM_SOCKET, Failure,
    INTO_OUTFILE_NOT_ALLOWED, NOT_IMPLEMENTED, QUERY_IS_TOO_LARGE, QUERY_WAS_CANCELLED,
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, READONLY, SYNTAX_ERROR, TOO_MANY_SIMULTANEOUS_QUERIES,
    UNKNOWN_SETTING, UNKNOWN_TYPE_OF_QUERY,
};

/// A setting that carries the query id of a request into `system.processes`. It names the table of
/// the PromQL dialect, which nothing else reads: custom settings are refused by the library,
/// `log_comment` belongs to the client, and a comment in the text is lost when parameters are bound
/// (measured on 26.7.3, 2026-11-22).
pub const HANDLE: &str = "promql_table";

/// Statements at once, like a server's `max_concurrent_queries`; more are refused with code 202.
/// KILL QUERY is let through, or a full engine could not be relieved.
const MAX_STATEMENTS: usize = 100;
/// How much of a body is read at a time to find out what statement it is.
const HEAD: usize = 64 << 10;
/// The longest statement without data. The engine's own `max_query_size` is 256 KiB by default and
/// a client may raise it.
const MAX_STATEMENT: usize = 16 << 20;
/// How much data goes to the engine at a time.
const CHUNK: usize = 256 << 10;
const DEFAULT_FORMAT: &str = "TabSeparated";
/// The setting that forbids writing: 1 also to set anything, 2 not.
const READ_ONLY: &str = "readonly";

/// The engine of this process.
pub struct Core {
    library: Arc<Library>,
    arguments: Vec<String>,
    /// Open as long as the process lives, or the engine would stop between requests. Kills go
    /// through it.
    keeper: Mutex<Connection>,
    pub sessions: Sessions,
    requests: Requests,
    statements: AtomicUsize,
    version: String,
}

/// What every connection starts with: where the library's defaults differ from a server's.
const SERVER_LIKE: [&str; 3] = [
    "--implicit_select=0",
    "--allow_introspection_functions=0",
    "--storage_file_read_method=pread",
];

impl Core {
    /// Starts the engine on `data`, with the configuration file `config`. `None` when it does not
    /// start; it says why on stderr.
    pub fn start(library: Arc<Library>, data: &Path, config: &Path) -> Option<Self> {
        let mut arguments = vec![
            format!("--path={}", data.display()),
            format!("--config-file={}", config.display()),
        ];
        arguments.extend(SERVER_LIKE.map(str::to_owned));
        let mut keeper = library.connect(&arguments)?;
        let version = keeper
            .query(b"select version()", "TSVRaw", &[])
            .map(|answer| String::from_utf8_lossy(answer.bytes()).trim().to_owned())
            .ok()?;
        Some(Self {
            library,
            arguments,
            keeper: Mutex::new(keeper),
            sessions: Sessions::default(),
            requests: Requests::default(),
            statements: AtomicUsize::new(0),
            version,
        })
    }

    /// ClickHouse's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn connect(&self) -> Result<Connection, Failure> {
        self.library.connect(&self.arguments).ok_or_else(|| {
            Failure::from("the engine refused a connection; engine.log says why".to_owned())
        })
    }

    /// Kills the statement of a request whose client went away, until it says that it is finished.
    pub fn kill(&self, query_id: &str, running: &Arc<Running>) {
        /// A statement may not have been registered yet when the client leaves; one that does not
        /// react within this time never will.
        const LIMIT: Duration = Duration::from_secs(30);
        let sql = format!(
            "kill query where Settings['{HANDLE}'] = {} async",
            literal(query_id)
        );
        let start = std::time::Instant::now();
        while !running.is_finished() && start.elapsed() < LIMIT {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            // Not the statement of the next request, which may have the same id.
            self.requests.while_it_runs(query_id, running, || {
                if let Err(error) = keeper.query(sql.as_bytes(), DEFAULT_FORMAT, &[]) {
                    tracing::warn!(
                        query_id,
                        error,
                        "failed to kill a statement whose client left"
                    );
                }
            });
            drop(keeper);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs a request and answers it.
pub fn run(
    core: &Core,
    query_id: &str,
    request: Request,
    body: BodyReader,
    mut reply: Reply,
    running: &Arc<Running>,
) {
    reply.pack(request.answer, request.native_answer);
    if request.wait_end {
        reply.wait_for_the_end();
    }
    let outcome = registered(core, query_id, running, request, body, &mut reply);
    running.finish();
    let sent = match outcome {
        Ok(()) => reply.finish(),
        Err(Stop::Failed(mut failure)) => {
            if !failure.text.contains("(version ") {
                failure.text = format!("{} (version {})", failure.text, core.version);
            }
            reply.fail(&failure)
        }
        Err(Stop::Gone) => Ok(()),
    };
    if sent.is_err() {
        tracing::debug!(query_id, "the client went away before its answer");
    }
}

/// Why a request ended early.
enum Stop {
    Failed(Failure),
    Gone,
}

/// What a request that is done has done.
enum Did {
    Read,
    Write,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<String> for Stop {
    fn from(refusal: String) -> Self {
        Self::Failed(refusal.into())
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A body that cannot be read: broken compression, or a client that left.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let message = format!("Cannot read the request body: {error}");
        Self::Failed(Failure::new(CANNOT_READ_FROM_SOCKET, message))
    }
}

/// Runs a request under its query id, which no other running one may have.
fn registered(
    core: &Core,
    query_id: &str,
    running: &Arc<Running>,
    request: Request,
    body: BodyReader,
    reply: &mut Reply,
) -> Result<(), Stop> {
    if !core.requests.add(query_id, running) {
        let message = format!("Query with id = {query_id} is already running");
        return Err(Failure::new(QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, message).into());
    }
    let outcome = parsed(core, query_id, request, body, reply);
    core.requests.remove(query_id);
    // The engine ends the answer of a killed statement early and calls it done. What writes fails by itself.
    if matches!(outcome, Ok(Did::Read)) && running.is_killed() {
        return Err(Failure::new(QUERY_WAS_CANCELLED, "Query was cancelled").into());
    }
    outcome.map(|_| ())
}

/// Finds out what statement it is and gives it a connection.
fn parsed(
    core: &Core,
    query_id: &str,
    mut request: Request,
    body: BodyReader,
    reply: &mut Reply,
) -> Result<Did, Stop> {
    request.read_only |= request
        .settings
        .iter()
        .any(|(n, v)| n == READ_ONLY && v != "0");
    let mut body = unpack(body, request.body, request.native_body)?;
    let mut externals = Vec::new();
    let mut text = std::mem::take(&mut request.query).into_bytes();
    if let Some(boundary) = request.boundary.clone() {
        let whole = read_up_to(&mut body, MAX_STATEMENT)?;
        for field in form(&whole, &boundary)? {
            if field.file {
                externals.push(field);
                continue;
            }
            let value = String::from_utf8(field.data)
                .map_err(|_| Failure::new(BAD_ARGUMENTS, "A form field is no UTF-8 text"))?;
            if field.name == "query" {
                text.extend_from_slice(value.as_bytes());
            } else {
                request.field(field.name, value)?;
            }
        }
        body = Box::new(io::empty());
    }
    if !text.is_empty() {
        text.push(b'\n');
    }
    let statement = understand(&mut text, &mut body)?;
    if let (Some(_), true) = (&request.session, request.read_only) {
        // `readonly` can be set on a connection but not lowered again, and the session goes on.
        if !statement.reads {
            let message = "default: Cannot execute query in readonly mode";
            return Err(Failure::new(READONLY, message).into());
        }
    }
    let _permit = Permit::take(core, &statement)?;
    let default_format = request.default_format.clone();
    let format = statement.format.as_deref().or(default_format.as_deref());
    reply.set_format(match statement.kind {
        Kind::Insert { .. } => DEFAULT_FORMAT,
        _ => format.unwrap_or(DEFAULT_FORMAT),
    });
    with_connection(core, query_id, &request, &statement, |connection| {
        for table in &externals {
            external(connection, table, &request)?;
        }
        if request.read_only && request.session.is_none() {
            let strictly = request
                .settings
                .iter()
                .any(|(n, v)| n == READ_ONLY && v == "1");
            let set = format!("set {READ_ONLY} = {}", if strictly { 1 } else { 2 });
            connection.query(set.as_bytes(), DEFAULT_FORMAT, &[])?;
        }
        perform(
            core, connection, &statement, &text, &request, &mut body, reply,
        )
    })?;
    Ok(if statement.reads {
        Did::Read
    } else {
        Did::Write
    })
}

/// Reads as much of the body as it takes to know the statement: all of it, or an INSERT's head.
fn understand(text: &mut Vec<u8>, body: &mut dyn Read) -> Result<Statement, Stop> {
    let mut chunk = vec![0; HEAD];
    let mut look_at = 0;
    loop {
        // The URL alone may say it all, and the data of its INSERT may be slow to come. A long
        // statement without data is not looked at again for each piece.
        if text.len() >= look_at {
            match statement::read(text, false) {
                Some(known) => return Ok(known.map_err(refusal)?),
                None if text.len() > HEAD => look_at = 2 * text.len(),
                None => {}
            }
        }
        match body.read(&mut chunk) {
            Ok(0) => {
                let statement = statement::read(text, true).expect("a complete text is understood");
                return Ok(statement.map_err(refusal)?);
            }
            Ok(length) => text.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if text.len() > MAX_STATEMENT {
            let message = format!(
                "The statement is longer than {MAX_STATEMENT} bytes; send data after INSERT … FORMAT"
            );
            return Err(Failure::new(QUERY_IS_TOO_LARGE, message).into());
        }
    }
}

fn refusal(refused: Refused) -> Failure {
    match refused {
        Refused::NoStatement => Failure::new(
            SYNTAX_ERROR,
            "Syntax error: the text is empty, or begins like no statement",
        ),
        Refused::SeveralStatements => Failure::new(
            SYNTAX_ERROR,
            "Syntax error (Multi-statements are not allowed)",
        ),
        Refused::IntoOutfile => {
            Failure::new(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        }
        Refused::FromInfile => Failure::new(
            UNKNOWN_TYPE_OF_QUERY,
            "Query has infile and was send directly to server",
        ),
        Refused::DataForInput => Failure::new(
            NOT_IMPLEMENTED,
            "The embedded engine has no input(): insert into a temporary table of a session, then INSERT … SELECT from it",
        ),
    }
}

fn read_up_to(body: &mut dyn Read, limit: usize) -> Result<Vec<u8>, Stop> {
    let mut whole = Vec::new();
    body.take(limit as u64 + 1).read_to_end(&mut whole)?;
    if whole.len() > limit {
        let message = format!("The form is longer than {limit} bytes");
        return Err(Failure::new(QUERY_IS_TOO_LARGE, message).into());
    }
    Ok(whole)
}

/// A place among the running statements.
struct Permit<'a>(&'a AtomicUsize);

impl<'a> Permit<'a> {
    fn take(core: &'a Core, statement: &Statement) -> Result<Self, Failure> {
        let running = core.statements.fetch_add(1, Ordering::AcqRel);
        let permit = Self(&core.statements);
        if running >= MAX_STATEMENTS && statement.kind != Kind::Kill {
            let message = format!(
                "Too many simultaneous queries. Maximum: {MAX_STATEMENTS}, try again later"
            );
            return Err(Failure::new(TOO_MANY_SIMULTANEOUS_QUERIES, message));
        }
        Ok(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Gives a connection with the request's database and settings: a new one, or its session's, which
/// afterwards has its own again.
fn with_connection(
    core: &Core,
    query_id: &str,
    request: &Request,
    statement: &Statement,
    work: impl FnOnce(&mut Connection) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let settings = settings(query_id, request, statement)?;
    let Some(session) = &request.session else {
        let mut connection = core.connect()?;
        prepare(&mut connection, request, &settings)?;
        return work(&mut connection);
    };
    let mut connection = match core.sessions.take(&session.id, session.must_exist)? {
        Taken::Known(connection) => connection,
        Taken::New => core
            .connect()
            .inspect_err(|_| core.sessions.forget(&session.id))?,
    };
    let outcome = in_session(core, query_id, &mut connection, request, &settings, work);
    core.sessions
        .give_back(&session.id, connection, session.timeout);
    outcome
}

/// Runs with the request's database and settings and puts the session's back.
fn in_session(
    core: &Core,
    query_id: &str,
    connection: &mut Connection,
    request: &Request,
    settings: &[(String, String)],
    work: impl FnOnce(&mut Connection) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let value = connection.query(
        format!("select getSetting('{READ_ONLY}')").as_bytes(),
        "TSVRaw",
        &[],
    )?;
    // Nothing can be set any more, also not what marks the statement: it ends by itself.
    let nothing: &[(String, String)] = &[];
    let settings = match value.bytes().trim_ascii() {
        b"1" if request.settings.is_empty() => {
            core.requests.leave_unmarked(query_id);
            nothing
        }
        _ => settings,
    };
    let names: Vec<String> = settings.iter().map(|(name, _)| literal(name)).collect();
    let remembered = format!(
        "select name, if(changed, value, '') , changed from system.settings where name in ({}) format JSONCompactEachRow",
        names.join(", ")
    );
    let before = connection.query(remembered.as_bytes(), "JSONCompactEachRow", &[])?;
    let before = String::from_utf8_lossy(before.bytes()).into_owned();
    let database = connection.query(b"select currentDatabase()", "TSVRaw", &[])?;
    let database = String::from_utf8_lossy(database.bytes())
        .trim_end()
        .to_owned();
    let mut set_by_client = false;
    let outcome = prepare(connection, request, settings).and_then(|()| {
        set_by_client = true;
        work(connection)
    });
    let mut restore = Vec::new();
    for line in before.lines() {
        if let Ok((name, value, changed)) = serde_json::from_str::<(String, String, u8)>(line) {
            restore.push(match changed {
                0 => format!("{name} = DEFAULT"),
                _ => format!("{name} = {}", literal(&value)),
            });
        }
    }
    if !restore.is_empty() && set_by_client {
        connection.query(
            format!("set {}", restore.join(", ")).as_bytes(),
            DEFAULT_FORMAT,
            &[],
        )?;
    }
    if request.database.is_some() {
        connection.query(
            format!("use {}", name(&database)).as_bytes(),
            DEFAULT_FORMAT,
            &[],
        )?;
    }
    outcome
}

/// The settings of a request: the client's, and what marks its statement.
fn settings(
    query_id: &str,
    request: &Request,
    statement: &Statement,
) -> Result<Vec<(String, String)>, Failure> {
    for (setting, _) in &request.settings {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        if setting.is_empty() || !setting.bytes().all(plain) {
            return Err(Failure::new(
                UNKNOWN_SETTING,
                format!("Unknown setting '{setting}'"),
            ));
        }
    }
    let has = |wanted: &str| {
        request
            .settings
            .iter()
            .any(|(setting, _)| setting == wanted)
    };
    let mut settings = vec![(HANDLE.to_owned(), query_id.to_owned())];
    if !has("log_comment") {
        settings.push(("log_comment".to_owned(), query_id.to_owned()));
    }
    let format = statement
        .format
        .as_deref()
        .or(request.default_format.as_deref());
    let whole = matches!(statement.kind, Kind::Select { .. })
        && matches!(streaming(statement, format, request), Streaming::No);
    if whole && !has("max_result_bytes") {
        settings.push(("max_result_bytes".to_owned(), WHOLE.to_string()));
    }
    // It forbids setting anything after it, and in a session could not be taken back.
    let ours = |name: &str| name == HANDLE || name == READ_ONLY;
    settings.extend(
        request
            .settings
            .iter()
            .filter(|(name, _)| !ours(name))
            .cloned(),
    );
    Ok(settings)
}

fn prepare(
    connection: &mut Connection,
    request: &Request,
    settings: &[(String, String)],
) -> Result<(), Stop> {
    if let Some(database) = request.database.as_deref().filter(|name| !name.is_empty()) {
        connection.query(
            format!("use {}", name(database)).as_bytes(),
            DEFAULT_FORMAT,
            &[],
        )?;
    }
    if settings.is_empty() {
        return Ok(());
    }
    let assignments: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} = {}", literal(value)))
        .collect();
    let set = format!("set {}", assignments.join(", "));
    connection.query(set.as_bytes(), DEFAULT_FORMAT, &[])?;
    Ok(())
}

/// An external table of a form: a temporary table of this connection.
fn external(
    connection: &mut Connection,
    field: &super::request::Field,
    request: &Request,
) -> Result<(), Stop> {
    let of = |what: &str| {
        let wanted = format!("{}_{what}", field.name);
        request
            .externals
            .iter()
            .find(|(n, _)| *n == wanted)
            .map(|(_, v)| v.as_str())
    };
    let columns = match (of("structure"), of("types")) {
        (Some(structure), _) => structure.to_owned(),
        (None, Some(types)) => types
            .split(',')
            .enumerate()
            .map(|(at, kind)| format!("_{} {kind}", at + 1))
            .collect::<Vec<_>>()
            .join(", "),
        (None, None) => {
            let message = format!(
                "External table {} has neither structure nor types",
                field.name
            );
            return Err(Failure::new(BAD_ARGUMENTS, message).into());
        }
    };
    let table = name(&field.name);
    let create = format!("create or replace temporary table {table} ({columns})");
    connection.query(create.as_bytes(), DEFAULT_FORMAT, &[])?;
    let format = of("format").unwrap_or(DEFAULT_FORMAT);
    let mut insert = connection.insert(format!("insert into {table}").as_bytes(), format, &[])?;
    insert.append(&field.data)?;
    insert.finish()?;
    Ok(())
}

/// Runs the statement.
fn perform(
    core: &Core,
    connection: &mut Connection,
    statement: &Statement,
    text: &[u8],
    request: &Request,
    body: &mut dyn Read,
    reply: &mut Reply,
) -> Result<(), Stop> {
    let format = statement
        .format
        .as_deref()
        .or(request.default_format.as_deref());
    let parameters = request.parameters.as_slice();
    match statement.kind {
        Kind::Insert { head, data } => {
            let format = format.unwrap_or("Values");
            let mut insert = connection.insert(&text[..head], format, parameters)?;
            let mut values = format.eq_ignore_ascii_case("Values").then(Values::default);
            let mut append = |data: &[u8]| -> Result<(), Stop> {
                if values.as_mut().is_some_and(|v| v.go_on_after_end(data)) {
                    let message = "Cannot read data after semicolon";
                    return Err(Failure::new(CANNOT_READ_ALL_DATA, message).into());
                }
                Ok(insert.append(data)?)
            };
            if data < text.len() {
                append(&text[data..])?;
            }
            let mut chunk = vec![0; CHUNK];
            loop {
                let length = fill(body, &mut chunk)?;
                if length == 0 {
                    break;
                }
                append(&chunk[..length])?;
            }
            reply.count(insert.finish()?);
            Ok(())
        }
        Kind::Select { .. } => {
            let streaming = streaming(statement, format, request);
            let format = format.unwrap_or(DEFAULT_FORMAT);
            if streaming == Streaming::No {
                reply.wait_for_the_end();
                let answer = connection.query(text, format, parameters)?;
                reply.count(answer.counts());
                return Ok(reply.write(answer.bytes())?);
            }
            let mut stream = connection.stream(text, format, parameters)?;
            let mut header = None;
            let mut array = None;
            while let Some(chunk) = stream.next()? {
                reply.count(chunk.counts());
                let bytes = chunk.bytes();
                if header.is_none() && streaming == Streaming::Objects && bytes.starts_with(b"[") {
                    array = Some(RowsOfArray::default());
                }
                if let Some(array) = &mut array {
                    header.get_or_insert_default();
                    let rows = rows_of_array(bytes).ok_or("a chunk that is no array".to_owned())?;
                    array.write(rows, reply)?;
                    continue;
                }
                match &header {
                    None => {
                        let length = streaming.header(bytes);
                        header = Some(bytes[..length].to_vec());
                        reply.write(bytes)?;
                    }
                    Some(header) => match bytes.strip_prefix(header.as_slice()) {
                        Some(rest) => reply.write(rest)?,
                        None => {
                            return Err("a chunk without the header of the first"
                                .to_owned()
                                .into());
                        }
                    },
                }
            }
            match array {
                Some(array) => array.end(reply),
                None => Ok(()),
            }
        }
        Kind::Kill => {
            let format = format.unwrap_or(DEFAULT_FORMAT);
            let answer = kill(core, connection, text, format, parameters)?;
            Ok(reply.write(answer.bytes())?)
        }
        Kind::Other => {
            let answer = connection.query(text, format.unwrap_or(DEFAULT_FORMAT), parameters)?;
            reply.count(answer.counts());
            Ok(reply.write(answer.bytes())?)
        }
    }
}

/// A `KILL QUERY` of those statements alone that its condition is true of now, and their requests.
struct Aimed {
    text: Vec<u8>,
    at: Vec<Arc<Running>>,
}

/// Finds out whom a `KILL QUERY` is about. In its condition, which may be any, `query_id` is what a client calls its
/// statement, unless it names one by the engine's own id. `None` when the engine has to say what is wrong with it.
fn aim(
    core: &Core,
    connection: &mut Connection,
    kill: &[u8],
    parameters: &Parameters,
) -> Result<Option<Aimed>, Failure> {
    let own_ids = connection.query(b"select query_id from system.processes", "TSVRaw", &[])?;
    let text = String::from_utf8_lossy(kill);
    let names_own = String::from_utf8_lossy(own_ids.bytes())
        .lines()
        .filter(|id| !id.is_empty())
        .any(|id| text.contains(id) || parameters.iter().any(|(_, value)| value.contains(id)));
    let clients = "replace (if(handle = '', query_id, handle) as query_id, if(handle = '', initial_query_id, handle) as initial_query_id)";
    let replaced = if names_own { "" } else { clients };
    let processes = format!(
        "(select * {replaced} from (select *, query_id as own_id, Settings['{HANDLE}'] as handle from system.processes \
         settings asterisk_include_alias_columns = 1))"
    );
    let Some(killing) = statement::killing(kill, &processes) else {
        return Ok(None);
    };
    let select = format!("select own_id, handle from {processes} as processes where (");
    // A comment may end it.
    let select = [select.as_bytes(), &killing.condition, b"\n)"].concat();
    let found = connection.query(&select, "JSONCompactEachRow", parameters)?;
    let mut ids = vec![literal("")];
    let mut at = Vec::new();
    for line in String::from_utf8_lossy(found.bytes()).lines() {
        let [own_id, handle] = serde_json::from_str::<[String; 2]>(line)
            .map_err(|error| Failure::from(format!("an id that cannot be read: {error}")))?;
        ids.push(literal(&own_id));
        if !killing.only_tells {
            at.extend(core.requests.marked(&handle));
        }
    }
    let these = format!(" query_id in ({}) ", ids.join(", "));
    let text = [&killing.head, these.as_bytes(), &killing.tail].concat();
    Ok(Some(Aimed { text, at }))
}

/// Kills what a `KILL QUERY` is about.
fn kill(
    core: &Core,
    connection: &mut Connection,
    text: &[u8],
    format: &str,
    parameters: &Parameters,
) -> Result<Answer, Failure> {
    let Some(aimed) = aim(core, connection, text, parameters)? else {
        return Ok(connection.query(text, format, parameters)?);
    };
    // Before, or an answer might end early and not know why.
    aimed.at.iter().for_each(|running| running.tell());
    Ok(connection
        .query(&aimed.text, format, parameters)
        .inspect_err(|_| aimed.at.iter().for_each(|running| running.take_back()))?)
}

/// Reads until the buffer is full or the body ends.
fn fill(body: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match body.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// How the chunks of an answer add up to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streaming {
    /// They don't: something stands around or between the rows.
    No,
    /// One after the other.
    Rows,
    /// As [`Self::Rows`], unless `output_format_json_array_of_rows` makes an array of each.
    Objects,
    /// Each begins with the same lines.
    Lines(usize),
    /// Each begins with the number of columns, their names and, with `types`, their types.
    Columns { types: bool },
}

impl Streaming {
    /// The length of what every chunk begins with.
    fn header(self, chunk: &[u8]) -> usize {
        match self {
            Self::No | Self::Rows | Self::Objects => 0,
            Self::Lines(lines) => {
                let ends = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                ends.map(|(at, _)| at + 1)
                    .nth(lines - 1)
                    .unwrap_or(chunk.len())
            }
            Self::Columns { types } => columns_header(chunk, types).unwrap_or(chunk.len()),
        }
    }
}

fn streaming(statement: &Statement, format: Option<&str>, request: &Request) -> Streaming {
    let extremes = request.settings.iter().any(|(name, _)| name == "extremes");
    if extremes || statement.kind != (Kind::Select { totals: false }) {
        return Streaming::No;
    }
    match format.unwrap_or(DEFAULT_FORMAT) {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedRaw"
        | "TSVRaw"
        | "CSV"
        | "JSONCompactEachRow"
        | "JSONCompactStringsEachRow"
        | "RowBinary"
        | "Native"
        | "LineAsString"
        | "MsgPack"
        | "Null" => Streaming::Rows,
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONStringsEachRow" => Streaming::Objects,
        "TabSeparatedWithNames" | "TSVWithNames" | "JSONCompactEachRowWithNames" => {
            Streaming::Lines(1)
        }
        "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes"
        | "JSONCompactEachRowWithNamesAndTypes" => Streaming::Lines(2),
        "RowBinaryWithNames" => Streaming::Columns { types: false },
        "RowBinaryWithNamesAndTypes" => Streaming::Columns { types: true },
        _ => Streaming::No,
    }
}

/// One array of the rows of many, while it is written.
#[derive(Default)]
struct RowsOfArray {
    has_rows: bool,
}

impl RowsOfArray {
    const BEGIN: &[u8] = b"[\n";
    const END: &[u8] = b"\n]\n";

    fn write(&mut self, rows: &[u8], reply: &mut Reply) -> Result<(), Stop> {
        if rows.is_empty() {
            return Ok(());
        }
        reply.write(if self.has_rows { b",\n" } else { Self::BEGIN })?;
        self.has_rows = true;
        Ok(reply.write(rows)?)
    }

    fn end(self, reply: &mut Reply) -> Result<(), Stop> {
        if !self.has_rows {
            reply.write(Self::BEGIN)?;
        }
        Ok(reply.write(Self::END)?)
    }
}

/// The rows within an array.
fn rows_of_array(chunk: &[u8]) -> Option<&[u8]> {
    let rows = chunk.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(rows.trim_ascii())
}

/// The length of the header of RowBinaryWithNames[AndTypes].
fn columns_header(chunk: &[u8], types: bool) -> Option<usize> {
    let (columns, mut at) = varint(chunk, 0)?;
    for _ in 0..if types { 2 * columns } else { columns } {
        let (length, after) = varint(chunk, at)?;
        at = after.checked_add(length)?;
    }
    (at <= chunk.len()).then_some(at)
}

/// A variable-length number and where it ends.
fn varint(chunk: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut value, mut shift) = (0usize, 0);
    loop {
        let byte = *chunk.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((value, at));
        }
        shift += 7;
    }
}
