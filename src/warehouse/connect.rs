//! The HTTP client below the official one: connections with a time limit, and TLS by rustls with the
//! system's authorities or one's own, and a certificate to show where the server asks for one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config;
use crate::error::{Class, Context as _, Error, Result};

const KEEPALIVE: Duration = Duration::from_secs(60);
/// ClickHouse closes idle connections after 3 s (`keep_alive_timeout`), and earlier is safer.
const IDLE: Duration = Duration::from_secs(2);

/// A client with a pool of connections as configured, without an address.
///
/// # Errors
///
/// [`Class::Operator`] naming the certificate or key that cannot be used.
pub(super) fn client(config: &config::Warehouse) -> Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_millis(config.connect_timeout_ms)));
    let is_tls = config
        .url
        .as_ref()
        .is_some_and(|url| url.starts_with("https:"));
    let mut pool = HttpClient::builder(TokioExecutor::new());
    pool.pool_timer(hyper_util::rt::TokioTimer::new())
        .pool_idle_timeout(IDLE);
    let client = if is_tls {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config)?)
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        Client::with_http_client(pool.build(connector))
    } else {
        Client::with_http_client(pool.build(connector))
    };
    Ok(client.with_compression(match config.compression {
        config::Compression::Lz4 => Compression::Lz4,
        config::Compression::Zstd => Compression::zstd(),
        config::Compression::None => Compression::None,
    }))
}

fn tls(config: &config::Warehouse) -> Result<ClientConfig> {
    let unusable = || "failed to set up TLS".to_owned();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .classed(Class::Never, unusable)?
        .with_root_certificates(authorities(config.ca_file.as_deref())?);
    match (&config.client_cert_file, &config.client_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate, "client_cert_file")?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable(key, "client_key_file", error))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| {
                    Error::operator("the client certificate and its key do not fit")
                        .caused_by(error)
                        .hint("check client_cert_file and client_key_file under [warehouse]")
                })
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// Who is trusted to say that a server is who it says.
fn authorities(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file, "ca_file")? {
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(file, "ca_file", error))?;
            }
        }
        None => {
            // A system may hold some that rustls does not take; the others serve.
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                return Err(
                    Error::operator("this system has no authorities to trust for TLS")
                        .hint("install its ca-certificates, or name ca_file under [warehouse]"),
                );
            }
        }
    }
    Ok(roots)
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unreadable(file, key, error))?;
    if found.is_empty() {
        return Err(
            Error::operator(format!("{key} {} holds no certificate", file.display()))
                .hint("it has to be a PEM file: -----BEGIN CERTIFICATE-----"),
        );
    }
    Ok(found)
}

fn unreadable(
    file: &Path,
    key: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::operator(format!("failed to read {key} {}", file.display()))
        .caused_by(error)
        .hint(format!(
            "{key} under [warehouse] has to name a PEM file that prefill can read"
        ))
}
