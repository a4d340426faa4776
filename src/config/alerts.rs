//! `[alerts]`: who is told when something is wrong and when it is over, and what PostHog is told of backfills.

use std::path::{Path, PathBuf};
use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::in_range;
use super::secret::Secret;
use crate::error::{Class, Context, Error, Result};

/// Holds the address of the Slack webhook, over `slack_webhook_url` and its file.
pub const SLACK_URL_VARIABLE: &str = "PREFILL_ALERT_SLACK_WEBHOOK_URL";
/// Holds the secret that signs webhooks, over `webhook_secret_file`.
pub const WEBHOOK_SECRET_VARIABLE: &str = "PREFILL_ALERT_WEBHOOK_SECRET";
/// Holds the key of the PostHog project that is told of backfills, over `capture_key` and its file.
pub const CAPTURE_KEY_VARIABLE: &str = "PREFILL_ALERT_CAPTURE_KEY";

/// Who is told when something is wrong, and when it is over. Without an address nobody is told anything,
/// and nothing looks.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// How often the health of all teams is looked at, in milliseconds. Range: 100 to 86400000.
    pub every_ms: u64,
    /// How long something has to be wrong before it is told, and right before that is told, in
    /// milliseconds. Range: 0 to 86400000.
    pub for_ms: u64,
    /// How long days may wait for their turn, behind others on their warehouse, or be paused, before that is told, in
    /// milliseconds. Range: 0 to 2592000000.
    pub slow_ms: u64,
    /// How often it is told again while it lasts, in milliseconds. Range: 1000 to 2592000000.
    pub repeat_ms: u64,
    /// How long a receiver has to answer, in milliseconds. Range: 100 to 60000.
    pub timeout_ms: u64,
    /// Messages that wait for one receiver; of more the oldest are dropped. Range: 1 to 100000.
    pub queue: u32,
    /// What this installation is called in messages.
    pub name: String,
    /// The address of a Slack incoming webhook, which is a secret: better in
    /// `PREFILL_ALERT_SLACK_WEBHOOK_URL` or in `slack_webhook_url_file`.
    /// Example: `"https://hooks.slack.com/services/T000/B000/XXXX"`.
    #[serde(skip_serializing)]
    pub slack_webhook_url: Option<Secret>,
    /// A file that holds that address and nothing else, where `slack_webhook_url` does not say it.
    /// Example: `"/run/secrets/prefill-slack"`.
    pub slack_webhook_url_file: Option<PathBuf>,
    /// An address that alerts are sent to as signed JSON.
    /// Example: `"https://ops.example/hooks/prefill"`.
    #[serde(skip_serializing)]
    pub webhook_url: Option<Secret>,
    /// A file that holds the secret that signs them and nothing else. Or `PREFILL_ALERT_WEBHOOK_SECRET`.
    /// Example: `"/run/secrets/prefill-webhook"`.
    pub webhook_secret_file: Option<PathBuf>,
    /// A PostHog whose project is told of backfills. Not set: none is.
    /// Example: `"https://eu.i.posthog.com"`.
    pub capture_host: Option<String>,
    /// The key of that project: better in `PREFILL_ALERT_CAPTURE_KEY` or in `capture_key_file`.
    /// Example: `"phc_XXXX"`.
    #[serde(skip_serializing)]
    pub capture_key: Option<Secret>,
    /// A file that holds that key and nothing else, where `capture_key` does not say it.
    /// Example: `"/run/secrets/prefill-posthog"`.
    pub capture_key_file: Option<PathBuf>,
    /// From [`WEBHOOK_SECRET_VARIABLE`]; in no file that others may read.
    #[serde(skip)]
    pub webhook_secret: Option<Secret>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            every_ms: 60_000,
            for_ms: 300_000,
            slow_ms: 86_400_000,
            repeat_ms: 14_400_000,
            timeout_ms: 10_000,
            queue: 1_000,
            name: "prefill".to_owned(),
            slack_webhook_url: None,
            slack_webhook_url_file: None,
            webhook_url: None,
            webhook_secret_file: None,
            capture_host: None,
            capture_key: None,
            capture_key_file: None,
            webhook_secret: None,
        }
    }
}

