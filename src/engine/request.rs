//! What a client asked for: the parameters of the URL, the headers and the way its body is packed.

use std::io::{self, Read};
use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::blocks::Blocks;
use super::status::{BAD_ARGUMENTS, Failure, INVALID_SESSION_TIMEOUT, UNKNOWN_COMPRESSION_METHOD};

/// `default_session_timeout` and `max_session_timeout` of ClickHouse's server.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_SESSION_TIMEOUT_SECONDS: u64 = 3600;

/// The session of a request.
pub struct Session {
    pub id: String,
    pub timeout: Duration,
    /// `session_check=1`: it has to be there.
    pub must_exist: bool,
}

/// How the answer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Plain,
    Gzip,
    Deflate,
    Brotli,
    Lz4,
    Zstd,
}

impl Coding {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Brotli => Some("br"),
            Self::Lz4 => Some("lz4"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "" | "identity" => Some(Self::Plain),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The one that ClickHouse would choose of those that a client accepts: its own order, not the
    /// client's (`chooseHTTPCompressionMethod`).
    fn accepted(list: &str) -> Self {
        let names: Vec<&str> = list
            .split(',')
            .map(|entry| entry.split(';').next().unwrap_or_default().trim())
            .collect();
        ["br", "lz4", "gzip", "deflate", "zstd"]
            .into_iter()
            .find(|name| names.contains(name))
            .and_then(Self::named)
            .unwrap_or(Self::Plain)
    }
}

/// A request, without its body.
pub struct Request {
    pub query: String,
    pub database: Option<String>,
    pub default_format: Option<String>,
    pub query_id: Option<String>,
    pub session: Option<Session>,
    pub settings: Vec<(String, String)>,
    pub parameters: Vec<(String, String)>,
    /// What the URL says about external tables: `name_format`, `name_structure`, `name_types`.
    pub externals: Vec<(String, String)>,
    pub read_only: bool,
    /// Hold the whole answer back until the status is known.
    pub wait_end: bool,
    /// `compress=1`: the answer in ClickHouse's own blocks.
    pub native_answer: bool,
    /// `decompress=1`: the body is in ClickHouse's own blocks.
    pub native_body: bool,
    pub answer: Coding,
    pub body: Coding,
    /// The boundary of a multipart/form-data body.
    pub boundary: Option<String>,
}

/// Who a client says it is.
pub struct Credentials {
    pub user: String,
    pub password: String,
}

fn flag(value: &str) -> bool {
    matches!(value, "1" | "true")
}

impl Request {
    /// Reads method, URL parameters and headers.
    pub fn read(
        method: &Method,
        pairs: Vec<(String, String)>,
        headers: &HeaderMap,
    ) -> Result<Self, Failure> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut request = Self {
            query: String::new(),
            database: header("x-clickhouse-database").map(str::to_owned),
            default_format: header("x-clickhouse-format").map(str::to_owned),
            query_id: None,
            session: None,
            settings: Vec::new(),
            parameters: Vec::new(),
            externals: Vec::new(),
            read_only: method != Method::POST && method != Method::PUT,
            wait_end: false,
            native_answer: false,
            native_body: false,
            answer: Coding::Plain,
            body: Coding::Plain,
            boundary: header("content-type").and_then(boundary),
        };
        let (mut session_id, mut session_timeout, mut session_check) = (None, None, false);
        let mut http_compression = false;
        for (name, value) in pairs {
            match name.as_str() {
                "query" => request.query.push_str(&value),
                "database" => request.database = Some(value),
                "default_format" => request.default_format = Some(value),
                "query_id" => request.query_id = Some(value).filter(|id| !id.is_empty()),
                "session_id" => session_id = Some(value).filter(|id| !id.is_empty()),
                "session_timeout" => session_timeout = Some(value),
                "session_check" => session_check = flag(&value),
                "wait_end_of_query" => request.wait_end = flag(&value),
                "compress" => request.native_answer = flag(&value),
                "decompress" => request.native_body = flag(&value),
                "enable_http_compression" => http_compression = flag(&value),
                // Known to ClickHouse, without meaning here: one user, no roles, no quotas, and a
                // buffer of its own.
                "user"
                | "password"
                | "quota_key"
                | "role"
                | "stacktrace"
                | "buffer_size"
                | "client_protocol_version"
                | "http_zlib_compression_level"
                | "close_session" => {}
                _ => request.field(name, value)?,
            }
        }
        if let Some(id) = session_id {
            let timeout = session_timeout.map(|value| {
                value
                    .parse::<u64>()
                    .ok()
                    .filter(|seconds| *seconds <= MAX_SESSION_TIMEOUT_SECONDS)
                    .map(Duration::from_secs)
                    .ok_or_else(|| {
                        let message = format!(
                            "Invalid session timeout: '{value}': at most {MAX_SESSION_TIMEOUT_SECONDS} seconds"
                        );
                        Failure::new(INVALID_SESSION_TIMEOUT, message)
                    })
            });
            request.session = Some(Session {
                id,
                timeout: timeout.transpose()?.unwrap_or(SESSION_TIMEOUT),
                must_exist: session_check,
            });
        }
        if http_compression && !request.native_answer {
            request.answer = Coding::accepted(header("accept-encoding").unwrap_or_default());
        }
        let encoding = header("content-encoding").unwrap_or_default().trim();
        request.body = Coding::named(encoding).ok_or_else(|| {
            let message = format!("Unknown compression method {encoding} of the request body");
            Failure::new(UNKNOWN_COMPRESSION_METHOD, message)
        })?;
        Ok(request)
    }

