//! `[alerts]`: who is told when something is wrong and when it is over, and what PostHog is told of backfills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::in_range;
use super::secret::Secret;
use super::variables::of_receiver;
use crate::error::{Class, Context, Error, Result};

/// Holds the address of the Slack webhook, over `slack_webhook_url` and its file.
pub const SLACK_URL_VARIABLE: &str = "PREFILL_ALERT_SLACK_WEBHOOK_URL";
/// Holds the secret that signs webhooks, over `webhook_secret_file`.
pub const WEBHOOK_SECRET_VARIABLE: &str = "PREFILL_ALERT_WEBHOOK_SECRET";
/// Holds the key of the PostHog project that is told of backfills, over `capture_key` and its file.
pub const CAPTURE_KEY_VARIABLE: &str = "PREFILL_ALERT_CAPTURE_KEY";
/// The longest name of a receiver.
const MOST_OF_NAME: usize = 40;

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
    /// More Slack webhooks by name, each a receiver of its own, beside that of `slack_webhook_url`. A name
    /// has small letters, digits and hyphens.
    pub slack: BTreeMap<String, SlackReceiver>,
    /// More signed webhooks by name, each a receiver of its own, beside that of `webhook_url`. A name has
    /// small letters, digits and hyphens.
    pub webhook: BTreeMap<String, WebhookReceiver>,
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
            slack: BTreeMap::new(),
            webhook: BTreeMap::new(),
            webhook_secret: None,
        }
    }
}

/// `[alerts.slack.NAME]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct SlackReceiver {
    /// The address of its Slack incoming webhook, which is a secret: better in the environment (for
    /// `oncall` in `PREFILL_ALERT_SLACK_ONCALL_WEBHOOK_URL`) or in `webhook_url_file`.
    /// Example: `"https://hooks.slack.com/services/T000/B000/YYYY"`.
    #[serde(skip_serializing)]
    pub webhook_url: Option<Secret>,
    /// A file that holds that address and nothing else, where `webhook_url` does not say it.
    /// Example: `"/run/secrets/prefill-slack-oncall"`.
    pub webhook_url_file: Option<PathBuf>,
}

/// `[alerts.webhook.NAME]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookReceiver {
    /// An address that alerts are sent to as signed JSON.
    /// Example: `"https://ops.example/hooks/prefill"`.
    #[serde(skip_serializing)]
    pub url: Option<Secret>,
    /// A file that holds the secret that signs them and nothing else. Or in the environment (for `ops` in
    /// `PREFILL_ALERT_WEBHOOK_OPS_SECRET`).
    /// Example: `"/run/secrets/prefill-webhook-ops"`.
    pub secret_file: Option<PathBuf>,
    /// From the environment; in no file that others may read.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// A Slack channel.
#[derive(Clone)]
pub struct Slack {
    /// As people, metrics and the ledger have it: `slack`, or `slack.NAME`.
    pub name: String,
    pub url: Url,
}

/// A generic webhook.
#[derive(Clone)]
pub struct Webhook {
    /// As people, metrics and the ledger have it: `webhook`, or `webhook.NAME`.
    pub name: String,
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

    /// The Slack webhooks, the one without a name first.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when one has no address, its file cannot be read or it is no address.
    pub fn slack(&self) -> Result<Vec<Slack>> {
        let (text, file) = (&self.slack_webhook_url, &self.slack_webhook_url_file);
        let mut all = Vec::new();
        if let Some(url) = written(text, file, "alerts.slack_webhook_url_file")? {
            let url = address("alerts.slack_webhook_url", url.reveal())?;
            let name = "slack".to_owned();
            all.push(Slack { name, url });
        }
        for (own, slack) in &self.slack {
            let name = format!("slack.{own}");
            let key = format!("alerts.{name}.webhook_url");
            let (text, file) = (&slack.webhook_url, &slack.webhook_url_file);
            let url = written(text, file, &format!("{key}_file"))?.ok_or_else(|| {
                Error::misuse(format!("[alerts.{name}] has no address")).hint(format!(
                    "set {}, webhook_url or webhook_url_file, or take the section away",
                    of_receiver("slack", own)
                ))
            })?;
            let url = address(&key, url.reveal())?;
            all.push(Slack { name, url });
        }
        Ok(all)
    }

