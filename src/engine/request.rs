//! What a client asked for: the parameters of the URL, the headers and the fields of a form.

use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;

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
            query_id: header("x-clickhouse-query-id")
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
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
        request.body = Coding::named(&encoding.to_ascii_lowercase()).ok_or_else(|| {
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
    use proptest::prelude::*;

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

    #[test]
    fn the_id_of_a_query_is_the_parameter_s_or_else_the_header_s() {
        let mut headers = HeaderMap::new();
        let id = |pairs: &[(&str, &str)], headers: &HeaderMap| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let pairs = pairs.iter().map(owned).collect();
            let request = Request::read(&Method::POST, pairs, headers).map_err(|_| "refused");
            request.expect("read").query_id
        };
        assert_eq!(id(&[], &headers), None);
        headers.insert("x-clickhouse-query-id", "b".parse().expect("a value"));
        assert_eq!(id(&[], &headers).as_deref(), Some("b"));
        let parameter = [("query_id", "a")];
        assert_eq!(id(&parameter, &headers).as_deref(), Some("a"));
    }

    const NAMES: [&str; 24] = [
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "wait_end_of_query",
        "compress",
        "decompress",
        "enable_http_compression",
        "user",
        "password",
        "quota_key",
        "role",
        "stacktrace",
        "buffer_size",
        "client_protocol_version",
        "http_zlib_compression_level",
        "close_session",
        "param_a",
        "param_",
        "t_structure",
        "_format",
    ];

    fn any_pair() -> impl Strategy<Value = (String, String)> {
        let name = prop_oneof![
            3 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
            1 => any::<String>(),
        ];
        let value = prop_oneof![
            "[01]|true|99999999999999999999|-1|3600|3601",
            "'; drop table events; --|`|\\\\|file\\('/etc/passwd'\\)",
            any::<String>(),
        ];
        (name, value)
    }

    fn any_headers() -> impl Strategy<Value = HeaderMap> {
        let names = vec![
            "x-clickhouse-user",
            "x-clickhouse-key",
            "x-clickhouse-database",
            "x-clickhouse-format",
            "x-clickhouse-query-id",
            "authorization",
            "content-type",
            "content-encoding",
            "accept-encoding",
        ];
        let value = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "(gzip|br|lz4|zstd|deflate|identity|snappy|,|;q=[0-9.]{0,9}| ){0,6}".prop_map(String::into_bytes),
            "(Basic|basic|Bearer|Digest) ?[A-Za-z0-9+/=]{0,30}".prop_map(String::into_bytes),
            "(multipart/form-data|Multipart/Form-Data) ?; ?(boundary|BOUNDARY)=?\"?[^\\x00-\\x1f]{0,20}\"?(;.{0,5})?"
                .prop_map(String::into_bytes),
        ];
        let header = (prop::sample::select(names), value);
        proptest::collection::vec(header, 0..6).prop_map(|headers| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                // What a connection cannot bring is not of interest.
                if let Ok(value) = header::HeaderValue::from_bytes(&value) {
                    map.append(name, value);
                }
            }
            map
        })
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_read_or_refused_and_nothing_of_it_is_lost(
            pairs in proptest::collection::vec(any_pair(), 0..8),
            headers in any_headers(),
            method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS]),
        ) {
            let writes = method == Method::POST || method == Method::PUT;
            if let Ok(request) = Request::read(&method, pairs.clone(), &headers) {
                prop_assert_eq!(request.read_only, !writes);
                let unknown = pairs.iter()
                    .filter(|(name, _)| !NAMES[..20].contains(&name.as_str())).count();
                prop_assert_eq!(
                    request.settings.len() + request.parameters.len() + request.externals.len(),
                    unknown
                );
                let query: String = pairs.iter().filter(|(name, _)| name == "query")
                    .map(|(_, value)| value.as_str()).collect();
                prop_assert_eq!(request.query, query);
                prop_assert!(request.session.is_none_or(|session| !session.id.is_empty()
                    && session.timeout.as_secs() <= MAX_SESSION_TIMEOUT_SECONDS));
            }
        }

        #[test]
        fn credentials_are_those_of_one_place_and_a_wrong_place_is_not_made_good_by_another(
            pairs in proptest::collection::vec(any_pair(), 0..8),
            mut headers in any_headers(),
            user in "[a-z]{1,8}",
            key in "[!-~]{1,20}",
        ) {
            if let Ok(found) = credentials(&pairs, &headers) {
                let first = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                if headers.is_empty() {
                    prop_assert_eq!(found.user, first("user").unwrap_or("default".to_owned()));
                    prop_assert_eq!(found.password, first("password").unwrap_or_default());
                }
            }
            headers.insert("x-clickhouse-user", user.parse().expect("a value"));
            headers.insert("x-clickhouse-key", key.parse().expect("a value"));
            let found = credentials(&pairs, &headers).map_err(|failure| TestCaseError::fail(failure.text))?;
            prop_assert_eq!((found.user, found.password), (user, key));
        }

        #[test]
        fn a_form_of_any_fields_is_read_as_it_was_sent(
            fields in proptest::collection::vec(
                ("[a-zA-Z0-9_]{0,8}", any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..4),
        ) {
            let boundary = "the boundary of this form";
            let mut body = Vec::new();
            for (name, file, data) in &fields {
                let file = if *file { "; filename=\"f\"" } else { "" };
                body.extend(format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
                body.extend(data);
                body.extend(b"\r\n");
            }
            body.extend(format!("--{boundary}--").into_bytes());
            let read: Vec<_> = form(&body, boundary).expect("a form").into_iter()
                .map(|field| (field.name, field.file, field.data)).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn no_form_makes_it_panic(
            body in proptest::collection::vec(prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                prop::sample::select(vec![&b"--"[..], b"\r\n", b"\r\n\r\n", b"--B", b"\r\n--B", b"--B--",
                    b"Content-Disposition: form-data; name=", b"name=\"a\"", b";", b"\""]).prop_map(<[u8]>::to_vec),
            ], 0..24),
            boundary in "B|-{0,3}|\\PC{0,3}",
        ) {
            let body = body.concat();
            if let Ok(fields) = form(&body, &boundary) {
                prop_assert!(fields.iter().map(|field| field.data.len()).sum::<usize>() <= body.len());
            }
        }
    }
}