    /// Takes a parameter or setting, from the URL or from a form.
    pub fn field(&mut self, name: String, value: String) -> Result<(), Failure> {
        if let Some(parameter) = name.strip_prefix("param_") {
            self.parameters.push((parameter.to_owned(), value));
        } else if ["_format", "_structure", "_types"]
            .iter()
            .any(|end| name.ends_with(end))
            && self.boundary.is_some()
        {
            self.externals.push((name, value));
        } else {
            self.settings.push((name, value));
        }
        Ok(())
    }
}

/// The credentials of a request, wherever ClickHouse takes them from; `default` and no password
/// where there are none.
pub fn credentials(
    pairs: &[(String, String)],
    headers: &HeaderMap,
) -> Result<Credentials, Failure> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let pair = |name: &str| {
        pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let (user, password) =
        if header("x-clickhouse-user").is_some() || header("x-clickhouse-key").is_some() {
            (header("x-clickhouse-user"), header("x-clickhouse-key"))
        } else if let Some(value) = header(header::AUTHORIZATION.as_str()) {
            let decoded = value
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
                .and_then(|(_, text)| {
                    base64::engine::general_purpose::STANDARD
                        .decode(text.trim())
                        .ok()
                })
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(decoded) = decoded else {
                let message = "Only basic authentication is supported: user and password in base64";
                return Err(Failure::new(BAD_ARGUMENTS, message));
            };
            let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
            return Ok(Credentials {
                user: user.to_owned(),
                password: password.to_owned(),
            });
        } else {
            (pair("user"), pair("password"))
        };
    Ok(Credentials {
        user: user.unwrap_or("default").to_owned(),
        password: password.unwrap_or_default().to_owned(),
    })
}

/// The boundary of a form, from its content type.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    rest.split(';')
        .filter_map(|attribute| attribute.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

/// A piece of a body on its way to the thread that runs the statement.
pub enum Piece {
    Data(Bytes),
    /// The body ended as it should. Without it, the client went away.
    End,
}

/// The body of a request as that thread reads it.
pub struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl BodyReader {
    pub fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
            ended: false,
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.ended = true,
                None => {
                    let message = "the client went away before the end of its data";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
            }
        }
        let count = out.len().min(self.current.len());
        out[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// Unpacks a body.
pub fn unpack(reader: BodyReader, coding: Coding, native: bool) -> io::Result<Box<dyn Read>> {
    const BROTLI_BUFFER: usize = 64 << 10;
    let plain: Box<dyn Read> = match coding {
        Coding::Plain => Box::new(reader),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Coding::Deflate => Box::new(flate2::read::ZlibDecoder::new(reader)),
        Coding::Brotli => Box::new(brotli::Decompressor::new(reader, BROTLI_BUFFER)),
        Coding::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(reader)),
        Coding::Zstd => Box::new(zstd::Decoder::new(reader)?),
    };
    Ok(if native {
        Box::new(Blocks::new(plain))
    } else {
        plain
    })
}

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// A file: the data of an external table.
    pub file: bool,
    pub data: Vec<u8>,
}

/// The fields of a multipart/form-data body.
pub fn form(body: &[u8], boundary: &str) -> Result<Vec<Field>, Failure> {
    let malformed = || Failure::new(BAD_ARGUMENTS, "Malformed multipart/form-data body");
    let delimiter = format!("\r\n--{boundary}");
    let opening = &delimiter.as_bytes()[2..];
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|w| w == what);
    let start = find(body, opening).ok_or_else(malformed)?;
    let mut rest = &body[start + opening.len()..];
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(malformed)?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        let after = &rest[head_end + 4..];
        let length = find(after, delimiter.as_bytes()).ok_or_else(malformed)?;
        let disposition = head
            .lines()
            .find(|line| {
                line.to_ascii_lowercase()
                    .starts_with("content-disposition:")
            })
            .ok_or_else(malformed)?;
        let attribute = |wanted: &str| {
            disposition
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim_matches('"').to_owned())
        };
        fields.push(Field {
            name: attribute("name").ok_or_else(malformed)?,
            file: attribute("filename").is_some(),
            data: after[..length].to_vec(),
        });
        rest = &after[length + delimiter.len()..];
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_field_by_field_with_binary_data() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nselect 1\r\n--B\r\ncontent-disposition: form-data; name=\"t\"; filename=\"f\"\r\nContent-Type: x/y\r\n\r\n\0\r\n--b\r\n--B--\r\n";
        let fields = form(body, "B").expect("a form");
        let field = |name: &str, file, data: &[u8]| Field {
            name: name.to_owned(),
            file,
            data: data.to_vec(),
        };
        assert_eq!(
            fields,
            [
                field("query", false, b"select 1"),
                field("t", true, b"\0\r\n--b")
            ]
        );
        for broken in [
            "",
            "--B",
            "--B\r\nx\r\n\r\n",
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb",
        ] {
            assert!(form(broken.as_bytes(), "B").is_err(), "{broken}");
        }
    }

    #[test]
    fn clickhouse_chooses_the_coding_not_the_client() {
        assert_eq!(Coding::accepted("gzip, deflate, br"), Coding::Brotli);
        assert_eq!(Coding::accepted("zstd;q=1, gzip;q=0.1"), Coding::Gzip);
        assert_eq!(Coding::accepted("lz4"), Coding::Lz4);
        assert_eq!(Coding::accepted("identity"), Coding::Plain);
    }
}
