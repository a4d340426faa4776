//! What there is to configure, read off the structs that are configured: their keys from serde, what a
//! key means from its doc comment, its default from `Default`. So what is told to people, and what an
//! unknown key is compared with, is what the program accepts.
//!
//! A doc comment is read as plain text, without links. `Example: ` and a value in backquotes at its end
//! are shown where a setting has no default.

use std::fmt::Write as _;

use documented::{Documented, DocumentedFields};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor, value};
use serde::{Serialize, forward_to_deserialize_any};

use super::unknown::is_section;
use super::variables::VARIABLES;

/// A section of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// Nothing for what stands above all sections.
    pub path: &'static str,
    pub about: &'static str,
    /// Whether its header alone changes something, so that it is commented out, too.
    pub by_header: bool,
    pub settings: Vec<Setting>,
}

/// A key of a section, and what can be said about it.
#[derive(Debug)]
pub(super) struct Setting {
    pub key: &'static str,
    /// Without its example.
    pub help: String,
    /// As TOML has it; nothing where not to set it is the default.
    pub default: Option<String>,
    /// As TOML has it.
    pub example: Option<String>,
}

impl Section {
    pub(super) fn of<S>(path: &'static str) -> Self
    where
        S: Default + Serialize + Documented + DocumentedFields + for<'de> Deserialize<'de>,
    {
        let defaults = toml::Table::try_from(S::default())
            .expect("defaults are numbers, texts and tables of them");
        let setting = |key: &&'static str| {
            let docs = S::get_field_docs(key).expect("keys are called as their fields are");
            let (help, example) = with_example(docs);
            let default = defaults.get(*key).map(ToString::to_string);
            Setting {
                key,
                help,
                default,
                example,
            }
        };
        Self {
            path,
            about: S::DOCS,
            by_header: false,
            settings: keys::<S>().iter().map(setting).collect(),
        }
    }

    /// A section that is a choice: there is a difference between none and an empty one.
    pub(super) fn by_header(self) -> Self {
        Self {
            by_header: true,
            ..self
        }
    }

    /// As it is shown for one of several names: what it is, and the keys that each has for itself.
    pub(super) fn one_of_many(self, path: &'static str, about: &'static str, own: &[&str]) -> Self {
        let mut settings = self.settings;
        settings.retain(|setting| own.contains(&setting.key));
        // Of what is to be shown here examples say more than the default, which is none.
        for setting in &mut settings {
            setting.default = None;
        }
        Self {
            path,
            about,
            by_header: true,
            settings,
        }
    }
}

/// The text of a file in which everything that `sections` have is commented out.
pub(super) fn as_file(sections: &[Section]) -> String {
    let mut text = format!(
        "# Every setting of prefill {}, with its default.\n#\n\
         # Lines that begin with \"# \" explain. To set something take away the \"#\" before its key, and\n\
         # before the [section] above it where there is one. What is not set has the value that is shown,\n\
         # or, where that is an example, none. prefill config check says whether all is well.\n#\n\
         # In the environment, where an empty text counts as not set:\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, meaning) in VARIABLES {
        for (number, line) in meaning.lines().enumerate() {
            let name = if number == 0 { name } else { "" };
            writeln!(text, "#   {name:<36} {}", line.trim()).expect("memory");
        }
    }
    for section in sections {
        if !section.path.is_empty() {
            let commented = if section.by_header { "#" } else { "" };
            text.push('\n');
            explain(&mut text, section.about);
            writeln!(text, "{commented}[{}]", section.path).expect("memory");
        }
        for setting in &section.settings {
            if is_section(section.path, setting.key, sections) {
                continue;
            }
            text.push('\n');
            explain(&mut text, &setting.help);
            let key = setting.key;
            match (&setting.default, &setting.example) {
                (Some(default), None) => writeln!(text, "#{key} = {default}"),
                (Some(default), Some(example)) => {
                    writeln!(text, "# Example: {key} = {example}\n#{key} = {default}")
                }
                (None, example) => {
                    let example = example.as_deref().unwrap_or_default();
                    writeln!(
                        text,
                        "# Not set by default; an example:\n#{key} = {example}"
                    )
                }
            }
            .expect("memory");
        }
    }
    text
}

