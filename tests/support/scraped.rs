//! What a scrape said, read by Prometheus' own parser for Python.

#![allow(dead_code)] // each story uses its part

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prefill::telemetry::{CATALOGUE, Kind};

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Python of the tests, with its packages.
pub fn python() -> PathBuf {
    let python = std::env::var_os("PREFILL_TEST_PYTHON")
        .map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "there is no {}: run make test-python, or set PREFILL_TEST_PYTHON",
        python.display()
    );
    python
}

/// Runs a program with a text on its standard input; what it said, where it ended well.
pub fn piped(command: &mut Command, text: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that ends early says why.
    drop(stdin.write_all(text.as_bytes()));
    drop(stdin);
    let ended = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() {
        Ok(said)
    } else {
        Err(format!("{said}{errors}"))
    }
}

/// Debian's promtool, where it is installed: `make test` sees to that where it can.
pub fn promtool() -> Option<Command> {
    let unpacked = root().join(".venv/promtool/usr/bin/promtool");
    let found = [PathBuf::from("promtool"), unpacked]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok());
    if found.is_none() {
        println!("promtool is not installed: what it would check is not checked");
    }
    found.map(Command::new)
}

/// Name, labels, value, family and kind, as `tests/scraped.py` has them.
#[derive(serde::Deserialize)]
struct Sample(String, BTreeMap<String, String>, f64, String, String);

/// The samples of one scrape.
pub struct Scraped(BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Scraped {
    /// Refuses whatever is not in the catalogue as it is there.
    pub fn read(text: &str) -> Self {
        let said = piped(
            Command::new(python()).arg(root().join("tests/scraped.py")),
            text,
        );
        let said = said.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let samples: Vec<Sample> = serde_json::from_str(&said).expect("samples");
        let mut all = BTreeMap::new();
        for Sample(name, labels, value, family, kind) in samples {
            // The parser names counters without their suffix.
            let entry = CATALOGUE
                .iter()
                .find(|entry| entry.name.trim_end_matches("_total") == family)
                .unwrap_or_else(|| panic!("{family} is not in the catalogue"));
            assert_eq!(kind, entry.kind.text(), "{family}");
            let said: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            let mut known: BTreeSet<&str> = entry.labels.iter().copied().collect();
            if entry.kind == Kind::Histogram && name.ends_with("_bucket") {
                known.insert("le");
            }
            assert_eq!(said, known, "{name}");
            let before = all.insert((name.clone(), labels.clone()), value);
            assert!(before.is_none(), "{name} {labels:?} is there twice");
        }
        if let Some(mut promtool) = promtool() {
            let checked = piped(promtool.args(["check", "metrics"]), text);
            assert_eq!(checked.as_deref(), Ok(""), "{text}");
        }
        Self(all)
    }

    /// A sample by its labels, in the order `[("warehouse", "default")]`; nothing where there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.0.get(&(name.to_owned(), labels)).copied()
    }

    /// A sample that is there.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let told = || {
            let of_name = self.0.iter().filter(|((of, _), _)| of.starts_with(name));
            format!("no {name} {labels:?}: {:?}", of_name.collect::<Vec<_>>())
        };
        self.get(name, labels)
            .unwrap_or_else(|| panic!("{}", told()))
    }

    /// The slices of the default warehouse by state, without those that are none.
    pub fn slices(&self) -> BTreeMap<&str, f64> {
        let of_state = self
            .0
            .iter()
            .filter(|((name, _), value)| name == "prefill_slices" && **value != 0.0);
        of_state
            .filter(|((_, labels), _)| labels["warehouse"] == "default")
            .map(|((_, labels), value)| (labels["state"].as_str(), *value))
            .collect()
    }

    /// The names of the metrics that are there, as the catalogue has them.
    pub fn names(&self) -> BTreeSet<&'static str> {
        CATALOGUE
            .iter()
            .map(|entry| entry.name)
            .filter(|name| {
                self.0.keys().any(|(sample, _)| {
                    sample
                        .strip_prefix(name)
                        .is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
                })
            })
            .collect()
    }
}

/// The words of a text that look like metrics of prefill's, as the catalogue would name them.
pub fn named_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_of_name(character))
        .filter(|word| word.starts_with("prefill_"))
        .map(|word| {
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| word.strip_suffix(suffix))
                .find(|name| CATALOGUE.iter().any(|entry| entry.name == *name));
            of_histogram.unwrap_or(word).to_owned()
        })
        .collect()
}

/// A file of the repository.
pub fn file(path: &str) -> String {
    let path: &Path = &root().join(path);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
