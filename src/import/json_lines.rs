//! JSON lines: one event a line, in the shape of the events contract or of a PostHog export.
//!
//! A line of the contract has the names of [`Event`]'s fields as keys. A line with `properties` is
//! one of PostHog's, `{uuid, event, distinct_id, timestamp, properties}`; its properties may be an
//! object or, as ClickHouse exports them, a string that holds one. Nothing is guessed: without a
//! readable event, person, time and team a line is unreadable; any other field whose value is of a
//! wrong type, or a number out of range, is left empty and counted by name; so is a field that the
//! contract hasn't (PostHog's other properties are not: every event has dozens); and a line of
//! another team than the one asked for is left out and counted.
//!
//! Times are text, RFC 3339 or `YYYY-MM-DD hh:mm:ss[.ffffff]` in UTC, or numbers since 1970: seconds,
//! or milliseconds from 10^11 on, which as seconds would be the year 5138.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::event::{Event, PAGEVIEW};

use super::ids::{event_of_line, event_of_repeated_line, person_of_distinct_id};
use super::input::{Input, Line, Lines};
use super::log_line::MOST_OFFSET_SECONDS;
use super::report::ImportReport;

/// PostHog takes events of up to some megabytes.
const LINE_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// The kind of event that a page view is in an app.
const SCREEN: &str = "$screen";
/// From here on a number is milliseconds.
const MILLISECONDS_FROM: f64 = 1e11;
/// 2106-01-01T00:00:00Z in microseconds: `DateTime` columns end soon after.
const TIME_LIMIT: i64 = 4_291_747_200_000_000;

/// What can be wrong with a line.
type Reason = String;

/// Why a line is not kept.
#[derive(Debug, PartialEq, Eq)]
enum LeftOut {
    Unreadable(Reason),
    OtherTeam(i64),
}

impl From<Reason> for LeftOut {
    fn from(reason: Reason) -> Self {
        Self::Unreadable(reason)
    }
}

/// Reads events from JSON lines, one at a time.
///
/// Lines that can't be read and lines of another team are counted and left out. An item is an error
/// when reading fails, and, at the end, when not one of the lines was kept because of that.
pub struct JsonLines<R: Read> {
    lines: Lines<R>,
    team_id: Option<i64>,
    /// The first team that a line was left out for.
    other_team: Option<i64>,
    report: ImportReport,
    /// Each with its team: two may name an event alike.
    uuids: HashSet<(i64, Uuid)>,
    persons: HashSet<Uuid>,
    sessions: HashSet<String>,
    /// How often a line without a uuid came, by the uuid that it got first.
    repetitions: HashMap<Uuid, u32>,
    is_over: bool,
}

impl JsonLines<Input> {
    /// As [`JsonLines::new`], of several files, one after the other.
    ///
    /// # Errors
    ///
    /// [`Misuse`](crate::error::Class::Misuse) when there is no file.
    pub fn of_files(inputs: Vec<Input>, team_id: Option<i64>) -> Result<Self> {
        let files = inputs.into_iter().map(|input| (input.name.clone(), input));
        let lines = Lines::of_files(files, LINE_LIMIT_BYTES)?;
        Ok(Self::of_lines(lines, team_id))
    }
}

impl<R: Read> JsonLines<R> {
    /// `team_id` is the team of lines that name none; lines that name another team are left out.
    pub fn new(input: R, team_id: Option<i64>) -> Result<Self> {
        Ok(Self::of_lines(
            Lines::new(input, LINE_LIMIT_BYTES)?,
            team_id,
        ))
    }

    fn of_lines(lines: Lines<R>, team_id: Option<i64>) -> Self {
        Self {
            lines,
            team_id,
            other_team: None,
            report: ImportReport::default(),
            uuids: HashSet::new(),
            persons: HashSet::new(),
            sessions: HashSet::new(),
            repetitions: HashMap::new(),
            is_over: false,
        }
    }

