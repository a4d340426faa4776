//! The answer to a client, from the thread that runs the statement to the connection.
//!
//! Nothing is sent until the answer is complete or [`HOLD`] is full, so that a statement that fails
//! early gets its status, and a small answer its exact summary. After that an error can only break
//! the answer off, with ClickHouse's tagged exception as its last bytes.

use std::io::Write;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::blocks;
use super::library::Counts;
use super::request::Coding;
use super::status::Failure;

/// How much of an answer is held back (ClickHouse's `buffer_size` is 1 MiB too).
const HOLD: usize = 1 << 20;
/// How much with `wait_end_of_query=1`, and at most for a format that cannot be streamed: an
/// answer that a laptop can hold. Also `max_result_bytes` of such a statement.
pub const WHOLE: usize = 1 << 30;

/// What the connection gets.
pub enum Event {
    Head(StatusCode, HeaderMap),
    Data(Bytes),
    /// The answer is complete. Without it, it is broken off.
    End,
}

/// The client went away.
#[derive(Debug)]
pub struct Gone;

enum Packer {
    Plain(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// ClickHouse's own blocks: data collect until there is enough for one.
    Native {
        pending: Vec<u8>,
        out: Vec<u8>,
    },
}

const NATIVE_BLOCK: usize = 1 << 20;

impl Packer {
    fn new(coding: Coding, native: bool) -> Self {
        if native {
            return Self::Native {
                pending: Vec::new(),
                out: Vec::new(),
            };
        }
        let level = flate2::Compression::fast();
        match coding {
            Coding::Plain => Self::Plain(Vec::new()),
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                64 << 10,
                1,
                22,
            ))),
            Coding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Coding::Zstd => Self::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), 1)
                    .expect("zstd has level 1, and a Vec takes every write"),
            ),
        }
    }

    fn write(&mut self, data: &[u8]) {
        let written = match self {
            Self::Plain(out) => out.write_all(data),
            Self::Gzip(out) => out.write_all(data),
            Self::Deflate(out) => out.write_all(data),
            Self::Brotli(out) => out.write_all(data),
            Self::Lz4(out) => out.write_all(data),
            Self::Zstd(out) => out.write_all(data),
            Self::Native { pending, out } => {
                pending.extend_from_slice(data);
                while pending.len() >= NATIVE_BLOCK {
                    let rest = pending.split_off(NATIVE_BLOCK);
                    out.extend_from_slice(&blocks::compress(pending));
                    *pending = rest;
                }
                Ok(())
            }
        };
        written.expect("a Vec takes every write");
    }

    /// What is packed so far, taken out.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Plain(out) | Self::Native { out, .. } => out,
            Self::Gzip(out) => out.get_mut(),
            Self::Deflate(out) => out.get_mut(),
            Self::Brotli(out) => out.get_mut(),
            Self::Lz4(out) => out.get_mut(),
            Self::Zstd(out) => out.get_mut(),
        })
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out.finish().expect("a Vec takes every write"),
            Self::Deflate(out) => out.finish().expect("a Vec takes every write"),
            Self::Brotli(out) => out.into_inner(),
            Self::Lz4(out) => out.finish().expect("a Vec takes every write"),
            Self::Zstd(out) => out.finish().expect("a Vec takes every write"),
            Self::Native { pending, mut out } => {
                if !pending.is_empty() {
                    out.extend_from_slice(&blocks::compress(&pending));
                }
                out
            }
        }
    }
}

/// The answer while it is made.
pub struct Reply {
    sender: mpsc::Sender<Event>,
    coding: Coding,
    native: bool,
    packer: Packer,
    held: Vec<u8>,
    hold: usize,
    committed: bool,
    started: Instant,
    /// What a broken answer ends with, so that a client can tell it from data.
    tag: String,
    format: String,
    counts: Counts,
    query_id: String,
}

impl Reply {
    pub fn new(sender: mpsc::Sender<Event>, query_id: String) -> Self {
        let tag = (0..16)
            .map(|_| char::from(rand::random_range(b'a'..=b'z')))
            .collect();
        Self {
            sender,
            coding: Coding::Plain,
            native: false,
            packer: Packer::new(Coding::Plain, false),
            held: Vec::new(),
            hold: HOLD,
            committed: false,
            started: Instant::now(),
            tag,
            format: "TabSeparated".to_owned(),
            counts: Counts::default(),
            query_id,
        }
    }

    /// Chooses how the answer is packed, before anything is written.
    pub fn pack(&mut self, coding: Coding, native: bool) {
        (self.coding, self.native) = (coding, native);
        self.packer = Packer::new(coding, native);
    }

    /// Holds everything back until the end is known.
    pub fn wait_for_the_end(&mut self) {
        self.hold = WHOLE;
    }

    pub fn set_format(&mut self, format: &str) {
        format.clone_into(&mut self.format);
    }