/// A generic webhook.
#[derive(Clone)]
pub struct Webhook {
    pub url: Url,
    pub secret: Secret,
}

/// A PostHog project.
#[derive(Clone)]
pub struct Capture {
    /// Of its batch endpoint.
    pub url: Url,
    pub key: Secret,
}

impl Alerts {
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }

    pub fn lasts(&self) -> Duration {
        Duration::from_millis(self.for_ms)
    }

    pub fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_ms)
    }

    pub fn repeat(&self) -> Duration {
        Duration::from_millis(self.repeat_ms)
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The Slack webhook, where there is one.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when its file cannot be read or it is no address.
    pub fn slack(&self) -> Result<Option<Url>> {
        let (text, file) = (&self.slack_webhook_url, &self.slack_webhook_url_file);
        let url = written(text, file, "alerts.slack_webhook_url_file")?;
        url.map(|url| address("alerts.slack_webhook_url", url.reveal()))
            .transpose()
    }

    /// The generic webhook, where there is one.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when it has no secret, its file cannot be read or it is no address.
    pub fn webhook(&self) -> Result<Option<Webhook>> {
        let secret = written(
            &self.webhook_secret,
            &self.webhook_secret_file,
            "alerts.webhook_secret_file",
        )?;
        let url = written(&self.webhook_url, &None, "alerts.webhook_url")?;
        let Some(url) = url else {
            return Ok(None);
        };
        let url = address("alerts.webhook_url", url.reveal())?;
        let secret = secret.ok_or_else(|| {
            Error::misuse("alerts.webhook_url has no secret to sign what is sent").hint(format!(
                "set {WEBHOOK_SECRET_VARIABLE} or alerts.webhook_secret_file; the receiver checks the signature by it"
            ))
        })?;
        Ok(Some(Webhook { url, secret }))
    }

    /// The PostHog project that is told of backfills, where there is one.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when it has no key, its file cannot be read or the host is no address.
    pub fn capture(&self) -> Result<Option<Capture>> {
        let Some(host) = self.capture_host.as_deref().map(str::trim) else {
            return Ok(None);
        };
        if host.is_empty() {
            return Ok(None);
        }
        let host = address("alerts.capture_host", host)?;
        let url = host.join("/batch/").classed(Class::Misuse, || {
            "alerts.capture_host is no host".to_owned()
        })?;
        let key = written(
            &self.capture_key,
            &self.capture_key_file,
            "alerts.capture_key_file",
        )?;
        let key = key.ok_or_else(|| {
            Error::misuse("alerts.capture_host has no key of a project").hint(format!(
                "set {CAPTURE_KEY_VARIABLE}, alerts.capture_key or alerts.capture_key_file"
            ))
        })?;
        Ok(Some(Capture { url, key }))
    }

    /// Set to nothing, as compose files do, counts as not set.
    pub(super) fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        for (name, setting) in [
            (SLACK_URL_VARIABLE, &mut self.slack_webhook_url),
            (WEBHOOK_SECRET_VARIABLE, &mut self.webhook_secret),
            (CAPTURE_KEY_VARIABLE, &mut self.capture_key),
        ] {
            if let Some(text) = variable(name).filter(|text| !text.trim().is_empty()) {
                *setting = Some(text.into());
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, value, least, most) in [
            ("alerts.every_ms", self.every_ms, 100, 86_400_000),
            ("alerts.for_ms", self.for_ms, 0, 86_400_000),
            ("alerts.slow_ms", self.slow_ms, 0, 2_592_000_000),
            ("alerts.repeat_ms", self.repeat_ms, 1_000, 2_592_000_000),
            ("alerts.timeout_ms", self.timeout_ms, 100, 60_000),
            ("alerts.queue", u64::from(self.queue), 1, 100_000),
        ] {
            in_range(name, value, least, most)?;
        }
        Ok(())
    }

    /// What is told to whom, with what stands in files, which commands that tell nobody need not read.
    ///
    /// # Errors
    ///
    /// As [`Alerts::slack`], [`Alerts::webhook`] and [`Alerts::capture`].
    pub fn check_receivers(&self) -> Result<()> {
        self.slack()?;
        self.webhook()?;
        self.capture().map(drop)
    }
}

