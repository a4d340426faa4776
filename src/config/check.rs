//! Checks that settings of several sections share, and where people find what is right.

use crate::error::{Error, Result};

pub(super) const SEE_KEYS: &str = "prefill config print-default shows every key, its unit and its default; see also Configuration in README.md";

pub(super) fn in_range(name: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::misuse(format!(
        "{name} = {value} is out of range: {least} to {most}"
    ))
    .hint(format!("correct it in the configuration; {SEE_KEYS}")))
}

/// A name that can stand in a statement: letters, digits and underscores, as Postgres has them.
pub(super) fn check_name(key: &str, name: &str) -> Result<()> {
    let mut characters = name.chars();
    let begins = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if begins && name.len() <= 63 && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(is_no_name(key, name))
}

pub(super) fn check_table(key: &str, table: &str) -> Result<()> {
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    check_name(key, schema)?;
    check_name(key, name)
}

pub(super) fn is_no_name(key: &str, name: &str) -> Error {
    Error::misuse(format!("{key} = {name:?} is no name"))
        .hint("a name is made of letters, digits and underscores, and begins with no digit")
}