    pub fn count(&mut self, counts: Counts) {
        self.counts.add(counts);
    }

    /// Writes data of the answer.
    pub fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        self.packer.write(data);
        let packed = self.packer.take();
        if self.committed {
            return self.send(packed);
        }
        self.held.extend_from_slice(&packed);
        if self.held.len() > self.hold {
            self.commit(StatusCode::OK, None)?;
        }
        Ok(())
    }

    /// The answer is complete.
    pub fn finish(mut self) -> Result<(), Gone> {
        let packer = std::mem::replace(&mut self.packer, Packer::Plain(Vec::new()));
        // Nothing packed stays nothing, except that gzip and the like have a frame around it.
        let rest = packer.finish();
        if self.committed {
            self.send(rest)?;
        } else {
            self.held.extend_from_slice(&rest);
            self.commit(StatusCode::OK, None)?;
        }
        self.event(Event::End)
    }

    /// The statement failed: an error with its status, or, in the middle of an answer, ClickHouse's
    /// tagged exception and a broken end.
    pub fn fail(mut self, failure: &Failure) -> Result<(), Gone> {
        let mut packer = Packer::new(self.coding, self.native);
        if !self.committed {
            self.held.clear();
            packer.write(failure.text.as_bytes());
            packer.write(b"\n");
            self.held = packer.finish();
            self.commit(failure.status(), Some(failure))?;
            return self.event(Event::End);
        }
        let tag = &self.tag;
        let message = format!("{}\n", failure.text);
        let tail = format!(
            "\r\n__exception__\r\n{tag}\r\n{message}{} {tag}\r\n__exception__\r\n",
            message.len()
        );
        self.packer.write(tail.as_bytes());
        let packer = std::mem::replace(&mut self.packer, Packer::Plain(Vec::new()));
        self.send(packer.finish())
    }

    fn commit(&mut self, status: StatusCode, failure: Option<&Failure>) -> Result<(), Gone> {
        self.committed = true;
        let headers = self.headers(failure);
        self.event(Event::Head(status, headers))?;
        let held = std::mem::take(&mut self.held);
        self.send(held)
    }

    fn headers(&self, failure: Option<&Failure>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let c = &self.counts;
        let summary = serde_json::json!({
            "read_rows": c.read_rows.to_string(),
            "read_bytes": c.read_bytes.to_string(),
            "written_rows": c.written_rows.to_string(),
            "written_bytes": c.written_bytes.to_string(),
            "total_rows_to_read": c.read_rows.to_string(),
            "result_rows": c.result_rows.max(c.written_rows).to_string(),
            "result_bytes": c.result_bytes.max(c.written_bytes).to_string(),
            "elapsed_ns": self.started.elapsed().as_nanos().to_string(),
        });
        set("x-clickhouse-summary", &summary.to_string());
        set("x-clickhouse-query-id", &self.query_id);
        set("x-clickhouse-server-display-name", "prefill");
        set("x-clickhouse-timezone", "UTC");
        set("x-clickhouse-exception-tag", &self.tag);
        match failure {
            Some(failure) => {
                set("x-clickhouse-exception-code", &failure.code.to_string());
                set("content-type", "text/plain; charset=UTF-8");
            }
            None => {
                set("x-clickhouse-format", &self.format);
                set("content-type", content_type(&self.format));
            }
        }
        if let Some(name) = self.coding.name().filter(|_| !self.native) {
            set("content-encoding", name);
        }
        headers
    }

    fn send(&self, data: Vec<u8>) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        self.event(Event::Data(data.into()))
    }

    fn event(&self, event: Event) -> Result<(), Gone> {
        self.sender.blocking_send(event).map_err(|_| Gone)
    }
}

/// The content type that ClickHouse gives a format.
fn content_type(format: &str) -> &'static str {
    let is = |start: &str| format.starts_with(start);
    match format {
        "JSON"
        | "JSONStrings"
        | "JSONCompact"
        | "JSONCompactStrings"
        | "JSONColumns"
        | "JSONCompactColumns"
        | "JSONColumnsWithMetadata"
        | "JSONObjectEachRow" => "application/json; charset=UTF-8",
        _ if is("JSON") || format == "NDJSON" || format == "PrettyJSONEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        _ if is("TabSeparated") || is("TSV") || is("Raw") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "HTML" => "text/html; charset=UTF-8",
        "Markdown" => "text/markdown; charset=UTF-8",
        _ if is("Pretty") || format == "Vertical" || format == "Values" => {
            "text/plain; charset=UTF-8"
        }
        "Parquet" | "Native" | "Arrow" | "ArrowStream" | "ORC" | "Avro" | "MsgPack"
        | "BSONEachRow" => "application/octet-stream",
        _ if is("RowBinary") || is("Protobuf") => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}
