//! The variables of the environment that prefill reads, and which of them count.

use std::collections::BTreeSet;

use super::unknown::nearest;

/// Each variable and what it is for, `NAME` standing for the name of a warehouse or of a receiver.
pub(super) const VARIABLES: [(&str, &str); 15] = [
    (
        "PREFILL_DATA_DIR",
        "where everything of an installation lies, unless --data-dir says it",
    ),
    (
        "WEB_ANALYTICS_BACKFILL_DAYS",
        "the number of days to fill, over backfill_days",
    ),
    (
        "PREFILL_LEDGER_URL",
        "the address of the ledger, over url and url_file of [ledger]",
    ),
    (
        "PREFILL_WAREHOUSE_URL",
        "the address of the warehouses, where a file with [warehouses.NAME]\n\
         says none, and over what a file without says",
    ),
    ("PREFILL_WAREHOUSE_USER", "who asks there, likewise"),
    (
        "PREFILL_WAREHOUSE_PASSWORD",
        "the password there, likewise; also PREFILL_WAREHOUSE_NAME_URL, _USER\n\
         and _PASSWORD, over what is written under [warehouses.NAME]",
    ),
    (
        "PREFILL_HTTP_TOKEN",
        "a token that may do everything, over token_file of [http]",
    ),
    (
        "PREFILL_HTTP_READ_ONLY_TOKEN",
        "a token that may only read, over read_only_token_file of [http]",
    ),
    (
        "PREFILL_ALERT_SLACK_WEBHOOK_URL",
        "the address of a Slack webhook, over slack_webhook_url and its file of [alerts];\n\
         also PREFILL_ALERT_SLACK_NAME_WEBHOOK_URL of [alerts.slack.NAME]",
    ),
    (
        "PREFILL_ALERT_WEBHOOK_SECRET",
        "the secret that signs webhooks, over webhook_secret_file of [alerts];\n\
         also PREFILL_ALERT_WEBHOOK_NAME_SECRET of [alerts.webhook.NAME]",
    ),
    (
        "PREFILL_ALERT_CAPTURE_KEY",
        "the key of a PostHog project, over capture_key and its file of [alerts]",
    ),
    ("PREFILL_LIBCHDB", "a copy of the embedded engine's library"),
    (
        "PREFILL_ENGINE_PASSWORD",
        "the password that prefill engine asks for",
    ),
    (
        "PREFILL_LOG",
        "which log lines are written, such as prefill=debug",
    ),
    ("NO_COLOR", "set to anything: no colours"),
];

/// What a warehouse takes from the environment.
pub(super) const OF_A_WAREHOUSE: [&str; 3] = ["URL", "USER", "PASSWORD"];

/// `PREFILL_WAREHOUSE_EU_2_URL` for the warehouse `eu-2`.
pub(super) fn of_warehouse(name: &str, what: &str) -> String {
    format!("PREFILL_WAREHOUSE_{}_{what}", in_capitals(name))
}

/// All that a warehouse takes.
pub(super) fn of_a_warehouse(name: &str) -> [String; 3] {
    OF_A_WAREHOUSE.map(|what| of_warehouse(name, what))
}

/// What receivers of alerts take from the environment, by kind: what their variables begin and end with.
const OF_RECEIVERS: [(&str, &str, &str); 2] = [
    ("slack", "PREFILL_ALERT_SLACK_", "_WEBHOOK_URL"),
    ("webhook", "PREFILL_ALERT_WEBHOOK_", "_SECRET"),
];

/// `PREFILL_ALERT_SLACK_ON_CALL_WEBHOOK_URL` for the Slack webhook `on-call`.
pub(super) fn of_receiver(kind: &str, name: &str) -> String {
    let (_, begin, end) = OF_RECEIVERS
        .into_iter()
        .find(|(of, ..)| *of == kind)
        .expect("there are two kinds that have names");
    format!("{begin}{}{end}", in_capitals(name))
}

fn in_capitals(name: &str) -> String {
    name.chars()
        .map(|c| match c.to_ascii_uppercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        })
        .collect()
}

/// Whether a variable is one of a warehouse or of a receiver, whatever that is called.
fn is_of_any(variable: &str) -> bool {
    let of_warehouse = OF_A_WAREHOUSE
        .iter()
        .any(|what| is_between(variable, "PREFILL_WAREHOUSE_", &format!("_{what}")));
    of_warehouse
        || OF_RECEIVERS
            .iter()
            .any(|(_, begin, end)| is_between(variable, begin, end))
}

