//! Keys that nobody knows: where they stand, and which one may be meant.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::describe::Section;

/// The least likeness of two names, from 0 to 1, at which one may be meant by the other.
const LIKE: f64 = 0.6;

/// The name that is most like `name`, where one is.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let like = |known: &'a str| (strsim::normalized_damerau_levenshtein(name, known), known);
    let best = known
        .into_iter()
        .map(like)
        .max_by(|(one, _), (two, _)| one.total_cmp(two));
    best.filter(|(likeness, _)| *likeness >= LIKE)
        .map(|(_, known)| known)
}

/// What is wrong with the first key of `text` that is none of its section, and which one may be meant.
/// Nothing where all keys are known, or the text is no TOML.
pub(super) fn unknown_key(text: &str, sections: &[Section]) -> Option<String> {
    let file = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    in_table(file.get_ref(), &[], sections, &mut found);
    let first = found.into_iter().min_by_key(|unknown| unknown.at.start)?;
    Some(first.told(text, sections))
}

/// A key that its section does not have.
struct Unknown<'a> {
    name: String,
    at: Range<usize>,
    path: String,
    section: &'a Section,
}

fn in_table<'a>(
    table: &DeTable<'_>,
    path: &[&str],
    sections: &'a [Section],
    found: &mut Vec<Unknown<'a>>,
) {
    let section = described(path, sections);
    if section.is_none() && of_many(path).is_none() {
        return;
    }
    for (key, value) in table {
        let name: &str = key.get_ref();
        match section {
            Some(section) if section.settings.iter().all(|known| known.key != name) => {
                found.push(Unknown {
                    name: name.to_owned(),
                    at: key.span(),
                    path: path.join("."),
                    section,
                });
            }
            _ => in_value(value.get_ref(), &[path, &[name]].concat(), sections, found),
        }
    }
}

fn in_value<'a>(
    value: &DeValue<'_>,
    path: &[&str],
    sections: &'a [Section],
    found: &mut Vec<Unknown<'a>>,
) {
    match value {
        DeValue::Table(table) => in_table(table, path, sections, found),
        DeValue::Array(values) => {
            for value in values {
                in_value(value.get_ref(), path, sections, found);
            }
        }
        _ => {}
    }
}

impl Unknown<'_> {
    fn told(&self, text: &str, sections: &[Section]) -> String {
        let before = text.get(..self.at.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // What stands in quotes is no misspelt key, and may be a value that lost its place.
        let bare = text.get(self.at.clone()) == Some(&*self.name);
        let key = if bare {
            format!("key `{}`", self.name)
        } else {
            "key in quotes".to_owned()
        };
        let place = |path: &str| match path {
            "" => "above all sections".to_owned(),
            path => format!("in [{path}]"),
        };
        let known = || self.section.settings.iter().map(|setting| setting.key);
        let elsewhere = sections
            .iter()
            .find(|section| section.settings.iter().any(|known| known.key == self.name));
        let hint = if let Some(meant) = nearest(&self.name, known()) {
            format!("did you mean `{meant}`?")
        } else if let Some(section) = elsewhere {
            format!("it stands {}", place(section.path))
        } else {
            let known: Vec<&str> = known().collect();
            format!("known are {}", known.join(", "))
        };
        format!("line {line}: unknown {key} {}; {hint}", place(&self.path))
    }
}

/// The tables whose tables have names that people choose, each with the section that describes one.
const MANY: [(&[&str], &str); 3] = [
    (&["warehouses"], "warehouse"),
    (&["alerts", "slack"], "alerts.slack.oncall"),
    (&["alerts", "webhook"], "alerts.webhook.ops"),
];

/// What describes each table of one of [`MANY`].
fn of_many(path: &[&str]) -> Option<&'static str> {
    let many = MANY.into_iter().find(|(many, _)| *many == path);
    many.map(|(_, described)| described)
}

/// Whether a key is the header of a section, or of several.
pub(super) fn is_section(path: &str, key: &str, sections: &[Section]) -> bool {
    let path: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let path = [&path, &[key][..]].concat();
    of_many(&path).is_some() || described(&path, sections).is_some()
}