    /// What was read so far, and what was left out and why.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// How much of the input was read, in its own bytes, for a progress bar.
    pub fn read_bytes(&self) -> u64 {
        self.lines.read_bytes()
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        while let Some((number, line)) = self.lines.next()? {
            let text = match line {
                Line::OfFile(name) => {
                    self.report.file = Some(name.to_owned());
                    continue;
                }
                Line::Text(text) | Line::Unended(text) => text,
                Line::TooLong(start) => {
                    self.report.lines += 1;
                    let reason = "longer than 16 MiB";
                    self.report.add_unreadable(number, reason, start);
                    continue;
                }
            };
            self.report.lines += 1;
            if text.iter().all(u8::is_ascii_whitespace) {
                self.report.blank += 1;
                continue;
            }
            let mut event = match read_event(text, self.team_id, &mut self.report) {
                Ok(event) => event,
                Err(LeftOut::OtherTeam(team)) => {
                    self.report.other_team += 1;
                    self.other_team.get_or_insert(team);
                    continue;
                }
                Err(LeftOut::Unreadable(reason)) => {
                    self.report.add_unreadable(number, reason, text);
                    continue;
                }
            };
            if event.uuid.is_nil() {
                let first = event_of_line(event.team_id, text);
                let before = self.repetitions.entry(first).or_default();
                event.uuid = event_of_repeated_line(first, *before);
                *before += 1;
            }
            if !self.uuids.insert((event.team_id, event.uuid)) {
                self.report.duplicates += 1;
                continue;
            }
            let is_page_view = event.event == PAGEVIEW || event.event == SCREEN;
            self.report.add_event(event.timestamp, is_page_view);
            self.report.without_session += u64::from(is_no_session(&event.session_id));
            if self.persons.insert(event.person_id) {
                self.report.persons += 1;
            }
            if !is_no_session(&event.session_id) && !self.sessions.contains(&event.session_id) {
                self.sessions.insert(event.session_id.clone());
                self.report.sessions += 1;
            }
            return Ok(Some(event));
        }
        if let (Some(asked), Some(other)) = (self.team_id, self.other_team)
            && self.report.all_are_of_other_teams()
        {
            return Err(Error::misuse(format!(
                "not one of {} lines is an event of team {asked}: {} of them name other teams, the first one team {other}",
                self.report.lines, self.report.other_team
            ))
            .hint(format!(
                "leave --team-id out to import events for the teams that they name, or name theirs: --team-id {other}"
            )));
        }
        if self.report.nothing_was_readable() {
            return Err(Error::misuse(format!(
                "not one of {} lines is an event: {}",
                self.report.lines,
                self.report.first_unreadable_line()
            ))
            .hint("one JSON object a line, with the names of the events contract or of PostHog"));
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for JsonLines<R> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.next_event().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

fn read_event(
    text: &[u8],
    team_id: Option<i64>,
    report: &mut ImportReport,
) -> Result<Event, LeftOut> {
    let fields = object(text).map_err(|error| format!("no JSON object: {error}"))?;
    let mut fields = Fields(fields);
    let own_team = fields.team()?;
    let team_id = match (own_team, team_id) {
        (None, None) => return Err(LeftOut::Unreadable("no team_id: give --team-id".to_owned())),
        (Some(own), Some(asked)) if own != asked => return Err(LeftOut::OtherTeam(own)),
        (Some(team), _) | (None, Some(team)) => team,
    };
    let mut event = Event {
        team_id,
        uuid: fields.uuid("uuid")?,
        event: fields.text("event")?,
        distinct_id: fields.text("distinct_id")?,
        person_id: fields.uuid("person_id")?,
        timestamp: fields.time("timestamp")?,
        ..Event::default()
    };
    if event.event.is_empty() {
        return Err(LeftOut::Unreadable("no event".to_owned()));
    }
    if event.person_id.is_nil() {
        if event.distinct_id.is_empty() {
            return Err(LeftOut::Unreadable(
                "neither distinct_id nor person_id".to_owned(),
            ));
        }
        event.person_id = person_of_distinct_id(event.team_id, &event.distinct_id);
    }
    match fields.properties()? {
        Some(mut properties) => properties.fill(&mut event, POSTHOG_NAMES, report),
        None => fields.fill(&mut event, CONTRACT_NAMES, report),
    }
    for name in fields.0.keys() {
        // The table fills it itself, so a line that carries it loses nothing.
        if name != "inserted_at" {
            report.add_ignored_field(name);
        }
    }
    Ok(event)
}

/// What the attributes of an event are called, in the order of [`Fields::fill`].
struct Names {
    texts: [&'static str; 20],
    viewport: [&'static str; 2],
}

const CONTRACT_NAMES: &Names = &Names {
    texts: [
        "session_id",
        "host",
        "pathname",
        "current_url",
        "device_type",
        "browser",
        "os",
        "referring_domain",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "gclid",
        "gad_source",
        "fbclid",
        "country_code",
        "city_name",
        "region_code",
        "region_name",
    ],
    viewport: ["viewport_width", "viewport_height"],
};

const POSTHOG_NAMES: &Names = &Names {
    texts: [
        "$session_id",
        "$host",
        "$pathname",
        "$current_url",
        "$device_type",
        "$browser",
        "$os",
        "$referring_domain",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "gclid",
        "gad_source",
        "fbclid",
        "$geoip_country_code",
        "$geoip_city_name",
        "$geoip_subdivision_1_code",
        "$geoip_subdivision_1_name",
    ],
    viewport: ["$viewport_width", "$viewport_height"],
};

/// A JSON object whose fields are taken out one by one; null is as good as missing.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Fills what an event may have; a value that cannot be read leaves its field empty.
    fn fill(&mut self, event: &mut Event, names: &Names, report: &mut ImportReport) {
        let texts = [
            &mut event.session_id,
            &mut event.host,
            &mut event.pathname,
            &mut event.current_url,
            &mut event.device_type,
            &mut event.browser,
            &mut event.os,
            &mut event.referring_domain,
            &mut event.utm_source,
            &mut event.utm_medium,
            &mut event.utm_campaign,
            &mut event.utm_term,
            &mut event.utm_content,
            &mut event.gclid,
            &mut event.gad_source,
            &mut event.fbclid,
            &mut event.country_code,
            &mut event.city_name,
            &mut event.region_code,
            &mut event.region_name,
        ];
        for (field, name) in texts.into_iter().zip(names.texts) {
            match self.text(name) {
                Ok(text) => *field = text,
                Err(_) => report.add_emptied_field(name),
            }
        }
        let numbers = [&mut event.viewport_width, &mut event.viewport_height];
        for (field, name) in numbers.into_iter().zip(names.viewport) {
            match self.integer(name) {
                Ok(number) => *field = number.unwrap_or_default(),
                Err(_) => report.add_emptied_field(name),
            }
        }
    }

    /// Text; a number is as good as its text (`utm_term=5`), unless it has more digits than were read. Empty where
    /// there is none.
    fn text(&mut self, name: &str) -> Result<String, Reason> {
        match self.take(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(Value::Number(number)) if is_as_written(&number) => Ok(number.to_string()),
            Some(Value::Number(number)) => Err(format!(
                "{name} is a number of more than 64 bits, which belongs in quotes: {number}"
            )),
            Some(other) => Err(wrong_type(name, "text", &other)),
        }
    }

    /// A team; half a one is none.
    fn team(&mut self) -> Result<Option<i64>, Reason> {
        const NAME: &str = "team_id";
        match self.0.get(NAME) {
            Some(value) if value.as_f64().is_some_and(|number| number.fract() != 0.0) => {
                Err(wrong_type(NAME, "a whole number", value))
            }
            _ => self.integer(NAME),
        }
    }

    /// A whole number, or its text, as ClickHouse quotes those of 64 bits; a fraction (a browser
    /// that is zoomed has such a viewport) is rounded.
    fn integer(&mut self, name: &str) -> Result<Option<i64>, Reason> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = match &value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().and_then(rounded)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a whole number", &value))
    }

    /// Nil where there is none.
    fn uuid(&mut self, name: &str) -> Result<Uuid, Reason> {
        match self.take(name) {
            None => Ok(Uuid::nil()),
            Some(Value::String(text)) if text.is_empty() => Ok(Uuid::nil()),
            Some(value) => value
                .as_str()
                .and_then(|text| Uuid::try_parse(text).ok())
                .ok_or_else(|| wrong_type(name, "a UUID", &value)),
        }
    }

    /// Microseconds since 1970.
    fn time(&mut self, name: &str) -> Result<i64, Reason> {
        let value = self.take(name).ok_or_else(|| format!("no {name}"))?;
        let micros = match &value {
            Value::String(text) => time_of_text(text),
            Value::Number(number) => time_of_number(number),
            _ => None,
        };
        let micros = micros.ok_or_else(|| wrong_type(name, "a time", &value))?;
        if (0..TIME_LIMIT).contains(&micros) {
            Ok(micros)
        } else {
            Err(format!("{name} is not between 1970 and 2105: {value}"))
        }
    }

    fn properties(&mut self) -> Result<Option<Self>, Reason> {
        match self.take("properties") {
            None => Ok(None),
            Some(Value::Object(properties)) => Ok(Some(Self(properties))),
            Some(Value::String(text)) => object(text.as_bytes())
                .map(|properties| Some(Self(properties)))
                .map_err(|error| format!("properties hold no JSON object: {error}")),
            Some(other) => Err(wrong_type("properties", "an object", &other)),
        }
    }
}

/// A JSON object; where text in it is none, that is replaced.
fn object(text: &[u8]) -> serde_json::Result<Map<String, Value>> {
    serde_json::from_slice(text)
        .or_else(|error| serde_json::from_str(&with_text(text)).map_err(|_| error))
}

/// JSON in which what is no text is U+FFFD: bytes that are no UTF-8, and halves of surrogate pairs, which JavaScript
/// writes of a text that was cut in the midst of a character.
fn with_text(json: &[u8]) -> String {
    const ESCAPE: usize = r"\u0000".len();
    let json = String::from_utf8_lossy(json);
    let unit = |text: &str| {
        let digits = text.strip_prefix(r"\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let (mut text, mut rest) = (String::with_capacity(json.len()), &*json);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let second = || unit(escape.get(ESCAPE..)?);
        let length = match unit(escape) {
            Some(0xd800..=0xdbff) if matches!(second(), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
            Some(0xd800..=0xdfff) => 0,
            Some(_) => ESCAPE,
            None => escape.chars().take(2).map(char::len_utf8).sum(),
        };
        if length == 0 {
            text.push('\u{fffd}');
            rest = &escape[ESCAPE..];
        } else {
            text.push_str(&escape[..length]);
            rest = &escape[length..];
        }
    }
    text.push_str(rest);
    text
}

fn wrong_type(name: &str, expected: &str, found: &Value) -> Reason {
    // The line itself is shown beside the reason, so a long value needs no second telling.
    let found: String = found.to_string().chars().take(40).collect();
    format!("{name} is not {expected}: {found}")
}

/// Whether an event with this is of no session: without an id, or with the UUID that is none.
fn is_no_session(session_id: &str) -> bool {
    session_id.is_empty() || session_id == "00000000-0000-0000-0000-000000000000"
}

/// Whether the text of a number is what the line says: of whole numbers beyond 64 bits only the first digits were
/// read, and others would have the same.
fn is_as_written(number: &Number) -> bool {
    // From here on doubles are further apart than whole numbers.
    const EXACT_UNTIL: f64 = 9_007_199_254_740_992.0;
    !number.is_f64()
        || number
            .as_f64()
            .is_some_and(|number| number.abs() < EXACT_UNTIL)
}

/// The nearest whole number, where it is one of 64 bits.
fn rounded(number: f64) -> Option<i64> {
    // 2^63 is a double, and the largest i64 is none.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let number = number.round();
    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
    (-LIMIT..LIMIT).contains(&number).then_some(number as i64)
}

fn time_of_text(text: &str) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        let offset = Pieces::parse(text).ok()?.to_numeric_offset();
        let is_one = offset.is_none_or(|offset| offset.seconds().abs() <= MOST_OFFSET_SECONDS);
        return is_one.then(|| timestamp.as_microsecond());
    }
    // A date alone is a day, not a time, and one of another zone is not of UTC.
    if text.len() < "2026-05-01 10:00".len() || text.contains('[') {
        return None;
    }
    let local: DateTime = text.parse().ok()?;
    let utc = local.to_zoned(TimeZone::UTC).ok()?;
    Some(utc.timestamp().as_microsecond())
}

fn time_of_number(number: &Number) -> Option<i64> {
    let as_double = number.as_f64()?;
    let unit_micros: i32 = if as_double > MILLISECONDS_FROM {
        1_000
    } else {
        1_000_000
    };
    match number.as_i64() {
        Some(whole) => whole.checked_mul(i64::from(unit_micros)),
        None => rounded(as_double * f64::from(unit_micros)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 2026-05-01T10:00:00Z
    const TEN: i64 = 1_777_629_600_000_000;

    fn read(text: &str, team_id: Option<i64>) -> (Vec<Event>, ImportReport) {
        let mut lines = JsonLines::new(text.as_bytes(), team_id).expect("readable");
        let events = lines.by_ref().collect::<Result<_>>().expect("an event");
        (events, lines.report().clone())
    }

    /// The reason for which the only other line of an input is unreadable.
    fn reason(bad: &Value) -> String {
        let good = json!({"event": "a", "distinct_id": "b", "timestamp": 1, "team_id": 7});
        let (events, report) = read(&format!("{good}\n{bad}"), Some(7));
        assert_eq!((events.len(), report.unreadable), (1, 1), "{bad}");
        report.first_unreadable[0].reason.clone()
    }

    #[test]
    fn a_line_of_the_contract_is_read_field_by_field() {
        let line = json!({
            "uuid": "00000000-0000-0000-0000-000000000001", "event": "$pageview", "team_id": 7,
            "distinct_id": "jo", "person_id": "00000000-0000-0000-0000-000000000002",
            "session_id": "s", "timestamp": "2026-05-01 10:00:00.123456", "host": "a.com",
            "pathname": "/p", "current_url": "https://a.com/p?q", "device_type": "Desktop",
            "browser": "Chrome", "os": "Linux", "viewport_width": 1280, "viewport_height": "720",
            "referring_domain": "b.com", "utm_source": "s1", "utm_medium": "s2",
            "utm_campaign": "s3", "utm_term": 5, "utm_content": null, "gclid": "g",
            "gad_source": "1", "fbclid": "f", "country_code": "IN", "city_name": "Pune",
            "region_code": "MH", "region_name": "Maharashtra", "inserted_at": 1, "mood": "good",
        });
        let (events, report) = read(&line.to_string(), None);
        let expected = Event {
            uuid: Uuid::from_u128(1),
            event: "$pageview".into(),
            team_id: 7,
            distinct_id: "jo".into(),
            person_id: Uuid::from_u128(2),
            session_id: "s".into(),
            timestamp: TEN + 123_456,
            host: "a.com".into(),
            pathname: "/p".into(),
            current_url: "https://a.com/p?q".into(),
            device_type: "Desktop".into(),
            browser: "Chrome".into(),
            os: "Linux".into(),
            viewport_width: 1280,
            viewport_height: 720,
            referring_domain: "b.com".into(),
            utm_source: "s1".into(),
            utm_medium: "s2".into(),
            utm_campaign: "s3".into(),
            utm_term: "5".into(),
            utm_content: String::new(),
            gclid: "g".into(),
            gad_source: "1".into(),
            fbclid: "f".into(),
            country_code: "IN".into(),
            city_name: "Pune".into(),
            region_code: "MH".into(),
            region_name: "Maharashtra".into(),
        };
        assert_eq!(events, [expected]);
        assert_eq!(report.ignored_fields, [("mood".to_owned(), 1)].into());
        assert_eq!(
            (report.page_views, report.sessions, report.persons),
            (1, 1, 1)
        );
        assert_eq!(
            (report.time_from, report.time_until),
            (Some(TEN + 123_456), Some(TEN + 123_457))
        );
    }

    #[test]
    fn a_posthog_export_is_read_whether_its_properties_are_an_object_or_text() {
        let properties = json!({
            "$host": "a.com", "$pathname": "/p", "$current_url": "https://a.com/p",
            "$device_type": "Mobile", "$browser": "Chrome", "$os": "Android",
            "$viewport_width": 412.5, "$viewport_height": 915, "$referring_domain": "$direct",
            "utm_source": "x", "gclid": null, "$geoip_country_code": "NO",
            "$geoip_city_name": "Oslo", "$geoip_subdivision_1_code": 3,
            "$geoip_subdivision_1_name": "Oslo County", "$session_id": "s", "$lib": "web",
        });
        let line = |properties: Value| {
            json!({
                "uuid": "00000000-0000-0000-0000-000000000001", "event": "$pageview",
                "distinct_id": "jo", "timestamp": "2026-05-01T12:00:00.5+02:00",
                "properties": properties, "created_at": "x",
            })
        };
        let text = json!(properties.to_string());
        let (as_object, report) = read(&line(properties).to_string(), Some(7));
        let (as_text, _) = read(&line(text).to_string(), Some(7));
        assert_eq!(as_object, as_text);
        let event = &as_object[0];
        assert_eq!(event.timestamp, TEN + 500_000);
        assert_eq!((event.viewport_width, event.viewport_height), (413, 915));
        assert_eq!(
            (&*event.region_code, &*event.region_name),
            ("3", "Oslo County")
        );
        assert_eq!(
            (&*event.session_id, &*event.host, &*event.gclid),
            ("s", "a.com", "")
        );
        assert_eq!(event.person_id.get_version_num(), 5);
        assert_eq!(report.ignored_fields, [("created_at".to_owned(), 1)].into());
    }

    #[test]
    fn times_are_text_in_utc_or_numbers_since_1970() {
        let time = |value: Value| Fields(Map::from_iter([("t".to_owned(), value)])).time("t");
        for same in [
            json!("2026-05-01T10:00:00Z"),
            json!("2026-05-01T10:00:00+00:00"),
            json!("2026-05-01 10:00:00"),
            json!("2026-05-01T10:00:00"),
            json!("2026-05-01 10:00"),
            json!("2026-05-01 15:30:00+05:30"),
            json!("2026-05-02T00:00:00+14:00"),
            json!(1_777_629_600),
            json!(1_777_629_600.0),
            json!(1_777_629_600_000_i64),
            json!(1_777_629_600_000.0),
        ] {
            assert_eq!(time(same.clone()), Ok(TEN), "{same}");
        }
        assert_eq!(
            time(json!("2026-05-01 10:00:00.123456789")),
            Ok(TEN + 123_456)
        );
        assert_eq!(time(json!(1_777_629_600.25)), Ok(TEN + 250_000));
        assert_eq!(time(json!(1_777_629_600_000.5)), Ok(TEN + 500));
        assert_eq!(time(json!(0)), Ok(0));
        for wrong in [
            json!("2026-05-01"),
            json!("2026-05-01T10:00:00[Asia/Kolkata]"),
            json!("2026-05-01T10:00:00+14:01"),
            json!("2026-05-01T10:00:00-25:00"),
            json!("soon"),
            json!(""),
            json!(true),
            json!([1]),
        ] {
            assert!(
                time(wrong.clone()).is_err_and(|reason| reason.contains("not a time")),
                "{wrong}"
            );
        }
        for outside in [
            json!(-1),
            json!("1969-12-31 23:59:59"),
            json!("2106-01-01 00:00:00"),
            json!(1e14),
        ] {
            assert!(
                time(outside.clone()).is_err_and(|reason| reason.contains("1970")),
                "{outside}"
            );
        }
        assert_eq!(time(Value::Null), Err("no t".to_owned()));
    }

    #[test]
    fn a_line_that_cannot_be_read_says_why() {
        let line = |name: &str, value: Value| {
            let mut line = json!({"event": "a", "distinct_id": "b", "timestamp": 1});
            line[name] = value;
            reason(&line)
        };
        assert_eq!(
            line("team_id", json!("x")),
            "team_id is not a whole number: \"x\""
        );
        assert_eq!(line("uuid", json!("x")), "uuid is not a UUID: \"x\"");
        assert_eq!(line("event", json!(["x"])), "event is not text: [\"x\"]");
        assert_eq!(
            line("distinct_id", json!(true)),
            "distinct_id is not text: true"
        );
        for half in [json!(1e30), json!(6.5), json!(-0.25)] {
            assert_eq!(
                line("team_id", half.clone()),
                format!("team_id is not a whole number: {half}")
            );
        }
        assert_eq!(line("event", Value::Null), "no event");
        assert_eq!(
            line("distinct_id", json!("")),
            "neither distinct_id nor person_id"
        );
        assert_eq!(
            line("properties", json!(3)),
            "properties is not an object: 3"
        );
        assert!(line("properties", json!("{")).starts_with("properties hold no JSON object"));
        // Its last digits are lost: somebody else's number would be the same.
        let many_digits: Value = serde_json::from_str("12345678901234567890123").expect("a number");
        assert_eq!(
            line("distinct_id", many_digits),
            "distinct_id is a number of more than 64 bits, which belongs in quotes: 1.2345678901234568e+22"
        );
        assert!(reason(&json!([1])).starts_with("no JSON object: "));
        assert!(reason(&json!({})).starts_with("no timestamp"));
    }

    #[test]
    fn whole_numbers_are_as_good_as_their_text_up_to_64_bits() {
        for (number, text) in [
            (json!(u64::MAX), "18446744073709551615"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!(5.5), "5.5"),
        ] {
            let line = json!({"event": "a", "distinct_id": number, "timestamp": 1});
            assert_eq!(read(&line.to_string(), Some(7)).0[0].distinct_id, text);
        }
        let line = json!({"event": "a", "distinct_id": "b", "timestamp": 1, "team_id": 7.0});
        assert_eq!(read(&line.to_string(), None).0[0].team_id, 7);
    }

    #[test]
    fn what_is_no_text_in_a_text_is_replaced_and_the_event_is_kept() {
        let os = |text: &[u8]| {
            let line = [
                br#"{"event": "a", "distinct_id": "b", "timestamp": 1, "os": ""#,
                text,
                br#""}"#,
            ];
            let line = line.concat();
            let lines = JsonLines::new(&line[..], Some(7)).expect("readable");
            let events: Vec<Event> = lines.collect::<Result<_>>().expect("an event");
            events.into_iter().next().expect("an event").os
        };
        assert_eq!(os(br"\ud800"), "\u{fffd}");
        assert_eq!(
            os(br"a\ud83d\ude00\uD83D.\ude00\\ud800\n"),
            "a\u{1f600}\u{fffd}.\u{fffd}\\ud800\n"
        );
        assert_eq!(os(b"a\xffb\\ud8000"), "a\u{fffd}b\u{fffd}0");
        let of_browser = json!({"$os": "x"}).to_string().replace('x', r"\ud800");
        let line =
            json!({"event": "a", "distinct_id": "b", "timestamp": 1, "properties": of_browser});
        assert_eq!(read(&line.to_string(), Some(7)).0[0].os, "\u{fffd}");
        let bad = reason(&json!([1]));
        assert!(bad.starts_with("no JSON object: "), "{bad}");
    }

    #[test]
    fn the_uuid_that_is_none_is_no_session() {
        let line = |session: &str| {
            json!({"event": "a", "distinct_id": "b", "timestamp": 1, "session_id": session})
                .to_string()
        };
        let nil = Uuid::nil().to_string();
        let (events, report) = read(&[line(&nil), line("s")].join("\n"), Some(7));
        assert_eq!(events.len(), 2);
        assert_eq!((report.without_session, report.sessions), (1, 1));
    }

    #[test]
    fn a_value_of_a_wrong_type_or_out_of_range_leaves_its_field_empty_and_is_counted() {
        let line = |fields: Value, properties: Value| {
            let mut line = json!({"event": "a", "distinct_id": "b", "timestamp": 1});
            let all = line.as_object_mut().expect("an object");
            all.extend(fields.as_object().expect("an object").clone());
            if !properties.is_null() {
                all.insert("properties".to_owned(), properties);
            }
            line.to_string()
        };
        let text = [
            line(
                json!({"host": ["x"], "os": "Linux", "viewport_width": "wide", "viewport_height": i64::MAX}),
                Value::Null,
            ),
            line(
                json!({"host": {}, "session_id": false, "viewport_width": 9_223_372_036_854_775_808_u64}),
                Value::Null,
            ),
            line(
                json!({}),
                json!({"utm_medium": ["a"], "gclid": true, "$os": false, "$browser": "Firefox",
                    "$viewport_width": 1e300, "$viewport_height": -1e300, "$lib": [1]}),
            ),
        ]
        .join("\n");
        let (events, report) = read(&text, Some(7));
        assert_eq!((events.len(), report.unreadable), (3, 0));
        assert_eq!(
            (&*events[0].host, &*events[0].os, &*events[1].session_id),
            ("", "Linux", "")
        );
        assert_eq!(&*events[2].browser, "Firefox");
        let sizes = |event: &Event| (event.viewport_width, event.viewport_height);
        assert_eq!(sizes(&events[0]), (0, i64::MAX));
        assert_eq!((sizes(&events[1]), sizes(&events[2])), ((0, 0), (0, 0)));
        let counts: Vec<(&str, u64)> = report
            .emptied_fields
            .iter()
            .map(|(name, count)| (&**name, *count))
            .collect();
        assert_eq!(
            counts,
            [
                ("$os", 1),
                ("$viewport_height", 1),
                ("$viewport_width", 1),
                ("gclid", 1),
                ("host", 2),
                ("session_id", 1),
                ("utm_medium", 1),
                ("viewport_width", 2),
            ]
        );
        assert!(report.ignored_fields.is_empty());
    }

    #[test]
    fn lines_of_another_team_than_the_one_asked_for_are_left_out_and_are_not_unreadable() {
        let line = |team: i64| {
            json!({"event": "a", "distinct_id": "b", "timestamp": 1, "team_id": team}).to_string()
        };
        let text = [line(8), line(7), line(9)].join("\n");
        let (events, report) = read(&text, Some(7));
        assert_eq!((events.len(), events[0].team_id), (1, 7));
        assert_eq!((report.other_team, report.unreadable), (2, 0));
        assert_eq!(read(&text, None).0.len(), 3);
        // Whatever else is wrong with it, it is another team's.
        let others = format!("{}\n{{\"team_id\":9}}\n\nhello", line(8));
        let mut lines = JsonLines::new(others.as_bytes(), Some(7)).expect("readable");
        let error = lines.next().expect("an item").expect_err("nothing of 7");
        assert_eq!(error.class(), crate::error::Class::Misuse);
        assert_eq!(
            error.to_string(),
            "not one of 4 lines is an event of team 7: 2 of them name other teams, the first one team 8"
        );
        assert_eq!(
            error.next_step(),
            Some(
                "leave --team-id out to import events for the teams that they name, or name theirs: --team-id 8"
            )
        );
    }

    #[test]
    fn events_that_name_no_uuid_keep_theirs_when_imported_again() {
        let line = json!({"event": "a", "distinct_id": "b", "timestamp": 1}).to_string();
        let other = json!({"event": "a", "distinct_id": "b", "timestamp": 2}).to_string();
        let (once, _) = read(&format!("{line}\n\n{line}\r\n{other}"), Some(7));
        let (longer, report) = read(
            &format!("\u{feff}{line}\n{line}\n{other}\n{line}\n"),
            Some(7),
        );
        let uuids = |events: &[Event]| -> Vec<Uuid> { events.iter().map(|e| e.uuid).collect() };
        assert_eq!(uuids(&longer)[..3], uuids(&once));
        let distinct: HashSet<Uuid> = uuids(&longer).into_iter().collect();
        assert_eq!((distinct.len(), report.duplicates), (4, 0));
        assert_eq!((report.without_session, report.persons), (4, 1));
        assert_ne!(uuids(&once)[0], uuids(&read(&line, Some(8)).0)[0]);
    }

    #[test]
    fn an_event_that_comes_twice_is_kept_once() {
        let line = json!({
            "uuid": "00000000-0000-0000-0000-000000000001", "event": "a", "distinct_id": "b",
            "timestamp": 1,
        });
        let (events, report) = read(&format!("{line}\n{line}\n"), Some(7));
        assert_eq!((events.len(), report.duplicates, report.events), (1, 1, 1));
    }

    #[test]
    fn an_input_without_any_event_is_an_error_and_an_empty_one_is_not() {
        let (events, report) = read(" \n", Some(7));
        assert_eq!((events.len(), report.blank), (0, 1));
        let mut lines = JsonLines::new(&b"hello\nworld"[..], None).expect("readable");
        let error = lines.next().expect("an item").expect_err("no JSON");
        assert_eq!(error.class(), crate::error::Class::Misuse);
        assert!(
            error
                .to_string()
                .starts_with("not one of 2 lines is an event: line 1: no JSON")
        );
        assert!(lines.next().is_none());
    }

    /// Any value of JSON, and those that a field is most easily taken in by.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            prop::sample::select(vec![
                "'; drop table events; --",
                "\0",
                "\u{202e}\n\\",
                "NaN",
                "1e999",
                "-0",
                "{}",
                "[]",
                "9999-12-31T23:59:59.999999999Z",
                "-009999-01-01T00:00:00Z",
                "2026-05-01 10:00:00",
                "2026-05-01T10:00:60+25:59",
                "00000000-0000-0000-0000-000000000001",
                "9223372036854775808",
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[$a-z_\\PC]{0,8}", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// An event with some of its fields replaced by any value, as an object or as an export has it.
    fn like_an_event() -> impl Strategy<Value = Value> {
        let fixed = [
            "uuid",
            "event",
            "distinct_id",
            "person_id",
            "timestamp",
            "team_id",
            "properties",
            "inserted_at",
        ];
        let names = fixed
            .iter()
            .chain(&CONTRACT_NAMES.texts)
            .chain(&POSTHOG_NAMES.texts)
            .chain(&CONTRACT_NAMES.viewport)
            .copied()
            .collect::<Vec<_>>();
        let replaced = (prop::sample::select(names), any_value());
        (proptest::collection::vec(replaced, 0..4), 0_u8..3).prop_map(|(replaced, shape)| {
            let mut event =
                json!({"event": "$pageview", "distinct_id": "a", "timestamp": 1_777_629_600});
            let replaced = replaced
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            match shape {
                0 => event.as_object_mut().expect("an object").extend(replaced),
                1 => event["properties"] = replaced.collect(),
                _ => event["properties"] = replaced.collect::<Value>().to_string().into(),
            }
            event
        })
    }

    proptest! {
        #[test]
        fn every_line_of_any_input_is_counted_once_and_every_event_can_be_stored(
            events in proptest::collection::vec(like_an_event(), 1..5),
            damage in proptest::option::of((0_usize..2000, any::<u8>())),
        ) {
            let mut text: Vec<u8> = events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect();
            if let Some((at, byte)) = damage {
                let at = at % text.len();
                text[at] = byte;
            }
            let mut lines = JsonLines::new(&text[..], Some(7)).expect("readable");
            let mut kept = 0;
            while let Some(Ok(event)) = lines.next() {
                kept += 1;
                prop_assert_eq!(event.team_id, 7);
                prop_assert!(!event.event.is_empty() && !event.person_id.is_nil() && !event.uuid.is_nil());
                prop_assert!((0..TIME_LIMIT).contains(&event.timestamp));
            }
            let report = lines.report();
            prop_assert_eq!(report.events, kept);
            let left_out = report.duplicates + report.other_team + report.blank + report.unreadable;
            prop_assert_eq!(report.lines, kept + left_out);
            for unreadable in &report.first_unreadable {
                prop_assert!(!unreadable.text.contains(char::is_control));
            }
        }

        #[test]
        fn every_text_of_an_event_is_kept_as_it_is(texts in proptest::collection::vec(any::<String>(), 21)) {
            let mut event = json!({"event": "$pageview", "timestamp": 1, "distinct_id": format!("x{}", texts[20])});
            let fields = CONTRACT_NAMES.texts.iter().zip(&texts);
            event.as_object_mut().expect("an object")
                .extend(fields.map(|(name, text)| ((*name).to_owned(), text.as_str().into())));
            let (events, _) = read(&event.to_string(), Some(7));
            prop_assert_eq!(&events[0].distinct_id, &format!("x{}", texts[20]));
            let stored = serde_json::to_value(&events[0]).expect("JSON");
            for (name, text) in CONTRACT_NAMES.texts.iter().zip(&texts) {
                prop_assert_eq!(stored[*name].as_str(), Some(text.as_str()), "{}", name);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut lines = JsonLines::new(&text[..], Some(7)).expect("readable");
            while let Some(Ok(_)) = lines.next() {}
        }

        #[test]
        fn no_number_makes_a_time_panic(seconds: f64, whole: i64) {
            for value in [json!(seconds), json!(whole)] {
                let _ = Fields(Map::from_iter([("t".to_owned(), value)])).time("t");
            }
        }
    }
}