    /// The generic webhooks, the one without a name first.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when one has no address or no secret, its file cannot be read or it is no address.
    pub fn webhooks(&self) -> Result<Vec<Webhook>> {
        let mut all = Vec::new();
        let signed = |key: &str, url: &Secret, secret: Option<Secret>, hint: String| {
            let url = address(key, url.reveal())?;
            let secret = secret.ok_or_else(|| {
                Error::misuse(format!("{key} has no secret to sign what is sent")).hint(format!(
                    "set {hint}; the receiver checks the signature by it"
                ))
            })?;
            Ok::<_, Error>((url, secret))
        };
        let secret = written(
            &self.webhook_secret,
            &self.webhook_secret_file,
            "alerts.webhook_secret_file",
        )?;
        if let Some(url) = written(&self.webhook_url, &None, "alerts.webhook_url")? {
            let hint = format!("{WEBHOOK_SECRET_VARIABLE} or alerts.webhook_secret_file");
            let (url, secret) = signed("alerts.webhook_url", &url, secret, hint)?;
            let name = "webhook".to_owned();
            all.push(Webhook { name, url, secret });
        }
        for (own, webhook) in &self.webhook {
            let name = format!("webhook.{own}");
            let key = format!("alerts.{name}.url");
            let file = format!("alerts.{name}.secret_file");
            let secret = written(&webhook.secret, &webhook.secret_file, &file)?;
            let url = written(&webhook.url, &None, &key)?.ok_or_else(|| {
                Error::misuse(format!("[alerts.{name}] has no address"))
                    .hint("set its url, or take the section away")
            })?;
            let hint = format!("{} or {file}", of_receiver("webhook", own));
            let (url, secret) = signed(&key, &url, secret, hint)?;
            all.push(Webhook { name, url, secret });
        }
        Ok(all)
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
        let slack = self.slack.iter_mut();
        let slack = slack.map(|(name, own)| (of_receiver("slack", name), &mut own.webhook_url));
        let webhook = self.webhook.iter_mut();
        let webhook = webhook.map(|(name, own)| (of_receiver("webhook", name), &mut own.secret));
        for (name, setting) in slack.chain(webhook) {
            if let Some(text) = variable(&name).filter(|text| !text.trim().is_empty()) {
                *setting = Some(text.into());
            }
        }
    }

    /// The variables that are read for the receivers that have names.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> + '_ {
        let slack = self.slack.keys().map(|name| of_receiver("slack", name));
        let webhook = self.webhook.keys().map(|name| of_receiver("webhook", name));
        slack.chain(webhook)
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
        let slack = self.slack.keys().map(|name| ("slack", name));
        let webhook = self.webhook.keys().map(|name| ("webhook", name));
        for (kind, name) in slack.chain(webhook) {
            // It is not repeated: an address may have come to stand there.
            if !is_name(name) {
                return Err(Error::misuse(format!(
                    "a name under [alerts.{kind}] is none for a receiver"
                ))
                .hint(format!(
                    "write [alerts.{kind}.NAME] with 1 to {MOST_OF_NAME} small letters, digits and hyphens"
                )));
            }
        }
        Ok(())
    }

    /// Who is told, by name, with what stands in files, which commands that tell nobody need not read.
    ///
    /// # Errors
    ///
    /// As [`Alerts::slack`], [`Alerts::webhooks`] and [`Alerts::capture`].
    pub fn check_receivers(&self) -> Result<Vec<String>> {
        let slack = self.slack()?.into_iter().map(|slack| slack.name);
        let webhooks = self.webhooks()?.into_iter().map(|webhook| webhook.name);
        let capture = self.capture()?.map(|_| Capture::NAME.to_owned());
        Ok(slack.chain(webhooks).chain(capture).collect())
    }
}

impl Capture {
    /// As people, metrics and the ledger have it.
    pub const NAME: &str = "capture";
}

