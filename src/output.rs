//! How answers look: tables for people, JSON for programs, progress on a terminal only.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Class, Context, Error, Result};

/// Why the answer could not be written; the first reason counts.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Writes a part of an answer to standard output.
///
/// A reader that has gone away (`| head`) has seen what it wanted: the work goes on, and the exit
/// code is the command's own. Any other failure is told at the end, by [`unwritten`].
pub fn bytes(answer: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(answer).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        // Only the first is kept.
        drop(UNWRITTEN.set(error));
    }
}

/// Prints a line of an answer, see [`bytes()`].
pub fn line(text: impl AsRef<str>) {
    bytes(format!("{}\n", text.as_ref()).as_bytes());
}

/// The error that the answer was not written to its end.
pub fn unwritten() -> Option<Error> {
    let error = UNWRITTEN.get()?;
    Some(
        Error::operator("failed to write the answer to standard output")
            .caused_by(error.to_string())
            .hint("free some space or name another file; what the command did is done"),
    )
}

/// Writes log lines to standard error, and drops those that cannot be written: a full disk or a
/// reader that has gone away must not stop the work.
#[derive(Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        drop(std::io::stderr().write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints an answer as JSON.
pub fn json(answer: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(answer).classed(Class::Never, || {
        "failed to write the answer as JSON".to_owned()
    })?;
    line(text);
    Ok(())
}

/// Prints an error and its next step to standard error; with JSON also as an object on standard
/// output, so that a program that reads it finds one.
pub fn error(error: &Error, as_json: bool) {
    note(format!("error: {}", error.chain()));
    if let Some(hint) = error.next_step() {
        note(format!("hint: {hint}"));
    }
    if as_json {
        let answer = serde_json::json!({
            "status": "error",
            "error": error.chain(),
            "hint": error.next_step(),
        });
        line(answer.to_string());
    }
}

/// Tells a person something that is not the answer.
pub fn note(text: impl AsRef<str>) {
    drop(writeln!(Log, "{}", text.as_ref()));
}

/// A table with a heading; columns whose heading begins with `#` are numbers.
pub struct Rows {
    table: Table,
    numbers: Vec<bool>,
}

impl Rows {
    pub fn new(heading: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let numbers = heading.iter().map(|name| name.starts_with('#')).collect();
        let mut rows = Self { table, numbers };
        let cells = heading
            .iter()
            .map(|name| name.trim_start_matches('#').to_uppercase());
        let cells: Vec<Cell> = rows.cells(cells.collect());
        rows.table.set_header(cells);
        rows
    }

    fn cells(&self, texts: Vec<String>) -> Vec<Cell> {
        texts
            .into_iter()
            .zip(&self.numbers)
            .map(|(text, number)| {
                let alignment = if *number {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                Cell::new(text).set_alignment(alignment)
            })
            .collect()
    }

    pub fn add(&mut self, texts: Vec<String>) {
        let cells = self.cells(texts);
        self.table.add_row(cells);
    }

    /// The table as text.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.table.lines().map(|text| text.trim_end().to_owned())
    }

    /// To standard output: the rows are the answer.
    pub fn print(&self) {
        self.lines().for_each(line);
    }
}

/// A whole number with its thousands apart: `1 234 567`.
pub fn number(value: impl TryInto<i128>) -> String {
    let value: i128 = value.try_into().unwrap_or(i128::MAX);
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A number of things: `1 day`, `1 234 days`.
pub fn counted(value: impl TryInto<i128>, thing: &str) -> String {
    let number = number(value);
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A progress bar on a terminal, and nothing at all in a pipe.
pub fn progress(total: Option<u64>, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(total, target);
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Asks on the terminal; no answer, or no terminal, is a no.
///
/// # Errors
///
/// [`Class::Misuse`] when there is no terminal to ask on.
pub async fn confirm(question: String) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::misuse("there is no terminal to ask on").hint(
            "pass --yes to go on without being asked, or --dry-run to see what would be deleted",
        ));
    }
    // A read of its own thread: Ctrl-C must not wait for an answer.
    let answer = tokio::task::spawn_blocking(move || {
        drop(write!(Log, "{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer
        .await
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .classed(Class::Operator, || "failed to read the answer".to_owned())?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::{counted, number};

    #[test]
    fn thousands_are_apart() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567_u64), "1 234 567");
        assert_eq!(number(-12_345), "-12 345");
    }

    #[test]
    fn one_thing_is_one() {
        assert_eq!(counted(1, "day"), "1 day");
        assert_eq!(counted(0, "day"), "0 days");
        assert_eq!(counted(1_001, "day"), "1 001 days");
    }
}