/// The section that describes the table at `path`. A warehouse by name has what `[warehouse]` has, and
/// its source what `[source]` has; a receiver by name has what any other has. What no section describes
/// takes any key.
fn described<'a>(path: &[&str], sections: &'a [Section]) -> Option<&'a Section> {
    let by_name = MANY.into_iter().find_map(|(many, of_all)| {
        let [_, rest @ ..] = path.strip_prefix(many)? else {
            return None;
        };
        Some([&[of_all], rest].concat())
    });
    let of_all = by_name.unwrap_or_else(|| path.to_vec());
    let path = match &*of_all {
        ["warehouse", source @ ..] if source.first() == Some(&"source") => source.join("."),
        _ => of_all.join("."),
    };
    sections.iter().find(|section| section.path == path)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_key_that_is_meant() {
        let dir = tempfile::tempdir().expect("a directory");
        for (text, told) in [
            (
                "backfil_days = 3",
                "line 1: unknown key `backfil_days` above all sections; did you mean `backfill_days`?",
            ),
            (
                "\n[servise]\nworkers = 3",
                "line 2: unknown key `servise` above all sections; did you mean `service`?",
            ),
            (
                "[service]\nworkers = 3\nworker = 3",
                "line 3: unknown key `worker` in [service]; did you mean `workers`?",
            ),
            (
                "[warehouse]\nmax_treads = 1",
                "line 2: unknown key `max_treads` in [warehouse]; did you mean `max_threads`?",
            ),
            (
                "[warehouse.source]\ntabel = \"e\"",
                "unknown key `tabel` in [warehouse.source]; did you mean `table`?",
            ),
            (
                "[source]\ntabel = \"e\"",
                "line 2: unknown key `tabel` in [source]; did you mean `table`?",
            ),
            (
                "[warehouses.eu]\nurll = \"http://a\"",
                "line 2: unknown key `urll` in [warehouses.eu]; did you mean `url`?",
            ),
            (
                "[warehouses.eu.source]\nkid = \"posthog\"",
                "line 2: unknown key `kid` in [warehouses.eu.source]; did you mean `kind`?",
            ),
            (
                "[ledger]\nschem = \"a\"\nurll = \"postgres://u:hunter2@h/db\"",
                "line 2: unknown key `schem` in [ledger]; did you mean `schema`?",
            ),
            (
                "[alerts.slack.eu]\nwebhok_url = \"hunter2\"",
                "line 2: unknown key `webhok_url` in [alerts.slack.eu]; did you mean `webhook_url`?",
            ),
            (
                "[alerts.webhook.eu]\nsecret = \"hunter2\"",
                "line 2: unknown key `secret` in [alerts.webhook.eu]; known are url, secret_file",
            ),
            (
                "[teams]\norganisation = {}",
                "unknown key `organisation` in [teams]; did you mean `organization`?",
            ),
            (
                "[teams.organization]\nkye = \"a\"",
                "unknown key `kye` in [teams.organization]; did you mean `key`?",
            ),
            // Not near anything: it is somewhere else, or these are all.
            (
                "lease_ms = 5000",
                "unknown key `lease_ms` above all sections; it stands in [service]",
            ),
            (
                "[service]\nbackfill_days = 5",
                "unknown key `backfill_days` in [service]; it stands above all sections",
            ),
            (
                "[teams.organization]\nquux = 1",
                "unknown key `quux` in [teams.organization]; known are table, key, id, name",
            ),
            // No misspelt key has quotes.
            (
                "[warehouse]\n\"hunter2\" = 1",
                "line 2: unknown key in quotes in [warehouse]; known are ",
            ),
            ("'hunter2' = 1", "line 1: unknown key in quotes above all"),
        ] {
            std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
            let error = Config::load(None, dir.path()).expect_err(text);
            let chain = error.chain();
            assert!(chain.contains(told), "{chain}");
            assert!(!chain.contains("hunter2"), "{chain}");
            let hint = error.next_step().expect("a hint");
            assert!(hint.contains("prefill config print-default"), "{hint}");
        }
        // What takes any name.
        for text in [
            "[warehouse.settings]\nanything = 1",
            "[source.columns]\nhost = \"h\"",
            "[warehouses.\"of the east\"]",
        ] {
            std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
            Config::load(None, dir.path()).expect(text);
        }
    }
}
