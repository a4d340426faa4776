//! How answers look: tables for people, JSON for programs, progress on a terminal only.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Class, Context, Error, Result};

/// Why the answer could not be written; the first reason counts.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();
/// Whether what was printed names a command to run.
static NAMES_COMMAND: AtomicBool = AtomicBool::new(false);

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

/// Prints a line of an answer, see [`bytes()`]; what it is made of may come from anywhere, see
/// [`printable`].
pub fn line(text: impl AsRef<str>) {
    look_for_command(text.as_ref());
    bytes(format!("{}\n", printable(text.as_ref())).as_bytes());
}

/// Text with its control characters escaped, line breaks too: plain SQL can put anything into the
/// teams table, and a terminal obeys what it is sent.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Remembers whether a text names a command of ours, but for `serve`, which it speaks of more than it asks for.
fn look_for_command(text: &str) {
    let mut named = text.match_indices("prefill ");
    if named.any(|(at, name)| {
        let next = &text[at + name.len()..];
        !next.starts_with('-') && !next.starts_with("serve")
    }) {
        NAMES_COMMAND.store(true, Ordering::Relaxed);
    }
}

/// Tells a person who named this installation by options that the commands that were printed need them, too.
pub fn tell_options(options: &[(&str, &Path)]) {
    if options.is_empty()
        || !NAMES_COMMAND.load(Ordering::Relaxed)
        || !std::io::stderr().is_terminal()
    {
        return;
    }
    let options: Vec<String> = options
        .iter()
        .map(|(name, path)| format!("{name} {}", shell_word(&path.display().to_string())))
        .collect();
    note(format!(
        "commands for this installation need {}, as here",
        options.join(" ")
    ));
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
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
    bytes(format!("{}\n", printable_json(&text)).as_bytes());
    Ok(())
}

/// JSON whose strings have no control characters: serde_json escapes those below the space, and
/// leaves DEL and those from U+0080 on, which terminals obey too.
fn printable_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{7f}'..='\u{9f}' => shown.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => shown.push(character),
        }
    }
    shown
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
        object(&answer);
    }
}

/// Prints an object of JSON on one line.
pub fn object(answer: &serde_json::Value) {
    bytes(format!("{}\n", printable_json(&answer.to_string())).as_bytes());
}

/// Tells a person something that is not the answer, on a line, see [`printable`].
pub fn note(text: impl AsRef<str>) {
    look_for_command(text.as_ref());
    drop(writeln!(Log, "{}", printable(text.as_ref())));
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
                Cell::new(printable(&text)).set_alignment(alignment)
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
        drop(write!(Log, "{} [y/N] ", printable(&question)));
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
    use super::{Rows, counted, number, printable, printable_json};

    #[test]
    fn control_characters_are_told_and_not_obeyed() {
        assert_eq!(printable("Zoë 日本"), "Zoë 日本");
        assert_eq!(
            printable("a\u{1b}[2Jb\r\n\t\0\u{7f}\u{9b}"),
            "a\\u{1b}[2Jb\\r\\n\\t\\u{0}\\u{7f}\\u{9b}"
        );
        let mut rows = Rows::new(&["name", "#n"]);
        rows.add(vec!["a\u{1b}[31m\nb".to_owned(), "1".to_owned()]);
        let lines: Vec<String> = rows.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains(r"a\u{1b}[31m\nb"), "{lines:?}");
        let text = serde_json::json!({ "a": "\u{1b}\u{9b}\u{7f}" }).to_string();
        let shown = printable_json(&text);
        assert!(!shown.contains(char::is_control), "{shown}");
        let again: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(again["a"], "\u{1b}\u{9b}\u{7f}");
    }

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