fn explain(text: &mut String, help: &str) {
    for line in help.lines() {
        writeln!(text, "# {}", line.trim()).expect("memory");
    }
}

/// Takes the example off the end of a doc comment.
fn with_example(docs: &str) -> (String, Option<String>) {
    let docs = docs.trim();
    let split = docs.rsplit_once("Example: `");
    let example = split.and_then(|(help, rest)| Some((help, rest.strip_suffix("`.")?)));
    match example {
        Some((help, example)) => (help.trim_end().to_owned(), Some(example.to_owned())),
        None => (docs.to_owned(), None),
    }
}

/// The keys that a struct accepts, as serde has them, in their order.
fn keys<S: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // The question is answered by what it asks for; nothing is read.
    drop(S::deserialize(Asked(&mut keys)));
    keys
}

/// Has nothing to read; keeps the keys for which it is asked.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(value::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = keys;
        Err(value::Error::custom("nothing to read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::{Config, Written, print_default, sections, unknown::is_section};

    fn loaded(text: &str) -> crate::error::Result<Config> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("prefill.toml"), text).expect("written");
        Config::load(None, dir.path())
    }

    /// What is commented out is set: lines of a `#` and a key or a header.
    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(set) if set.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                format!("{set}\n")
            }
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    fn read(text: &str) -> Config {
        let written: Written =
            toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        written.read().expect("valid")
    }

    /// Each setting with its section, but for the keys that are sections.
    fn settings(all: &[Section]) -> impl Iterator<Item = (&Section, &Setting)> {
        all.iter().flat_map(move |section| {
            let settings = section.settings.iter();
            settings
                .filter(move |setting| !is_section(section.path, setting.key, all))
                .map(move |setting| (section, setting))
        })
    }

    #[test]
    fn as_it_is_printed_it_changes_nothing() {
        let config = loaded(&print_default()).expect("valid");
        let default = Config::default();
        assert_eq!(format!("{config:?}"), format!("{default:?}"));
    }

    #[test]
    fn every_setting_has_a_value_that_can_be_shown_and_a_meaning() {
        let all = sections();
        for (section, setting) in settings(&all) {
            let named = format!("{} of [{}]", setting.key, section.path);
            let by_example = matches!(setting.default.as_deref(), None | Some("{}" | "[]"));
            assert!(
                setting.example.is_some() || !by_example,
                "{named} has no default to be shown: its doc comment has to end in an Example, or it is a \
                 section that is missing in sections()"
            );
            assert!(
                setting
                    .default
                    .as_deref()
                    .is_none_or(|value| value == "{}" || !value.starts_with('{')),
                "{named} is a section that is missing in sections()"
            );
            assert!(setting.help.len() > 10, "{named} means nothing");
            for text in [&*setting.help, section.about] {
                assert!(
                    !text.contains("[`"),
                    "{named} has a link that people can't follow: {text}"
                );
                assert!(!text.contains("Example: "), "{named}: {text}");
            }
        }
    }

    #[test]
    fn what_is_printed_is_what_is_accepted_and_the_default() {
        let printed = print_default();
        let all = sections();
        // Everything at once, examples too.
        let config = read(&uncommented(&printed));
        assert_eq!(config.warehouses["eu"].workers, Some(4));
        assert_eq!(config.warehouses["eu"].teams, [7, 8]);
        assert!(
            config
                .teams
                .is_some_and(|teams| teams.organization.is_some())
        );
        // The other examples, and only what has a default.
        let (mut examples, mut defaults) = (String::new(), String::new());
        for section in &all {
            if !section.path.is_empty() {
                writeln!(examples, "[{}]", section.path).expect("memory");
                if !section.by_header {
                    writeln!(defaults, "[{}]", section.path).expect("memory");
                }
            }
            for (_, setting) in settings(&all).filter(|(own, _)| std::ptr::eq(*own, section)) {
                let line = |value: &str| format!("{} = {value}\n", setting.key);
                let value = setting.example.as_ref().or(setting.default.as_ref());
                examples.push_str(&line(value.expect("a value")));
                if let Some(default) = setting.default.as_ref().filter(|_| !section.by_header) {
                    defaults.push_str(&line(default));
                }
                // Under its own name in the text that people see.
                let shown = format!("\n#{} = ", setting.key);
                assert!(printed.contains(&shown), "{shown:?} is not printed");
            }
        }
        assert_eq!(read(&examples).warehouses["eu"].settings.len(), 1);
        let default = Config::default();
        assert_eq!(format!("{:?}", read(&defaults)), format!("{default:?}"));
        // A section that is a choice has the defaults of its struct.
        let teams = |text: &str| format!("{:?}", read(text).teams);
        let of = |section: &Section| -> String {
            let given = section
                .settings
                .iter()
                .filter(|setting| !is_section(section.path, setting.key, &all));
            given
                .filter_map(|setting| {
                    Some(format!("{} = {}\n", setting.key, setting.default.as_ref()?))
                })
                .collect()
        };
        for section in all
            .iter()
            .filter(|section| section.path.starts_with("teams"))
        {
            let header = format!("[{}]\n", section.path);
            assert_eq!(teams(&format!("{header}{}", of(section))), teams(&header));
        }
    }

    #[test]
    fn the_range_that_is_told_is_the_range_that_is_checked() {
        // Theirs depends on another setting, or is none of whole numbers; other tests have them.
        let otherwise = [
            "backfill_days",
            "budget",
            "max_memory_usage_total",
            "max_streams",
        ];
        let mut checked = 0;
        let all = sections();
        for (section, setting) in settings(&all) {
            let value = setting.default.as_ref().or(setting.example.as_ref());
            let number = value.is_some_and(|value| value.parse::<f64>().is_ok());
            if !number || otherwise.contains(&setting.key) {
                continue;
            }
            let help = setting.help.replace('\n', " ");
            let (_, range) = help
                .rsplit_once("Range: ")
                .unwrap_or_else(|| panic!("the range of {} is not told", setting.key));
            let range = range.trim_end_matches('.');
            let (least, most) = match range.split_once(" to ") {
                Some((least, most)) => (least, Some(most)),
                None => (range.trim_end_matches(" and more"), None),
            };
            let whole = |text: &str| -> i64 { text.parse().expect("a whole number") };
            let refused = |number: i64| {
                // Teams that are somebody else's are in the ledger's Postgres.
                let ledger = "url = \"postgres://db.example/db\"";
                let key = format!("{} = {number}", setting.key);
                let text = match section.path {
                    "" => format!("{key}\n[ledger]\n{ledger}"),
                    "ledger" => format!("[ledger]\n{ledger}\n{key}"),
                    path => format!("[ledger]\n{ledger}\n[{path}]\n{key}"),
                };
                let told = loaded(&text).err().map(|error| error.chain());
                // The latter where it is too small or too large for its type.
                told.is_some_and(|told| {
                    told.contains(&format!("{key} is out of range"))
                        || told.contains("invalid value")
                })
            };
            assert!(!refused(whole(least)), "{}: {range}", setting.key);
            assert!(refused(whole(least) - 1), "{}: {range}", setting.key);
            if let Some(most) = most {
                assert!(!refused(whole(most)), "{}: {range}", setting.key);
                assert!(refused(whole(most) + 1), "{}: {range}", setting.key);
            }
            checked += 1;
        }
        assert!(checked >= 18, "{checked}");
    }
}