/// Names are labels of metrics, and parts of the names of variables, where no two may look the same.
fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MOST_OF_NAME).contains(&name.len()) && name.bytes().all(is_of_name)
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
            (
                "[alerts.slack.oncall]",
                "[alerts.slack.oncall] has no address",
            ),
            (
                "[alerts.slack.oncall]\nwebhook_url = \"hunter2\"",
                "alerts.slack.oncall.webhook_url is no address",
            ),
            (
                "[alerts.slack.oncall]\nwebhook_url_file = \"/nowhere/at/all\"",
                "alerts.slack.oncall.webhook_url_file /nowhere/at/all",
            ),
            (
                "[alerts.slack]\nwebhook_url = \"https://a.test/hunter2\"",
                "alerts.slack.webhook_url",
            ),
            (
                "[alerts.slack.oncall]\nurl = \"https://a.test/hunter2\"",
                "unknown key `url` in [alerts.slack.oncall]; it stands in [alerts.webhook.ops]",
            ),
            (
                "[alerts.webhook.ops]\nurl = \"https://a.test/hunter2\"",
                "alerts.webhook.ops.url has no secret",
            ),
            (
                "[alerts.webhook.ops]",
                "[alerts.webhook.ops] has no address",
            ),
            (
                "[alerts.slack.\"https://a.test/hunter2\"]",
                "a name under [alerts.slack]",
            ),
            ("[alerts.webhook.On_Call]", "a name under [alerts.webhook]"),
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
        let slack = |alerts: &Alerts| -> Vec<(String, String)> {
            let all = alerts.slack().expect("valid").into_iter();
            all.map(|slack| (slack.name, slack.url.path().to_owned()))
                .collect()
        };
        let pair = |name: &str, path: &str| (name.to_owned(), path.to_owned());
        assert_eq!(slack(&alerts), [pair("slack", "/services/T/B/x")]);
        alerts.read_environment(|name| match name {
            WEBHOOK_SECRET_VARIABLE => Some("s3cret".to_owned()),
            SLACK_URL_VARIABLE => Some(String::new()),
            _ => None,
        });
        let webhooks = alerts.webhooks().expect("valid");
        assert_eq!(webhooks.len(), 1);
        assert_eq!(webhooks[0].secret.reveal(), "s3cret");
        assert_eq!(slack(&alerts).len(), 1, "empty is not set");
        assert!(alerts.capture().expect("valid").is_none(), "off by default");
        assert!(!format!("{alerts:?}").contains("s3cret"));

        // Those that have names, beside them.
        let two = SlackReceiver::default();
        alerts.slack = [("on-call", two.clone()), ("eu", two)]
            .map(|(name, own)| (name.to_owned(), own))
            .into();
        let ops = WebhookReceiver {
            url: Some("https://b.test/hook".to_owned().into()),
            ..WebhookReceiver::default()
        };
        alerts.webhook.insert("ops".to_owned(), ops);
        alerts.read_environment(|name| match name {
            "PREFILL_ALERT_SLACK_ON_CALL_WEBHOOK_URL" => Some("https://a.test/call".to_owned()),
            "PREFILL_ALERT_SLACK_EU_WEBHOOK_URL" => Some("https://a.test/eu".to_owned()),
            "PREFILL_ALERT_WEBHOOK_OPS_SECRET" => Some("s3cret of ops".to_owned()),
            _ => None,
        });
        let told = [
            pair("slack", "/services/T/B/x"),
            pair("slack.eu", "/eu"),
            pair("slack.on-call", "/call"),
        ];
        assert_eq!(slack(&alerts), told);
        let webhooks = alerts.webhooks().expect("valid");
        let secrets = webhooks.iter().map(|own| (&*own.name, own.secret.reveal()));
        let secrets: Vec<(&str, &str)> = secrets.collect();
        assert_eq!(
            secrets,
            [("webhook", "s3cret"), ("webhook.ops", "s3cret of ops")]
        );
        assert_eq!(
            alerts.check_receivers().expect("valid"),
            [
                "slack",
                "slack.eu",
                "slack.on-call",
                "webhook",
                "webhook.ops"
            ]
        );
        assert!(!format!("{alerts:?}").contains("s3cret"));
    }
}