fn is_between(name: &str, begin: &str, end: &str) -> bool {
    let own = name.strip_prefix(begin);
    own.is_some_and(|own| own.ends_with(end))
}

/// Sorts the names of variables that are set into those that count, and those that look as if they should
/// and don't, with the name that may be meant. `own` are those of the warehouses and receivers that have
/// names; where these are not known, a variable may be that of any.
pub(super) fn sorted<'a>(
    set: impl IntoIterator<Item = &'a str>,
    own: Option<&[String]>,
) -> (Vec<String>, Vec<(String, Option<String>)>) {
    let mut known: BTreeSet<String> = VARIABLES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    known.extend(own.into_iter().flatten().cloned());
    let (mut count, mut unknown) = (Vec::new(), Vec::new());
    for name in set {
        if known.contains(name) || (own.is_none() && is_of_any(name)) {
            count.push(name.to_owned());
        } else if name.starts_with("PREFILL_") {
            let meant = nearest(name, known.iter().map(String::as_str));
            unknown.push((name.to_owned(), meant.map(str::to_owned)));
        }
    }
    (count, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in quotes in a source: `"PREFILL_LOG"`.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        text.split('"').filter(|name| {
            // A name to which something is added ends in the line.
            !name.ends_with('_')
                && (name.starts_with("PREFILL_") || name.starts_with("WEB_ANALYTICS_"))
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
    }

    fn sources(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(path).expect("a source"));
            }
        }
    }

    #[test]
    fn every_variable_that_a_source_names_is_described() {
        let mut texts = Vec::new();
        sources(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let named: BTreeSet<&str> = texts
            .iter()
            // What follows is for tests only, which make up names and have variables of their own.
            .filter_map(|text| text.split("#[cfg(test)]").next())
            .flat_map(named)
            .collect();
        let described = VARIABLES.map(|(name, _)| name);
        for name in &named {
            assert!(described.contains(name), "{name} is not in VARIABLES");
        }
        for name in described {
            // Made of parts in the sources; a test of its warehouse reads it.
            let made = OF_A_WAREHOUSE.map(|what| format!("PREFILL_WAREHOUSE_{what}"));
            let read = named.contains(name) || made.iter().any(|made| made == name);
            assert!(read || name == "NO_COLOR", "nothing reads {name}");
        }
    }

    #[test]
    fn a_variable_that_is_misspelt_or_of_no_warehouse_is_told() {
        let set = [
            "HOME",
            "PREFILL_ALERT_SLACK_EU_WEBHOOK_URL",
            "PREFILL_ALERT_SLACK_US_WEBHOOK_URL",
            "PREFILL_LEDGERURL",
            "PREFILL_LOG",
            "PREFILL_WAREHOUSE_EU_2_PASSWORD",
            "PREFILL_WAREHOUSE_US_URL",
        ];
        let mut own = of_a_warehouse("eu-2").to_vec();
        own.push(of_receiver("slack", "eu"));
        let (count, unknown) = sorted(set, Some(&own));
        assert_eq!(
            count,
            [
                "PREFILL_ALERT_SLACK_EU_WEBHOOK_URL",
                "PREFILL_LOG",
                "PREFILL_WAREHOUSE_EU_2_PASSWORD"
            ]
        );
        let unknown: Vec<_> = unknown
            .iter()
            .map(|(name, meant)| (&**name, meant.as_deref()))
            .collect();
        assert_eq!(
            unknown,
            [
                (
                    "PREFILL_ALERT_SLACK_US_WEBHOOK_URL",
                    Some("PREFILL_ALERT_SLACK_EU_WEBHOOK_URL")
                ),
                ("PREFILL_LEDGERURL", Some("PREFILL_LEDGER_URL")),
                (
                    "PREFILL_WAREHOUSE_US_URL",
                    Some("PREFILL_WAREHOUSE_EU_2_URL")
                ),
            ]
        );
        // Of a configuration that is not valid nobody knows the names.
        let (count, unknown) = sorted(set, None);
        assert_eq!(count.len(), 5, "{count:?}");
        assert_eq!(unknown.len(), 1, "{unknown:?}");
    }
}
