//! `libchdb`, ClickHouse as a shared library: every call into it, and nothing else.
//!
//! The library is opened at run time, so that nothing needs it to build and production never loads
//! its 566 MB. It is never unloaded: its threads outlive every connection. Errors of statements are
//! ClickHouse's own text (`Code: 60. DB::Exception: …`) and stay text here, because the only reader
//! is the HTTP answer.
//!
//! Assumes chdb 26.7.3 (`chdb.h` of that release). A connection runs one statement at a time, which
//! `&mut self` holds; connections run beside each other.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

/// What ClickHouse says about a statement that failed.
pub type Refusal = String;

/// Values bound to `{name:Type}`.
pub type Parameters = [(String, String)];

/// `chdb_connection`, and what `chdb_connect` returns is a pointer to one.
type Handle = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;

type WithParameters = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> *mut c_void;
type Counter = unsafe extern "C" fn(RawResult) -> u64;

/// The functions of the library, looked up once.
pub struct Library {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: WithParameters,
    stream_query: WithParameters,
    stream_fetch: unsafe extern "C" fn(Handle, RawResult) -> RawResult,
    stream_cancel: unsafe extern "C" fn(Handle, RawResult),
    destroy_result: unsafe extern "C" fn(RawResult),
    stream_insert: WithParameters,
    append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_cancel: unsafe extern "C" fn(RawInsert),
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(RawInsert),
    result_buffer: unsafe extern "C" fn(RawResult) -> *mut c_char,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_rows: Counter,
    result_bytes: Counter,
    read_rows: Counter,
    read_bytes: Counter,
    written_rows: Counter,
    written_bytes: Counter,
    _library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Opens the library at `path` and tells it to leave the process's signal handlers alone (with
    /// them, an abort hangs).
    ///
    /// # Errors
    ///
    /// When the file is no library, or not this one.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let refused = |error: libloading::Error| {
            Error::operator(format!("failed to load {} as libchdb", path.display()))
                .caused_by(error)
                .hint(super::fetch::HINT)
        };
        // The engine takes its time zone from the environment alone (`<timezone>` of the
        // configuration is not read, 2026-11-22), and results must not depend on the machine.
        if std::env::var_os("TZ").as_deref() != Some("UTC".as_ref()) {
            // SAFETY: the first thing that the serving process does; no other thread reads the
            // environment yet. A started engine gets it from its parent and does not come here.
            unsafe { std::env::set_var("TZ", "UTC") };
        }
        // SAFETY: loading runs the library's initialisers. The file is the pinned, checksummed
        // one, or one that the operator named.
        let library = unsafe { libloading::Library::new(path) }.map_err(refused)?;
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the type is that of the declaration in chdb.h of 26.7, and the pointer
                // stays valid because the library is never unloaded.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }.map_err(refused)?
            };
        }
        let quiet: unsafe extern "C" fn(c_int) = symbol!("chdb_set_signal_handlers_enabled");
        let functions = Self {
            connect: symbol!("chdb_connect"),
            close: symbol!("chdb_close_conn"),
            query: symbol!("chdb_query_with_params_n"),
            stream_query: symbol!("chdb_stream_query_with_params_n"),
            stream_fetch: symbol!("chdb_stream_fetch_result"),
            stream_cancel: symbol!("chdb_stream_cancel_query"),
            destroy_result: symbol!("chdb_destroy_query_result"),
            stream_insert: symbol!("chdb_stream_insert_with_params_n"),
            append: symbol!("chdb_stream_append"),
            insert_done: symbol!("chdb_stream_done"),
            insert_cancel: symbol!("chdb_stream_cancel_insert"),
            insert_error: symbol!("chdb_stream_insert_error"),
            destroy_insert: symbol!("chdb_destroy_insert_stream"),
            result_buffer: symbol!("chdb_result_buffer"),
            result_length: symbol!("chdb_result_length"),
            result_error: symbol!("chdb_result_error"),
            result_rows: symbol!("chdb_result_rows_read"),
            result_bytes: symbol!("chdb_result_bytes_read"),
            read_rows: symbol!("chdb_result_storage_rows_read"),
            read_bytes: symbol!("chdb_result_storage_bytes_read"),
            written_rows: symbol!("chdb_result_rows_written"),
            written_bytes: symbol!("chdb_result_bytes_written"),
            _library: ManuallyDrop::new(library),
        };
        // SAFETY: takes a flag and touches nothing of ours; called before the first connection.
        unsafe { quiet(0) };
        Ok(Arc::new(functions))
    }

    /// A connection. The first one starts the engine on the `--path` among the arguments.
    ///
    /// `None` when the library refuses; it says why on stderr.
    pub fn connect(self: &Arc<Self>, arguments: &[String]) -> Option<Connection> {
        let mut owned = vec![c"clickhouse".to_owned()];
        for argument in arguments {
            owned.push(CString::new(argument.as_str()).ok()?);
        }
        let mut pointers: Vec<*mut c_char> = owned.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` valid null-terminated strings that outlive the call; the library copies
        // what it keeps and does not write through the pointers.
        let slot = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        (!slot.is_null()).then(|| Connection {
            library: Arc::clone(self),
            slot,
        })
    }
}

/// Rows and bytes that a statement read, answered and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub result_rows: u64,
    pub result_bytes: u64,
    pub read_rows: u64,
    pub read_bytes: u64,
    pub written_rows: u64,
    pub written_bytes: u64,
}

impl Counts {
    /// The sum with another chunk of the same statement.
    pub fn add(&mut self, other: Self) {
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
    }
}

/// A connection: its own settings, current database and temporary tables.
pub struct Connection {
    library: Arc<Library>,
    slot: *mut Handle,
}

// SAFETY: the library lets any thread use a connection as long as one does at a time, which
// `&mut self` on every statement holds.
unsafe impl Send for Connection {}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: `slot` came from `chdb_connect`, was not null, and is closed only in `drop`.
        unsafe { *self.slot }
    }

    fn call(&self, function: WithParameters, sql: &[u8], format: &str, p: &Parameters) -> Handle {
        let pointers = |values: Vec<&String>| -> (Vec<*const c_char>, Vec<usize>) {
            values
                .into_iter()
                .map(|v| (v.as_ptr().cast::<c_char>(), v.len()))
                .unzip()
        };
        let (names, name_lengths) = pointers(p.iter().map(|(name, _)| name).collect());
        let (values, value_lengths) = pointers(p.iter().map(|(_, value)| value).collect());
        // SAFETY: every pointer goes with its length and lives until the call returns, which is as
        // long as the library reads them; the connection is open and used by this thread alone.
        unsafe {
            function(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                p.len(),
            )
        }
    }

    /// Runs a statement and keeps its whole answer in memory.
    pub fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Answer, Refusal> {
        let raw = self.call(self.library.query, sql, format, parameters);
        Answer::take(&self.library, raw)
    }

    /// Runs a SELECT whose answer comes in chunks.
    pub fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Stream<'_>, Refusal> {
        let raw = self.call(self.library.stream_query, sql, format, parameters);
        let answer = Answer::take(&self.library, raw)?;
        Ok(Stream {
            connection: self,
            answer,
            ended: false,
        })
    }

    /// Starts an INSERT (its text ends before FORMAT or VALUES) whose data come in chunks.
    pub fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Insert<'_>, Refusal> {
        let raw = self.call(self.library.stream_insert, sql, format, parameters);
        if raw.is_null() {
            return Err("the engine gave no insert stream".to_owned());
        }
        let insert = Insert {
            connection: self,
            raw,
            ended: false,
        };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }
}

/// Ends the process of an engine at once. What the library does at the end of a process goes wrong where its threads
/// are still at work: three in four that had read a table ended with a segmentation fault.
pub fn leave(code: u8) -> ! {
    // SAFETY: it takes a number and does not return; nothing runs after it.
    unsafe { libc::_exit(i32::from(code)) }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: open until here, and nothing borrows it any more.
        unsafe { (self.library.close)(self.slot) }
    }
}

/// The answer to a statement, or one chunk of it, in the library's memory.
pub struct Answer {
    library: Arc<Library>,
    raw: RawResult,
}

impl Answer {
    fn take(library: &Arc<Library>, raw: RawResult) -> Result<Self, Refusal> {
        if raw.is_null() {
            return Err("the engine gave no answer".to_owned());
        }
        let answer = Self {
            library: Arc::clone(library),
            raw,
        };
        // SAFETY: a live result; the text is copied at once.
        match text(unsafe { (library.result_error)(raw) }) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// The data, in the format asked for.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a live result.
        let (buffer, length) = unsafe {
            (
                (self.library.result_buffer)(self.raw),
                (self.library.result_length)(self.raw),
            )
        };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the library says that `length` bytes lie there, and they live as long as the
        // result, which is destroyed in `drop`.
        unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) }
    }

    /// What the statement, or this chunk, read and wrote.
    pub fn counts(&self) -> Counts {
        // SAFETY: a live result, and the function reads a number of it.
        let count = |counter: Counter| unsafe { counter(self.raw) };
        Counts {
            result_rows: count(self.library.result_rows),
            result_bytes: count(self.library.result_bytes),
            read_rows: count(self.library.read_rows),
            read_bytes: count(self.library.read_bytes),
            written_rows: count(self.library.written_rows),
            written_bytes: count(self.library.written_bytes),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: live until here; `bytes` borrows from `self`.
        unsafe { (self.library.destroy_result)(self.raw) }
    }
}

/// A running SELECT. Dropped before its end, it is cancelled.
pub struct Stream<'connection> {
    connection: &'connection mut Connection,
    answer: Answer,
    ended: bool,
}

impl Stream<'_> {
    /// The next chunk; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Answer>, Refusal> {
        if self.ended {
            return Ok(None);
        }
        let library = &self.connection.library;
        // SAFETY: the stream belongs to this connection, and both are used by this thread alone.
        let raw = unsafe { (library.stream_fetch)(self.connection.handle(), self.answer.raw) };
        match Answer::take(library, raw) {
            Ok(chunk) if chunk.bytes().is_empty() => {
                self.ended = true;
                Ok(None)
            }
            Ok(chunk) => Ok(Some(chunk)),
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let cancel = self.connection.library.stream_cancel;
            // SAFETY: as in `next`; the handle itself is destroyed with `answer` afterwards.
            unsafe { cancel(self.connection.handle(), self.answer.raw) }
        }
    }
}

/// A running INSERT. Dropped before [`Insert::finish`], it is cancelled.
pub struct Insert<'connection> {
    connection: &'connection mut Connection,
    raw: RawInsert,
    ended: bool,
}

impl Insert<'_> {
    fn error(&self) -> Option<Refusal> {
        // SAFETY: a live handle; the text is copied at once.
        text(unsafe { (self.connection.library.insert_error)(self.raw) })
    }

    /// Hands over more data; waits while the engine is behind.
    pub fn append(&mut self, data: &[u8]) -> Result<(), Refusal> {
        // SAFETY: the library copies `data.len()` bytes before it returns.
        let state =
            unsafe { (self.connection.library.append)(self.raw, data.as_ptr().cast(), data.len()) };
        if state == 0 {
            return Ok(());
        }
        match self.finish() {
            Err(error) => Err(error),
            Ok(_) => Err("the engine took no more data".to_owned()),
        }
    }

    /// Ends the data and commits them.
    pub fn finish(&mut self) -> Result<Counts, Refusal> {
        self.ended = true;
        // SAFETY: a live handle, finished once: `ended` is set and callers stop after an error.
        let raw = unsafe { (self.connection.library.insert_done)(self.raw) };
        Answer::take(&self.connection.library, raw).map(|answer| answer.counts())
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        let library = &self.connection.library;
        // SAFETY: a live handle, cancelled at most once and destroyed once.
        unsafe {
            if !self.ended {
                (library.insert_cancel)(self.raw);
            }
            (library.destroy_insert)(self.raw);
        }
    }
}

/// A C string as text; `None` where there is none.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the library's strings are null-terminated and live at least until its next call on
    // the same object, which cannot come before this copy.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}