/// A setting that stands where it is used, or in a file.
fn written(text: &Option<Secret>, file: &Option<PathBuf>, key: &str) -> Result<Option<Secret>> {
    let text = match (text, file) {
        (Some(text), _) => text.reveal().to_owned(),
        (None, Some(file)) => read(file, key)?,
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned().into()))
}

fn read(file: &Path, key: &str) -> Result<String> {
    std::fs::read_to_string(file)
        .classed(Class::Misuse, || {
            format!("failed to read {key} {}", file.display())
        })
        .map_err(|error| error.hint("name a file that you can read"))
}

/// An address, which is not repeated where it is wrong: it may be a secret.
fn address(key: &str, text: &str) -> Result<Url> {
    let wrong = |what: &str| {
        Error::misuse(format!("{key} {what}"))
            .hint(format!("{key} begins with https:// or http:// and a host"))
    };
    let url = Url::parse(text).map_err(|_| wrong("is no address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is no address of HTTP"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user or a password in it"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_wrong_is_named_and_no_address_or_secret_is_repeated() {
        let dir = tempfile::tempdir().expect("a directory");
        for (text, names) in [
            ("every_ms = 50", "alerts.every_ms = 50"),
            ("repeat_ms = 0", "alerts.repeat_ms = 0"),
            ("queue = 0", "alerts.queue = 0"),
            ("slack_webhook = 1", "slack_webhook"),
            (
                "slack_webhook_url = \"hunter2\"",
                "alerts.slack_webhook_url",
            ),
            (
                "slack_webhook_url = \"ftp://hunter2\"",
                "no address of HTTP",
            ),
            (
                "slack_webhook_url_file = \"/nowhere/at/all\"",
                "/nowhere/at/all",
            ),
            ("webhook_url = \"https://a.test/hunter2\"", "no secret"),
            ("capture_host = \"https://a.test\"", "no key"),
            (
                "capture_host = \"a.test\"\ncapture_key = \"hunter2\"",
                "alerts.capture_host",
            ),
        ] {
            let text = format!("[alerts]\n{text}");
            std::fs::write(dir.path().join("prefill.toml"), &text).expect("written");
            let checked =
                Config::load(None, dir.path()).and_then(|config| config.alerts.check_receivers());
            let error = checked.expect_err(&text);
            assert_eq!(error.class(), Class::Misuse);
            assert!(error.chain().contains(names), "{}", error.chain());
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
    }

    #[test]
    fn secrets_come_from_the_environment_or_from_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("slack");
        std::fs::write(&file, " https://hooks.slack.test/services/T/B/x\n").expect("written");
        let mut alerts = Alerts {
            slack_webhook_url_file: Some(file),
            webhook_url: Some("https://a.test/hook".to_owned().into()),
            ..Alerts::default()
        };
        assert_eq!(
            alerts
                .slack()
                .expect("valid")
                .map(|url| url.path().to_owned())
                .as_deref(),
            Some("/services/T/B/x")
        );
        alerts.read_environment(|name| match name {
            WEBHOOK_SECRET_VARIABLE => Some("s3cret".to_owned()),
            SLACK_URL_VARIABLE => Some(String::new()),
            _ => None,
        });
        let webhook = alerts.webhook().expect("valid").expect("one");
        assert_eq!(webhook.secret.reveal(), "s3cret");
        assert!(alerts.slack().expect("valid").is_some(), "empty is not set");
        assert!(alerts.capture().expect("valid").is_none(), "off by default");
        assert!(!format!("{alerts:?}").contains("s3cret"));
    }
}
