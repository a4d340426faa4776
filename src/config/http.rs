//! The address at which `prefill serve` answers over HTTP, who may ask there, and how much.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::check::in_range;
use super::secret::Secret;
use crate::error::{Class, Context, Error, Result};

/// Holds a token that may do everything, over `token_file`.
pub const TOKEN_VARIABLE: &str = "PREFILL_HTTP_TOKEN";

/// Holds a token that may only read, over `read_only_token_file`.
pub const READ_ONLY_TOKEN_VARIABLE: &str = "PREFILL_HTTP_READ_ONLY_TOKEN";

/// Where it listens when nothing is configured.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8377";

/// A shorter token can be guessed.
const LEAST_CHARACTERS: usize = 16;

/// The API, the dashboard and the metrics of `prefill serve`.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// `host:port`, or `off`. Any address but a loopback one needs a token. Not set: `127.0.0.1:8377`, or a
    /// free port beside it where that one is taken.
    /// Example: `"0.0.0.0:8377"`.
    pub listen: Option<String>,
    /// A file of tokens that may do everything, one a line; empty lines and those that begin with `#` are
    /// left out. Or `PREFILL_HTTP_TOKEN`. Not set: on a loopback address everybody may do everything.
    /// Example: `"/run/secrets/prefill-http"`.
    pub token_file: Option<PathBuf>,
    /// As `token_file`, of tokens that may only read. Or `PREFILL_HTTP_READ_ONLY_TOKEN`.
    /// Example: `"/run/secrets/prefill-http-read-only"`.
    pub read_only_token_file: Option<PathBuf>,
    /// From [`TOKEN_VARIABLE`].
    #[serde(skip)]
    pub token: Option<Secret>,
    /// From [`READ_ONLY_TOKEN_VARIABLE`].
    #[serde(skip)]
    pub read_only_token: Option<Secret>,
    /// Names by which it may be asked for, besides loopback names and addresses, such as that of a proxy.
    /// Example: `["prefill.example"]`.
    pub hosts: Vec<String>,
    /// The size of a request's body, in bytes. Range: 1024 to 16777216.
    pub max_body_bytes: u64,
    /// How long an answer may take, in milliseconds. Range: 100 to 3600000.
    pub request_timeout_ms: u64,
    /// Connections at once; more wait. Range: 8 to 100000.
    pub max_connections: u32,
    /// Streams of events at once, which hold their connections; more are refused.
    /// Range: 1 to half of `max_connections`.
    pub max_streams: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: None,
            token_file: None,
            read_only_token_file: None,
            token: None,
            read_only_token: None,
            hosts: Vec::new(),
            max_body_bytes: 64 << 10,
            request_timeout_ms: 60_000,
            max_connections: 512,
            max_streams: 64,
        }
    }
}

impl Http {
    /// Whether nothing is served over HTTP.
    pub fn is_off(&self) -> bool {
        self.listen.as_deref() == Some("off")
    }

    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The tokens that may do everything.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when the file cannot be read, or a token is too short or can't stand in a header.
    pub fn tokens(&self) -> Result<Vec<Secret>> {
        tokens(
            self.token.as_ref(),
            TOKEN_VARIABLE,
            self.token_file.as_deref(),
            "http.token_file",
        )
    }

    /// The tokens that may only read.
    ///
    /// # Errors
    ///
    /// As [`Http::tokens`].
    pub fn read_only_tokens(&self) -> Result<Vec<Secret>> {
        tokens(
            self.read_only_token.as_ref(),
            READ_ONLY_TOKEN_VARIABLE,
            self.read_only_token_file.as_deref(),
            "http.read_only_token_file",
        )
    }

    /// What is wrong where somebody on another machine may ask and there is no token.
    pub fn lacks_token(listen: &str) -> Error {
        Error::misuse(format!(
            "http.listen = {listen:?} can be reached from other machines, and there is no token"
        ))
        .hint(format!(
            "set {TOKEN_VARIABLE} (made by openssl rand -hex 32) or token_file under [http], or listen on {DEFAULT_LISTEN}"
        ))
    }

