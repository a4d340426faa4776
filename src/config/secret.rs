//! What is never printed: text that is a secret, and what stands in a file that may hold one.

use serde::Deserialize;

/// Text that is never printed.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to be sent and not to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What is wrong and where, without what is written there: that may be a password, also under a
/// misspelt name, or where a quote is missing.
pub(super) fn without_values(mut error: toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    // Without its input the error tells the path of the key instead of the line as it is written.
    error.set_input(None);
    let mut told = error.to_string();
    // invalid type: string "hunter2", expected u32
    let names_value = ["invalid type: ", "invalid value: "];
    if names_value.iter().any(|begin| told.starts_with(begin))
        && let Some(until) = told.rfind(", expected ")
        && let Some(from) = told[..until].find(['"', '`'])
    {
        told.replace_range(from - 1..until, "");
    }
    match line {
        Some(line) => format!("line {line}: {told}"),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::Config;
    use crate::error::Class;

    #[test]
    fn a_line_with_an_address_is_not_repeated_when_it_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("prefill.toml");
        for text in [
            "[ledger]\nurl = \"postgres://u:hunter2@host/db\nschema = \"prefill\"",
            "[ledger]\nurll = \"postgres://u:hunter2@host/db\"",
            "[ledger]\nurl = [\"postgres://u:hunter2@host/db\"]",
        ] {
            std::fs::write(&file, text).expect("written");
            let error = Config::load(None, dir.path()).expect_err(text);
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
    }

    /// Configurations with `SECRET` where a secret is, right and wrong in many ways.
    const WITH_SECRETS: [&str; 23] = [
        "backfill_days = 3\n[warehouse]\nurl = \"http://a:8123\"\npassword = \"SECRET\"\n",
        "[warehouse]\npassword = 'SECRET'\nmax_threads = 0\n",
        "[warehouse]\npassword = \"\"\"\nabc\nSECRET\nmore\"\"\"\n[ledger]\npoll_ms = \"x\"\n",
        "warehouse = { user = \"u\", password = \"SECRET\", max_threads = 3 }\n",
        "[warehouse]\npasword = \"SECRET\"\n",
        "[warehouse]\npassword = [\n\"SECRET\",\n]\n",
        "[warehouse.password]\ntext = \"SECRET\"\n",
        "password = \"SECRET\"\n",
        "[warehouse.settings]\ntoken = \"SECRET\"\n[source]\ntable = 3\n",
        "[warehouse.settings]\ntoken = [\"SECRET\"]\n",
        "[warehouses.eu]\nurl = \"http://a\"\npassword = \"SECRET\"\n[warehouses.us]\n",
        "[warehouse]\nurl = \"http://u:SECRET@a:8123/?x=1\"\n",
        "[ledger]\nurl = \"postgres://u:SECRET@h/db\"\nschema = \"prefill\"\n",
        "[ledger]\nurl = '''\npostgres://u:SECRET@h/db\n'''\nmax_connections = 1\n",
        "[ledger]\nurl = [\"postgres://u:SECRET@h/db\"]\n",
        "ledger = \"SECRET\"\n",
        "[alerts]\nslack_webhook_url = \"https://a.test/services/SECRET\"\nqueue = 0\n",
        "[alerts]\nwebhook_url = \"https://a.test/SECRET\"\n",
        "[alerts]\nwebhook_url = \"https://u:SECRET@a.test/\"\n",
        "[alerts]\ncapture_host = \"a.test\"\ncapture_key = \"SECRET\"\n",
        "[alerts.slack.oncall]\nwebhook_url = \"https://a.test/services/SECRET\"\n",
        "[alerts.slack]\noncall = \"https://a.test/services/SECRET\"\n",
        "[alerts.webhook.ops]\nsecret = \"SECRET\"\nurl = \"https://a.test/SECRET\"\n",
    ];

    proptest! {
        #[test]
        fn no_error_tells_a_secret(
            text in prop::sample::select(WITH_SECRETS.to_vec()),
            // A number is a wrong type where a text is meant.
            secret in prop_oneof!["[A-Za-z0-9=+_-]{16,24}", "[1-9][0-9]{15}"],
            bare: bool,
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0_usize..3, "[\"'=\\[\\]{}#\\\\\\n,.a0 ]{0,2}"), 0..3),
        ) {
            let mut text = text.to_owned();
            for (at, removed, part) in edits {
                let from = at.index(text.len());
                text.replace_range(from..(from + removed).min(text.len()), &part);
            }
            if bare {
                text = text.replace("\"SECRET\"", "SECRET");
            }
            let text = text.replace("SECRET", &secret);
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join("prefill.toml"), &text).expect("written");
            let told = match Config::load(None, dir.path()) {
                Ok(config) => config.warehouses.values().map(|w| format!("{:?}", w.password)).collect(),
                Err(error) => format!("{} {error:?} {:?}", error.chain(), error.next_step()),
            };
            for piece in secret.as_bytes().windows(8) {
                let piece = std::str::from_utf8(piece).expect("ASCII");
                prop_assert!(!told.contains(piece), "{text}\n---\n{told}");
            }
        }

        #[test]
        fn no_text_makes_it_panic(
            text in prop_oneof![
                any::<String>(),
                "(\\[{1,2}(warehouse|warehouses\\.eu|ledger|source|teams|service|a)\\]{1,2}\\n|(url|teams|settings|kind|user|workers|backfill_days|poll_ms) = (\"\\PC{0,5}\"|-?[0-9]{1,20}|[0-9]e9|nan|inf|\\[\\]|\\{\\}|true|1979-05-27)\\n){0,6}",
            ],
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join("prefill.toml"), &text).expect("written");
            match Config::load(None, dir.path()) {
                Ok(config) => prop_assert!(config.check().is_ok()),
                Err(error) => {
                    prop_assert_eq!(error.class(), Class::Misuse);
                    prop_assert!(error.next_step().is_some(), "{}", error.chain());
                }
            }
        }
    }
}
