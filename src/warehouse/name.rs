//! Names of tables and columns that are checked before they become part of a statement.
//!
//! ClickHouse binds values, not names, so names are the one thing that is written into SQL text.
//! A [`Name`] can only be made of text that was checked, and is always quoted.

use std::fmt;

use crate::error::{Error, Result};

/// A quoted identifier: `` `events` `` or `` `default`.`events` ``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    quoted: String,
    /// The database (or nothing) and the name itself, unquoted.
    parts: (String, String),
}

impl Name {
    /// A name of one part.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when the text is empty, too long, or holds a character that
    /// no name should have.
    pub fn new(text: &str) -> Result<Self> {
        let fine = !text.is_empty()
            && text.len() <= 200
            && !text.contains(|c: char| {
                c.is_control() || matches!(c, '`' | '\\' | '\'' | '"' | '?' | '{' | '}')
            });
        if !fine {
            return Err(
                Error::misuse(format!("{text:?} cannot be the name of a table or column"))
                    .hint("names come from [warehouse] and [source] in the configuration"),
            );
        }
        Ok(Self {
            quoted: format!("`{text}`"),
            parts: (String::new(), text.to_owned()),
        })
    }

    /// A table: in `database`, unless the text names its own as `database.table`.
    ///
    /// # Errors
    ///
    /// As [`Name::new`].
    pub fn table(database: &str, text: &str) -> Result<Self> {
        let (database, table) = text.split_once('.').unwrap_or((database, text));
        Ok(Self {
            quoted: format!("{}.{}", Self::new(database)?, Self::new(table)?),
            parts: (database.to_owned(), table.to_owned()),
        })
    }

    /// The database (empty for a name of one part) and the name, unquoted: to be bound as values.
    pub fn parts(&self) -> (&str, &str) {
        (&self.parts.0, &self.parts.1)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted)
    }
}

/// Puts names into the places that a statement of ours leaves for them, written `{name}`;
/// `{name:Type}` is a parameter and stays for ClickHouse to bind.
pub fn with_names(statement: &str, names: &[(&str, &(dyn fmt::Display + Sync))]) -> String {
    names
        .iter()
        .fold(statement.to_owned(), |text, (place, name)| {
            text.replace(&format!("{{{place}}}"), &name.to_string())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_and_cannot_leave_its_quotes() {
        let table = Name::table("default", "web.my events").expect("a name");
        assert_eq!(table.to_string(), "`web`.`my events`");
        for text in ["", "a`b", "a\\b", "a'b", "a{b}", "a\nb"] {
            assert!(Name::new(text).is_err(), "{text:?}");
        }
        let statement = with_names("select {n:UInt8} from {events}", &[("events", &table)]);
        assert_eq!(statement, "select {n:UInt8} from `web`.`my events`");
    }
}