    /// Checks what can be known without a look at the network: the tokens, and that there are some where the
    /// address is given as a number and is no loopback one.
    ///
    /// # Errors
    ///
    /// As [`Http::tokens`], and [`Class::Misuse`] where a token is missing.
    pub fn check_tokens(&self) -> Result<()> {
        let there_are_none = self.tokens()?.is_empty() && self.read_only_tokens()?.is_empty();
        let address = self.listen.as_deref().and_then(|listen| {
            let address = listen.parse::<SocketAddr>().ok()?;
            Some((listen, address.ip()))
        });
        match address {
            Some((listen, ip)) if there_are_none && !ip.is_loopback() => {
                Err(Self::lacks_token(listen))
            }
            _ => Ok(()),
        }
    }

    /// Takes the tokens from the environment. Set to nothing, as compose files do, counts as not set.
    pub(super) fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let set = |name| variable(name).filter(|text| !text.is_empty());
        self.token = set(TOKEN_VARIABLE).map(Secret::from);
        self.read_only_token = set(READ_ONLY_TOKEN_VARIABLE).map(Secret::from);
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(listen) = self.listen.as_deref().filter(|_| !self.is_off()) {
            check_address(listen)?;
        }
        in_range("http.max_body_bytes", self.max_body_bytes, 1_024, 16 << 20)?;
        in_range(
            "http.request_timeout_ms",
            self.request_timeout_ms,
            100,
            3_600_000,
        )?;
        let connections = u64::from(self.max_connections);
        in_range("http.max_connections", connections, 8, 100_000)?;
        if let Some(host) = self.hosts.iter().find(|host| !is_name(host)) {
            return Err(Error::misuse(format!("http.hosts has {host:?}, which is no name"))
                .hint("give names alone, without http:// and without a port: hosts = [\"prefill.example\"]"));
        }
        // Or nobody else would be answered.
        in_range(
            "http.max_streams",
            u64::from(self.max_streams),
            1,
            connections / 2,
        )
    }
}

fn is_name(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.chars().all(fits)
}

fn check_address(listen: &str) -> Result<()> {
    let named = listen
        .rsplit_once(':')
        .is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok());
    if named || listen.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    Err(
        Error::misuse(format!("http.listen = {listen:?} is no address")).hint(format!(
            "write it as HOST:PORT, such as {DEFAULT_LISTEN} or [::1]:8377; \"off\" serves nothing over HTTP"
        )),
    )
}

fn tokens(
    token: Option<&Secret>,
    variable: &str,
    file: Option<&Path>,
    key: &str,
) -> Result<Vec<Secret>> {
    if let Some(token) = token {
        check_token(token.reveal(), variable)?;
        return Ok(vec![token.clone()]);
    }
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(file)
        .classed(Class::Misuse, || {
            format!("failed to read {key} {}", file.display())
        })
        .map_err(|error| error.hint("name a file that you can read"))?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            check_token(line, &format!("line {} of {}", number + 1, file.display()))?;
            tokens.push(line.to_owned().into());
        }
    }
    if tokens.is_empty() {
        return Err(
            Error::misuse(format!("{key} {} has no token in it", file.display()))
                .hint("write one token a line, made by openssl rand -hex 32"),
        );
    }
    Ok(tokens)
}

/// As a header and a cookie can carry it (RFC 6750); the text itself is not told.
fn check_token(token: &str, from: &str) -> Result<()> {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/' | '=');
    let wrong = if token.len() < LEAST_CHARACTERS {
        format!("the token in {from} is shorter than {LEAST_CHARACTERS} characters")
    } else if !token.chars().all(fits) {
        format!("the token in {from} has a character that no token has")
    } else {
        return Ok(());
    };
    Err(Error::misuse(wrong).hint(
        "make one by openssl rand -hex 32: letters, digits and - . _ ~ + / = are what it may have",
    ))
}
