//! Who is told: a Slack channel, a generic webhook, a PostHog project; and how each of them answers.
//!
//! Addresses and secrets are never part of what is logged or stored: a message is stored as it is meant,
//! and becomes a request when it is sent.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::capture::Batch;
use super::message::Message;
use crate::config::{Alerts, Capture, Secret};
use crate::error::{Class, Context as _, Error, Result};

/// The header with the signature of a webhook: `t=SECONDS,v1=HEX`.
pub const SIGNATURE_HEADER: &str = "prefill-signature";
/// The most bytes of an answer that are read.
const MOST_OF_ANSWER: usize = 4_096;
/// The longest wait that a receiver may ask for.
pub(super) const MOST_WAIT: Duration = Duration::from_secs(3_600);

/// How a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken(String),
    /// It may take it later; after `wait`, where it says so.
    Later {
        why: String,
        wait: Option<Duration>,
    },
    /// It will not take it.
    Refused(String),
}

/// What is sent to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Messages of what is wrong.
    Alerts,
    /// What PostHog is told of backfills.
    Backfills,
}

/// Somebody who is told.
#[derive(Clone)]
pub struct Receiver {
    /// As the ledger, metrics and people have it: nothing in it is a secret.
    pub name: String,
    url: Url,
    to: To,
    timeout: Duration,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

#[derive(Clone)]
enum To {
    Slack,
    Webhook { secret: Secret },
    Capture { key: Secret },
}

impl Takes {
    /// As the ledger has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Backfills => "backfills",
        }
    }

    /// The one that the ledger has by this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = [Self::Alerts, Self::Backfills].into_iter();
        all.find(|takes| takes.name() == name)
    }
}

/// All receivers that are configured.
///
/// # Errors
///
/// [`Class::Misuse`] when an address or a secret is not what it should be, [`Class::Operator`] when the
/// system has no authorities to trust.
pub fn receivers(config: &Alerts) -> Result<Vec<Receiver>> {
    let mut to = Vec::new();
    for slack in config.slack()? {
        to.push((slack.name, slack.url, To::Slack));
    }
    for webhook in config.webhooks()? {
        let secret = webhook.secret;
        to.push((webhook.name, webhook.url, To::Webhook { secret }));
    }
    if let Some(capture) = config.capture()? {
        let key = capture.key;
        to.push((Capture::NAME.to_owned(), capture.url, To::Capture { key }));
    }
    if to.is_empty() {
        return Ok(Vec::new());
    }
    let is_tls = to.iter().any(|(_, url, _)| url.scheme() == "https");
    let http = client(is_tls, config.timeout())?;
    Ok(to
        .into_iter()
        .map(|(name, url, to)| Receiver {
            name,
            url,
            to,
            timeout: config.timeout(),
            http: http.clone(),
        })
        .collect())
}

fn client(
    is_tls: bool,
    timeout: Duration,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut roots = RootCertStore::empty();
    if is_tls {
        // A system may hold some that rustls does not take; the others serve.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(
                Error::operator("this system has no authorities to trust for TLS")
                    .hint("install its ca-certificates"),
            );
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .classed(Class::Never, || "failed to set up TLS".to_owned())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    // Messages are rare: no connection is kept.
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector))
}

impl Receiver {
    /// The part of the address that is no secret.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// What it is sent.
    pub fn takes(&self) -> Takes {
        match self.to {
            To::Slack | To::Webhook { .. } => Takes::Alerts,
            To::Capture { .. } => Takes::Backfills,
        }
    }

    /// Sends a message as it was stored, or says why that cannot be.
    pub async fn send(&self, stored: &str, now: Timestamp) -> Answer {
        let request = match self.request(stored, now) {
            Ok(request) => request,
            Err(error) => return Answer::Refused(error.chain()),
        };
        match tokio::time::timeout(self.timeout, self.answer(request)).await {
            Ok(answer) => answer,
            Err(_) => later(format!(
                "it did not answer within {} ms",
                self.timeout.as_millis()
            )),
        }
    }

    fn request(&self, stored: &str, now: Timestamp) -> Result<Request<Full<Bytes>>> {
        let unreadable = || "the message is not what it should be".to_owned();
        let mut signature = None;
        let body = match &self.to {
            To::Slack => {
                let message: Message =
                    serde_json::from_str(stored).classed(Class::Never, unreadable)?;
                message.slack().to_string()
            }
            To::Webhook { secret } => {
                signature = Some(signed(secret, stored, now)?);
                stored.to_owned()
            }
            To::Capture { key } => {
                let batch: Batch =
                    serde_json::from_str(stored).classed(Class::Never, unreadable)?;
                json!({ "api_key": key.reveal(), "batch": batch.events }).to_string()
            }
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("prefill/", env!("CARGO_PKG_VERSION")));
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        // The cause would repeat the address.
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Error::misuse("the address is not one of HTTP"))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = Error::new(Class::Unreachable, "it cannot be reached").caused_by(error);
                return later(error.chain());
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST_OF_ANSWER).collect().await;
        let said = body.map_or_else(|_| String::new(), |body| word(&body.to_bytes()));
        let told = match said.is_empty() {
            true => format!("it answered {}", head.status),
            false => format!("it answered {}: {said}", head.status),
        };
        match head.status {
            status if status.is_success() => Answer::Taken(told),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Answer::Later {
                    why: told,
                    wait: asked_wait(&head.headers),
                }
            }
            status if status.is_server_error() => Answer::Later {
                why: told,
                wait: asked_wait(&head.headers),
            },
            _ => Answer::Refused(told),
        }
    }
}

fn later(why: String) -> Answer {
    Answer::Later { why, wait: None }
}

/// What Slack says in one word, such as `no_service`. Of anything longer nothing: it may repeat what it
/// was sent, or the address.
fn word(body: &[u8]) -> String {
    let is_word = !body.is_empty()
        && body.len() <= 40
        && body
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    if is_word {
        String::from_utf8_lossy(body).into_owned()
    } else {
        String::new()
    }
}

/// The seconds of `Retry-After`; a date is left out, since backoff does as well.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    Some(Duration::from_secs(seconds.ok()?).min(MOST_WAIT))
}

/// The signature of a body: HMAC-SHA256 of the seconds, a point and the body, so that an old message
/// cannot be sent again as a new one.
fn signed(secret: &Secret, body: &str, now: Timestamp) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .classed(Class::Never, || "failed to sign a message".to_owned())?;
    let seconds = now.as_second();
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={seconds},v1={hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // By another program: printf '%s' '1790000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let now = Timestamp::from_second(1_790_000_000).expect("an instant");
        let signature = signed(&"secret".to_owned().into(), "{\"a\":1}", now).expect("signed");
        assert_eq!(
            signature,
            "t=1790000000,v1=da8fe498621aaab99d5b11c51346b13d1a2bf2914b865b8d3edd3531cab25a3e"
        );
    }

    #[test]
    fn an_answer_is_told_only_where_it_is_one_word() {
        assert_eq!(word(b"no_service"), "no_service");
        assert_eq!(word(b"https://hooks.slack.com/services/T/B/x"), "");
        assert_eq!(word(b""), "");
    }

    #[test]
    fn a_receiver_cannot_ask_for_an_endless_wait() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            asked_wait(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999"), Some(MOST_WAIT));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
