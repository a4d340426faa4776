//! Who may ask: loopback without a token, anybody else with one.
//!
//! On a loopback address every process of this machine may do everything, and so could every web page
//! that a browser on it shows. So names that lead there by an attacker's DNS are refused (`Host`), and what
//! changes something is taken from no other origin (`Sec-Fetch-Site`, `Origin`). No answer allows another
//! origin to read it. Tokens are kept and compared as digests, in the same time whatever is in them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Shared;
use super::pages::{ASSETS, login};
use super::problem::Problem;
use crate::config::{Http, Secret};
use crate::error::Result;

/// The cookie that counts as a token, for browsers.
pub const COOKIE: &str = "prefill_token";
/// Where a browser without a token is sent.
pub const LOGIN: &str = "/login";
/// What is answered without a token, and by whatever name it is asked for: probes come by address.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// What is asked by POST and changes nothing.
const ASKED_BY_POST: [&str; 1] = ["/api/v1/validate"];

type Sum = [u8; 32];

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Full,
    ReadOnly,
}

/// The tokens, as digests, and the names.
pub struct Guard {
    full: Vec<Sum>,
    read_only: Vec<Sum>,
    hosts: Vec<String>,
}

impl Guard {
    /// # Errors
    ///
    /// As [`Http::tokens`].
    pub fn new(config: &Http) -> Result<Self> {
        let sums = |tokens: Vec<Secret>| tokens.iter().map(|token| sum(token.reveal())).collect();
        Ok(Self {
            full: sums(config.tokens()?),
            read_only: sums(config.read_only_tokens()?),
            hosts: config.hosts.clone(),
        })
    }

    /// Whether nobody gets in without a token.
    pub fn has_tokens(&self) -> bool {
        !(self.full.is_empty() && self.read_only.is_empty())
    }

    /// What a token allows; `None` for one that is unknown.
    pub fn access(&self, token: &str) -> Option<Access> {
        let sum = sum(token);
        let is_one_of = |known: &[Sum]| {
            let any = known
                .iter()
                .fold(Choice::from(0), |any, known| any | known.ct_eq(&sum));
            bool::from(any)
        };
        let (full, read_only) = (is_one_of(&self.full), is_one_of(&self.read_only));
        if full {
            Some(Access::Full)
        } else {
            read_only.then_some(Access::ReadOnly)
        }
    }

    /// Whether a server is asked for by a name of its own.
    fn knows(&self, host: &str) -> bool {
        let name = host.trim_start_matches('[').trim_end_matches([']', '.']);
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback())
            || self.is_called(name)
    }

    /// Whether it is a name of [`Http::hosts`].
    fn is_called(&self, name: &str) -> bool {
        self.hosts
            .iter()
            .any(|known| known.trim_end_matches('.').eq_ignore_ascii_case(name))
    }
}

fn sum(token: &str) -> Sum {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets a request through that may pass, with its [`Access`] among its extensions.
pub async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&shared.guard, &request) {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(problem)
            if problem.status == StatusCode::UNAUTHORIZED.as_u16() && is_of_a_page(&request) =>
        {
            Redirect::to(&login::before(request.uri())).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit(guard: &Guard, request: &Request) -> Result<Access, Problem> {
    let (path, headers) = (request.uri().path(), request.headers());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if PROBES.contains(&path) && is_read {
        return Ok(Access::ReadOnly);
    }
    let host = host(headers)?;
    // A name that leads here by somebody else's DNS carries no cookie and no token of ours.
    if !guard.has_tokens() && !guard.knows(host.host()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("it is not asked for as {:?} here", host.host()),
        )
        .hint("ask for 127.0.0.1 or localhost, or add the name to hosts under [http]"));
    }
    if is_read {
        must_be_no_part_of_another_page(headers)?;
    } else {
        must_be_of_this_origin(guard, headers, &host)?;
    }
    if path == LOGIN || (is_read && path.starts_with(ASSETS)) {
        return Ok(Access::ReadOnly);
    }
    let access = if guard.has_tokens() {
        token(headers)
            .ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "there is no token in the request")
                    .hint("send it in the header Authorization: Bearer TOKEN")
            })
            .and_then(|token| {
                guard.access(token).ok_or_else(|| {
                    Problem::new(StatusCode::UNAUTHORIZED, "the token is not one of those known")
                        .hint("tokens are in the files and variables of [http]; after a change prefill serve has to be started again")
                })
            })?
    } else {
        Access::Full
    };
    if access == Access::ReadOnly && !is_read && !ASKED_BY_POST.contains(&path) {
        return Err(
            Problem::new(StatusCode::FORBIDDEN, "the token may only read").hint(
                "use one that may do everything: those of token_file, not of read_only_token_file",
            ),
        );
    }
    Ok(access)
}

/// By what name a request asks; there has to be one.
fn host(headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    }
    .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the header Host is not one name"))
}

/// Somebody may follow a link to here; a page of another site that asks for a picture or a script here
/// only wants that something is done.
fn must_be_no_part_of_another_page(headers: &HeaderMap) -> Result<(), Problem> {
    let is = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    if !is("sec-fetch-site", "cross-site") || is("sec-fetch-dest", "document") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "a page of another site may take nothing from here",
    )
    .hint("ask from the dashboard itself, or from a program"))
}

/// Browsers say where a request comes from; programs say nothing, and no page can make them send it.
fn must_be_of_this_origin(
    guard: &Guard,
    headers: &HeaderMap,
    host: &Authority,
) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let origin = text(header::ORIGIN).map(|origin| {
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        let of_origin = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        of_origin.is_some_and(|of_origin| {
            let own = Authority::try_from(of_origin);
            // A proxy may ask by another name than the browser does.
            of_origin.eq_ignore_ascii_case(host.as_str())
                || own.is_ok_and(|own| guard.is_called(own.host()))
        })
    });
    let same_site = site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    if same_site && origin != Some(false) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "a page of another origin may change nothing here",
    )
    .hint("ask from the dashboard itself, or from a program; behind a proxy, let it pass the header Host on, or add the name that browsers use to hosts under [http]"))
}

/// The token of a request: its header's, else its cookie's.
fn token(headers: &HeaderMap) -> Option<&str> {
    // What else it may be is for a proxy in front, which hands it on.
    if let Some(header) = headers.get(header::AUTHORIZATION)
        && let Some((scheme, token)) = header.to_str().ok()?.split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Some(token.trim_start());
    }
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Whether a browser asks for a page.
fn is_of_a_page(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT);
    request.method() == Method::GET
        && !request.uri().path().starts_with("/api/")
        && accepts
            .and_then(|accepts| accepts.to_str().ok())
            .is_some_and(|accepts| accepts.contains("text/html"))
}

/// Adds to each answer what a browser should keep to.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is told changes by itself; what does not, says so.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
