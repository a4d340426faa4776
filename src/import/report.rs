//! What an import read, what it left out, and why: nothing is dropped without being counted here.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How many unreadable lines are shown.
const SHOWN: usize = 5;
/// How many characters of an unreadable line are shown, an escaped one counted as it is shown.
const SHOWN_CHARACTERS: usize = 120;
/// How many names of ignored fields are kept; the rest is counted under `…`.
const NAMED_FIELDS: usize = 100;

/// What an import read, and what it left out and why.
///
/// Every line is counted exactly once: as an event, or as the first of the other counts that
/// applies to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportReport {
    /// Lines of the input, blank ones too.
    pub lines: u64,
    /// Events that came out of it.
    pub events: u64,
    /// Those of them that are page views (`$pageview`, `$screen`).
    pub page_views: u64,
    /// Distinct persons of the events.
    pub persons: u64,
    /// Distinct sessions of the events.
    pub sessions: u64,

    /// Access log: requests other than GET.
    pub not_get: u64,
    /// Access log: a status below 200 or above 399.
    pub bad_status: u64,
    /// Access log: requests for images, scripts and the like.
    pub assets: u64,
    /// Access log: page views of robots, where they are left out.
    pub robots: u64,

    /// JSON lines: events whose uuid an earlier line of their team has.
    pub duplicates: u64,
    /// JSON lines: events kept that belong to no session, which the rollups leave out.
    pub without_session: u64,
    /// JSON lines: of another team than the one asked for.
    pub other_team: u64,
    /// JSON lines: fields of events kept that were left empty, because their value was of a wrong
    /// type or out of range, and how often.
    pub emptied_fields: BTreeMap<String, u64>,
    /// JSON lines: fields that are not in the events contract, and how often they came.
    pub ignored_fields: BTreeMap<String, u64>,

    /// Lines with nothing but white space.
    pub blank: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// The first of them.
    pub first_unreadable: Vec<UnreadableLine>,
    /// The file whose lines are counted now, where there are several.
    #[serde(skip)]
    pub(super) file: Option<String>,

    /// The time of the first event, in microseconds since 1970.
    pub time_from: Option<i64>,
    /// Just after the last event, in microseconds since 1970: the events are in `[from, until)`.
    pub time_until: Option<i64>,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnreadableLine {
    /// Where there are several.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: u64,
    pub reason: String,
    /// Its beginning, with control characters escaped.
    pub text: String,
}

impl ImportReport {
    pub(super) fn add_unreadable(&mut self, line: u64, reason: impl Into<String>, text: &[u8]) {
        self.unreadable += 1;
        if self.first_unreadable.len() < SHOWN {
            self.first_unreadable.push(UnreadableLine {
                file: self.file.clone(),
                line,
                reason: reason.into(),
                text: excerpt(text),
            });
        }
    }

    pub(super) fn add_ignored_field(&mut self, name: &str) {
        if let Some(count) = self.ignored_fields.get_mut(name) {
            *count += 1;
        } else if self.ignored_fields.len() < NAMED_FIELDS {
            self.ignored_fields.insert(name.to_owned(), 1);
        } else {
            *self.ignored_fields.entry("…".to_owned()).or_default() += 1;
        }
    }

    pub(super) fn add_emptied_field(&mut self, name: &str) {
        *self.emptied_fields.entry(name.to_owned()).or_default() += 1;
    }

    /// Counts an event that happened at `timestamp` microseconds.
    pub(super) fn add_event(&mut self, timestamp: i64, is_page_view: bool) {
        self.events += 1;
        self.page_views += u64::from(is_page_view);
        self.time_from = Some(self.time_from.map_or(timestamp, |t| t.min(timestamp)));
        self.time_until = Some(
            self.time_until
                .map_or(timestamp + 1, |t| t.max(timestamp + 1)),
        );
    }

    /// True when the input had lines and not one of them could be read.
    pub(super) fn nothing_was_readable(&self) -> bool {
        self.unreadable > 0 && self.unreadable + self.blank == self.lines
    }

    /// True when all lines that could be read are of other teams than the one asked for.
    pub(super) fn all_are_of_other_teams(&self) -> bool {
        self.other_team > 0 && self.other_team + self.unreadable + self.blank == self.lines
    }

    /// The first line that could not be read, for an error, which has one line:
    /// `line 1: no date in brackets: hello`.
    pub(super) fn first_unreadable_line(&self) -> String {
        self.first_unreadable
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

impl fmt::Display for UnreadableLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(file) = &self.file {
            write!(f, " of {file}")?;
        }
        write!(f, ": {}: {}", self.reason, self.text)
    }
}

/// The beginning of a line, safe to show on a terminal.
fn excerpt(text: &[u8]) -> String {
    // Four bytes are the longest character, so that many bytes are enough and the rest of a line
    // of a megabyte is not looked at.
    let start = &text[..text.len().min(4 * SHOWN_CHARACTERS)];
    let mut shown = String::new();
    let mut room = SHOWN_CHARACTERS;
    for character in String::from_utf8_lossy(start).chars() {
        let escaped = character.is_control().then(|| character.escape_default());
        let length = escaped.as_ref().map_or(1, ExactSizeIterator::len);
        let Some(left) = room.checked_sub(length) else {
            shown.push('…');
            return shown;
        };
        room = left;
        match escaped {
            Some(escaped) => shown.extend(escaped),
            None => shown.push(character),
        }
    }
    if start.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_unreadable_lines_are_kept_short_and_without_control_characters() {
        let mut report = ImportReport::default();
        for line in 1..=7 {
            report.add_unreadable(line, "no date", b"a\x1b[31mb\0");
        }
        report.add_unreadable(8, "no date", &[b'x'; 1000]);
        assert_eq!(report.unreadable, 8);
        assert_eq!(report.first_unreadable.len(), 5);
        assert_eq!(report.first_unreadable[0].text, "a\\u{1b}[31mb\\u{0}");
        assert_eq!(excerpt(&[b'x'; 1000]), format!("{}…", "x".repeat(120)));
        assert_eq!(excerpt(&[b'x'; 120]), "x".repeat(120));
        assert_eq!(
            excerpt("ü".repeat(2000).as_bytes()),
            format!("{}…", "ü".repeat(120))
        );
        assert_eq!(excerpt(&[0; 1000]), format!("{}…", "\\u{0}".repeat(24)));
        assert_eq!(excerpt(&[0; 24]), "\\u{0}".repeat(24));
        // No escape is cut in two.
        let before_the_end = format!("{}\0", "x".repeat(116));
        assert_eq!(
            excerpt(before_the_end.as_bytes()),
            format!("{}…", "x".repeat(116))
        );
    }

    #[test]
    fn names_of_ignored_fields_are_bounded() {
        let mut report = ImportReport::default();
        for number in 0..300 {
            report.add_ignored_field(&format!("field_{number}"));
        }
        report.add_ignored_field("field_0");
        assert_eq!(report.ignored_fields.len(), 101);
        assert_eq!(report.ignored_fields["field_0"], 2);
        assert_eq!(report.ignored_fields["…"], 200);
    }
}
