//! A whole access log: its page views, their persons and sessions, as events.
//!
//! The log is read once and kept in a compact form, because a server writes a line when a request
//! ends, so that lines are only nearly in order of time, while sessions need the exact order. A
//! page view takes 44 bytes plus its share of the distinct paths, queries and persons.
//!
//! A session that goes on in another file is two sessions: the second file cannot know where the
//! first one's began. Logs that belong together are imported together, through standard input.

use std::collections::HashMap;
use std::io::Read;

use indexmap::{IndexMap, IndexSet};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::event::{Event, PAGEVIEW};

use super::ids::{event_of_line, event_of_repeated_line, in_order, person_of_client};
use super::input::{Input, Line, Lines};
use super::log_line::{self, LogLine};
use super::page_view::{NotAPage, fill_campaign, page_view, referring_domain};
use super::report::ImportReport;
use super::sessions::{OpenSession, session_id};
use super::user_agent::Clients;

/// No request line is longer than a server's limit of some kilobytes; a line of a megabyte is no log.
const LINE_LIMIT_BYTES: usize = 1024 * 1024;
/// What is said of a last line that the server may not have written to its end when the log was copied.
const CUT_OFF: &str = "cut off: no line break, so that its end may be missing";
/// How often the caller hears of the progress.
const LINES_A_REPORT: u64 = 4096;

/// What the caller of an import decides.
#[derive(Clone, Debug)]
pub struct AccessLogOptions {
    pub team_id: i64,
    /// The host of page views of which the log names none.
    pub host: Option<String>,
    /// Keeps the page views of robots.
    pub include_bots: bool,
}

/// The page views of a log, in order of time and then of line.
#[derive(Debug)]
pub struct AccessLog {
    team_id: i64,
    report: ImportReport,
    views: Vec<View>,
    persons: IndexMap<Uuid, usize>,
    sessions: Vec<Uuid>,
    clients: Clients,
    hosts: Names,
    paths: Names,
    queries: Names,
    domains: Names,
    /// How many fields the last line had after its request.
    fields: usize,
}

#[derive(Debug)]
struct View {
    uuid: Uuid,
    /// Since 1970; enough until 2106.
    time_seconds: u32,
    person: u32,
    session: u32,
    host: u32,
    path: u32,
    query: u32,
    domain: u32,
}

/// Reads an access log to its end. `progress` hears now and then how many bytes of `input` were
/// read.
///
/// # Errors
///
/// [`crate::error::Class::Misuse`] when there are lines but none can be read, or when a compressed
/// input is damaged; [`crate::error::Class::Operator`] when reading fails.
pub fn read_access_log(
    input: impl Read,
    options: &AccessLogOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<AccessLog> {
    read(Lines::new(input, LINE_LIMIT_BYTES)?, options, progress)
}

/// As [`read_access_log`], of a log that lies in several files, in any order.
///
/// # Errors
///
/// As [`read_access_log`].
pub fn read_access_logs(
    inputs: Vec<Input>,
    options: &AccessLogOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<AccessLog> {
    let files = inputs.into_iter().map(|input| (input.name.clone(), input));
    read(Lines::of_files(files, LINE_LIMIT_BYTES)?, options, progress)
}

fn read(
    mut lines: Lines<impl Read>,
    options: &AccessLogOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<AccessLog> {
    let mut log = AccessLog::new(options.team_id);
    loop {
        match lines.next()? {
            None => break,
            Some((_, Line::OfFile(name))) => {
                log.report.file = Some(name.to_owned());
                log.fields = 0;
                continue;
            }
            Some((number, Line::TooLong(start))) => {
                log.report.lines += 1;
                log.report
                    .add_unreadable(number, "longer than 1 MiB", start);
            }
            Some((number, line @ (Line::Text(text) | Line::Unended(text)))) => {
                log.report.lines += 1;
                log.add_line(number, text, matches!(line, Line::Text(_)), options);
            }
        }
        if log.report.lines.is_multiple_of(LINES_A_REPORT) {
            progress(lines.read_bytes());
        }
    }
    progress(lines.read_bytes());
    if log.report.nothing_was_readable() {
        return Err(Error::misuse(format!(
            "not one of {} lines is of an access log: {}",
            log.report.lines,
            log.report.first_unreadable_line()
        ))
        .hint("is this an access log in the common or combined format?"));
    }
    log.finish();
    Ok(log)
}

impl AccessLog {
    fn new(team_id: i64) -> Self {
        Self {
            team_id,
            report: ImportReport::default(),
            views: Vec::new(),
            persons: IndexMap::new(),
            sessions: Vec::new(),
            clients: Clients::default(),
            hosts: Names::default(),
            paths: Names::default(),
            queries: Names::default(),
            domains: Names::default(),
            fields: 0,
        }
    }

    /// What was read, and what was left out and why.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// The events, one at a time, in order of time and then of line.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.views.iter().map(|view| self.event(view))
    }

    fn add_line(&mut self, number: u64, text: &[u8], is_ended: bool, options: &AccessLogOptions) {
        if text.iter().all(u8::is_ascii_whitespace) {
            self.report.blank += 1;
            return;
        }
        match log_line::parse(text) {
            // As an event of its own it would stay beside the one of the whole line.
            Ok(line) if !is_ended && !self.is_whole(&line) => {
                self.report.add_unreadable(number, CUT_OFF, text);
            }
            Ok(line) => {
                self.fields = line.fields;
                self.add_request(number, text, &line, options);
            }
            Err(reason) => self.report.add_unreadable(number, reason, text),
        }
    }

    /// Whether a line without a line break has all that a line of this log has.
    fn is_whole(&self, line: &LogLine<'_>) -> bool {
        let has_all = match self.fields {
            0 => line.user_agent.is_some(),
            fields => line.fields >= fields,
        };
        line.ends_in_quotes && has_all
    }

    fn add_request(
        &mut self,
        number: u64,
        text: &[u8],
        line: &LogLine<'_>,
        options: &AccessLogOptions,
    ) {
        let target = match page_view(&line.request, line.status) {
            Ok(target) => target,
            Err(NotAPage::NotGet) => return self.report.not_get += 1,
            Err(NotAPage::BadStatus) => return self.report.bad_status += 1,
            Err(NotAPage::Asset) => return self.report.assets += 1,
        };
        let Ok(time_seconds) = u32::try_from(line.time_seconds) else {
            return self.report.add_unreadable(
                number,
                "the time is not between 1970 and 2105",
                text,
            );
        };
        let client = self.clients.index_of(line.user_agent.as_deref());
        if self.clients.get(client).is_robot && !options.include_bots {
            return self.report.robots += 1;
        }
        let named = [line.virtual_host.unwrap_or_default(), target.host];
        let host = match named.into_iter().find(|host| !host.is_empty()) {
            Some(host) => self.hosts.index_of(&host.to_ascii_lowercase()),
            None => self
                .hosts
                .index_of(options.host.as_deref().unwrap_or_default().as_bytes()),
        };
        let person = person_of_client(line.address, line.user_agent.as_deref().unwrap_or_default());
        let person = self.persons.insert_full(person, client).0;
        self.views.push(View {
            uuid: event_of_line(self.team_id, text),
            time_seconds,
            person: index(person),
            session: 0,
            host,
            path: self.paths.index_of(target.path),
            query: self.queries.index_of(target.query),
            domain: self
                .domains
                .index_of(referring_domain(&line.referrer).as_bytes()),
        });
    }

    /// Puts the page views in order, tells repeated lines apart and cuts the sessions.
    fn finish(&mut self) {
        // Stable, so that page views of the same second stay in order of line.
        self.views.sort_by_key(|view| view.time_seconds);
        // Equal lines have equal times, so a repetition is found within its second.
        for second in self
            .views
            .chunk_by_mut(|a, b| a.time_seconds == b.time_seconds)
        {
            let mut seen: HashMap<Uuid, u32> = HashMap::new();
            let mut places: HashMap<u32, u32> = HashMap::new();
            for view in second {
                let repetition = seen.entry(view.uuid).or_default();
                let event = event_of_repeated_line(view.uuid, *repetition);
                *repetition += 1;
                let place = places.entry(view.person).or_default();
                view.uuid = in_order(event, view.time_seconds, *place);
                *place += 1;
            }
        }

        let mut open: Vec<Option<(OpenSession, u32)>> = vec![None; self.persons.len()];
        for view in &mut self.views {
            let seconds = i64::from(view.time_seconds);
            let open = &mut open[view.person as usize];
            let goes_on = open
                .as_mut()
                .and_then(|(session, index)| session.add(seconds).then_some(*index));
            view.session = match goes_on {
                Some(index) => index,
                None => {
                    let (person, _) = self
                        .persons
                        .get_index(view.person as usize)
                        .expect("a view's person was added with it");
                    let new = index(self.sessions.len());
                    self.sessions.push(session_id(*person, seconds));
                    *open = Some((OpenSession::starting_at(seconds), new));
                    new
                }
            };
            self.report.add_event(seconds * 1_000_000, true);
        }
        self.report.persons = self.persons.len() as u64;
        self.report.sessions = self.sessions.len() as u64;
    }

    fn event(&self, view: &View) -> Event {
        let (person, client) = self
            .persons
            .get_index(view.person as usize)
            .expect("a view's person was added with it");
        let client = self.clients.get(*client);
        let host = self.hosts.get(view.host);
        let pathname = self.paths.get(view.path);
        let query = self.queries.get(view.query);
        let mut current_url = String::new();
        if !host.is_empty() {
            current_url.push_str("https://");
            current_url.push_str(&host);
        }
        current_url.push_str(&pathname);
        if !query.is_empty() {
            current_url.push('?');
            current_url.push_str(&query);
        }
        let mut event = Event {
            uuid: view.uuid,
            event: PAGEVIEW.to_owned(),
            team_id: self.team_id,
            distinct_id: person.to_string(),
            person_id: *person,
            session_id: self.sessions[view.session as usize].to_string(),
            timestamp: i64::from(view.time_seconds) * 1_000_000,
            host,
            pathname,
            current_url,
            device_type: client.device_type.to_owned(),
            browser: client.browser.clone(),
            os: client.os.clone(),
            referring_domain: self.domains.get(view.domain),
            ..Event::default()
        };
        fill_campaign(&mut event, self.queries.bytes(view.query));
        event
    }
}

/// Distinct byte strings, each kept once.
#[derive(Debug, Default)]
struct Names(IndexSet<Box<[u8]>>);

impl Names {
    fn index_of(&mut self, name: &[u8]) -> u32 {
        match self.0.get_index_of(name) {
            Some(known) => index(known),
            None => index(self.0.insert_full(name.into()).0),
        }
    }

    fn bytes(&self, name: u32) -> &[u8] {
        &self.0[name as usize]
    }

    fn get(&self, name: u32) -> String {
        text_of(self.bytes(name))
    }
}

/// Bytes as text; those that are none as a browser would have sent them, so that what differs in the
/// log differs here.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("memory ends before 2^32 page views of 44 bytes")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

    fn options() -> AccessLogOptions {
        AccessLogOptions {
            team_id: 7,
            host: None,
            include_bots: false,
        }
    }

    fn read(text: &str) -> AccessLog {
        read_with(text, &options())
    }

    fn read_with(text: &str, options: &AccessLogOptions) -> AccessLog {
        read_access_log(text.as_bytes(), options, &mut |_| {}).expect("an access log")
    }

    /// A page view at a time of 2015-05-17 (UTC).
    fn line(address: &str, time: &str, path: &str) -> String {
        format!(
            r#"{address} - - [17/May/2015:{time} +0000] "GET {path} HTTP/1.1" 200 5 "-" "{BROWSER}""#
        )
    }

    #[test]
    fn bytes_that_are_no_text_stay_apart() {
        assert_eq!(text_of(b"/\xe4"), "/%E4");
        assert_eq!(text_of(b"/\xf6\xe4 \xc3\xa4"), "/%F6%E4 \u{e4}");
    }

    #[test]
    fn a_page_view_becomes_an_event_with_all_that_the_line_says() {
        let text = format!(
            "Shop.example.com:443 {}",
            line("1.2.3.4", "10:05:03", "/a%20b?utm_source=News&gclid=x#top")
                .replace("\"-\"", "\"https://www.Google.com/search\"")
        );
        let log = read(&text);
        let events: Vec<Event> = log.events().collect();
        let person = person_of_client(b"1.2.3.4", BROWSER.as_bytes());
        let expected = Event {
            uuid: in_order(event_of_line(7, text.as_bytes()), 1_431_857_103, 0),
            event: "$pageview".into(),
            team_id: 7,
            distinct_id: person.to_string(),
            person_id: person,
            session_id: session_id(person, 1_431_857_103).to_string(),
            timestamp: 1_431_857_103_000_000,
            host: "shop.example.com".into(),
            pathname: "/a%20b".into(),
            current_url: "https://shop.example.com/a%20b?utm_source=News&gclid=x".into(),
            device_type: "Desktop".into(),
            browser: "Firefox".into(),
            os: "Linux".into(),
            referring_domain: "www.google.com".into(),
            utm_source: "News".into(),
            gclid: "x".into(),
            ..Event::default()
        };
        assert_eq!(events, [expected]);
    }

    #[test]
    fn a_last_line_that_is_cut_off_is_left_for_the_next_import() {
        let first = format!("{} 0.003", line("1.2.3.4", "10:05:03", "/a"));
        let second = format!("{} 0.004", line("1.2.3.4", "10:05:04", "/b"));
        let at = second.find(' ').expect("a space");
        let read_of = |text: &str| {
            let log = read(text);
            (log.report().events, log.report().unreadable)
        };
        assert_eq!(read_of(&format!("{first}\n{second}\n")), (2, 0));
        // More digits may have followed these.
        for cut in (at + 1)..=second.len() {
            let text = format!("{first}\n{}", &second[..cut]);
            assert_eq!(read_of(&text), (1, 1), "{cut}");
        }
        // What ends with a quote of its own does not go on, but where the log has more fields.
        let combined = |time, path| line("1.2.3.4", time, path);
        let more = |text: String| format!("{text} \"203.0.113.9\"");
        let (first, second) = (combined("10:05:03", "/a"), combined("10:05:04", "/b"));
        for (first, second) in [
            (first.clone(), second.clone()),
            (more(first.clone()), more(second.clone())),
        ] {
            let at = second.find(' ').expect("a space");
            for cut in (at + 1)..second.len() {
                let text = format!("{first}\n{}", &second[..cut]);
                assert_eq!(read_of(&text), (1, 1), "{cut}");
            }
            assert_eq!(read_of(&format!("{first}\n{second}")), (2, 0));
        }
        assert_eq!(read_of(&second), (1, 0), "a line alone");
        let without_agent = second.find(" \"Mozilla").expect("a user agent");
        let log = read(&format!("{first}\n{}", &second[..without_agent]));
        assert_eq!(log.report().first_unreadable[0].reason, CUT_OFF);
    }

    #[test]
    fn the_host_is_the_logs_or_the_targets_or_the_one_asked_for() {
        let host = |text: &str, host: Option<&str>| {
            let options = AccessLogOptions {
                host: host.map(str::to_owned),
                ..options()
            };
            let event = read_with(text, &options).events().next().expect("an event");
            (event.host, event.current_url)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let plain = line("1.2.3.4", "10:05:03", "/a");
        let absolute = line("1.2.3.4", "10:05:03", "http://B.com:80/a?q");
        let leading = format!("c.com {absolute}");
        assert_eq!(host(&plain, None), pair("", "/a"));
        assert_eq!(host(&absolute, None), pair("b.com", "https://b.com/a?q"));
        assert_eq!(host(&leading, None), pair("c.com", "https://c.com/a?q"));
        // What the log says itself, nobody has to say, and nobody can take from it.
        let asked = |text: &str| host(text, Some("d.com"));
        assert_eq!(asked(&plain), pair("d.com", "https://d.com/a"));
        assert_eq!(asked(&absolute), pair("b.com", "https://b.com/a?q"));
        assert_eq!(asked(&leading), pair("c.com", "https://c.com/a?q"));
    }

    #[test]
    fn sessions_follow_the_order_of_time_and_not_of_lines() {
        let text = [
            line("1.2.3.4", "11:00:01", "/c"),
            line("1.2.3.4", "10:00:00", "/a"),
            line("9.9.9.9", "10:45:00", "/x"),
            line("1.2.3.4", "10:30:00", "/b"),
            line("1.2.3.4", "10:30:00", "/b2"),
        ]
        .join("\n");
        let log = read(&text);
        let events: Vec<Event> = log.events().collect();
        let paths: Vec<&str> = events.iter().map(|event| &*event.pathname).collect();
        assert_eq!(paths, ["/a", "/b", "/b2", "/x", "/c"]);
        let session = |index: usize| &events[index].session_id;
        assert_eq!((session(0), session(0)), (session(1), session(2)));
        assert_ne!(session(0), session(3));
        assert_ne!(session(0), session(4));
        let report = log.report();
        assert_eq!(
            (report.persons, report.sessions, report.page_views),
            (2, 3, 5)
        );
    }

    #[test]
    fn the_same_file_and_a_longer_one_name_the_same_events() {
        let (a, b) = (
            line("1.2.3.4", "10:00:00", "/a"),
            line("1.2.3.4", "10:00:00", "/b"),
        );
        let uuids = |text: &str| -> Vec<Uuid> { read(text).events().map(|e| e.uuid).collect() };
        let once = uuids(&format!("{a}\n{b}\n{a}"));
        let longer = uuids(&format!("{a}\r\n{b}\n\n{a}\n{a}\n{b}\n"));
        assert_eq!(longer[..3], once);
        let distinct: std::collections::HashSet<&Uuid> = longer.iter().collect();
        assert_eq!(distinct.len(), 5);
    }

    #[test]
    fn what_is_left_out_is_counted_once_by_its_first_reason() {
        let view = line("1.2.3.4", "10:00:00", "/a");
        let text = [
            view.clone(),
            view.replace("GET", "POST"),
            view.replace(" 200 ", " 404 "),
            view.replace("/a ", "/a.png "),
            view.replace(BROWSER, "curl/8.0"),
            String::new(),
            "hello".to_owned(),
            view.replace("2015", "1969"),
            "x".repeat(LINE_LIMIT_BYTES + 1),
        ]
        .join("\n");
        let report = read(&text).report().clone();
        assert_eq!((report.lines, report.events), (9, 1));
        assert_eq!(
            (report.not_get, report.bad_status, report.assets),
            (1, 1, 1)
        );
        assert_eq!((report.robots, report.blank, report.unreadable), (1, 1, 3));
        let reasons: Vec<&str> = report
            .first_unreadable
            .iter()
            .map(|bad| &*bad.reason)
            .collect();
        let outside = "the time is not between 1970 and 2105";
        assert_eq!(
            reasons,
            ["no time in brackets", outside, "longer than 1 MiB"]
        );
        let include = AccessLogOptions {
            include_bots: true,
            ..options()
        };
        assert_eq!(read_with(&text, &include).report().page_views, 2);
    }

    #[test]
    fn an_input_that_is_no_log_is_an_error_and_an_empty_one_is_not() {
        assert_eq!(*read("").report(), ImportReport::default());
        assert_eq!(read("\n \n").report().blank, 2);
        let error =
            read_access_log(&b"hello\n\x00\n\n"[..], &options(), &mut |_| {}).expect_err("no log");
        assert_eq!(error.class(), crate::error::Class::Misuse);
        assert_eq!(
            error.to_string(),
            "not one of 3 lines is of an access log: line 1: no time in brackets: hello"
        );
        assert!(
            error
                .next_step()
                .is_some_and(|hint| hint.contains("common or combined"))
        );
    }

    /// The counts are those of a Python script that shares nothing with this code but the
    /// contract: a regular expression, a dictionary of (address, user agent), and a sort. For the
    /// second it was given the user agents that this code takes for robots.
    #[test]
    fn a_real_log_is_counted_as_an_independent_script_counts_it() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/semicomplete-access.log.gz");
        let Ok(file) = File::open(&path) else {
            eprintln!("SKIPPED: {} is not there", path.display());
            return;
        };
        let mut read_bytes = 0;
        let include = AccessLogOptions {
            include_bots: true,
            ..options()
        };
        let log = read_access_log(file, &include, &mut |bytes| read_bytes = bytes)
            .expect("an access log");
        let report = log.report();
        assert_eq!(read_bytes, path.metadata().expect("it is open").len());
        // Line 8899 is cut off within its user agent.
        assert_eq!((report.lines, report.unreadable), (10_000, 1));
        assert_eq!(
            (report.not_get, report.bad_status, report.assets),
            (48, 208, 5629)
        );
        assert_eq!(
            (report.page_views, report.persons, report.sessions),
            (4114, 1283, 2332)
        );
        assert_eq!(log.events().len(), 4114);

        let file = File::open(&path).expect("it was there");
        let log = read_access_log(file, &options(), &mut |_| {}).expect("an access log");
        let report = log.report();
        assert_eq!(report.robots, 2405);
        assert_eq!(
            (report.page_views, report.persons, report.sessions),
            (1709, 938, 1096)
        );
    }

    /// Requests as a client may send them: their bytes reach the log, and hence the events.
    fn any_request() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "GET [/a-z0-9?&=%#:@.\\[\\]'\"\\\\-]{0,40} HTTP/1.1".prop_map(String::into_bytes),
            "GET (http|HTTPS)://[a-zA-Z0-9.:@\\[\\]-]{0,20}[/?#]?\\PC{0,10} HTTP/1.1"
                .prop_map(String::into_bytes),
            "GET /\\?(utm_source|utm_medium|gclid)=\\PC{0,10}(%[0-9a-fA-F]{0,2}){0,4} HTTP/1.1"
                .prop_map(String::into_bytes),
        ]
    }

    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        let usual = (
            any_request(),
            "[0-9]{2}/(May|Feb|Dec)/(1969|1970|2015|2105|2106|9999|0000)",
            "[1-5][0-9]{2}|-",
            proptest::collection::vec(any::<u8>(), 0..30),
            prop::sample::select(vec![
                BROWSER,
                "-",
                "curl/8.5.0",
                "Mozilla/5.0 (\u{202e}\u{0})",
            ]),
        );
        let usual = usual.prop_map(|(request, date, status, referrer, agent)| {
            let mut line = format!("1.2.3.4 - - [{date}:10:05:03 +0000] \"").into_bytes();
            line.extend(request);
            line.extend(format!("\" {status} 5 \"").into_bytes());
            line.extend(referrer);
            line.extend(format!("\" \"{agent}\"").into_bytes());
            line
        });
        prop_oneof![4 => usual, 1 => proptest::collection::vec(any::<u8>(), 0..80)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_line_of_any_log_is_counted_once_and_every_event_can_be_stored(
            lines in proptest::collection::vec(any_line(), 0..12),
            include_bots: bool,
        ) {
            let text = lines.join(&b'\n');
            let options = AccessLogOptions { include_bots, ..options() };
            let Ok(log) = read_access_log(&text[..], &options, &mut |_| {}) else { return Ok(()) };
            let report = log.report();
            let left_out = report.not_get + report.bad_status + report.assets + report.robots
                + report.blank + report.unreadable;
            prop_assert_eq!(report.lines, report.events + left_out);
            let events: Vec<Event> = log.events().collect();
            prop_assert_eq!(events.len() as u64, report.events);
            prop_assert!(events.is_sorted_by_key(|event| event.timestamp));
            let distinct: std::collections::HashSet<Uuid> = events.iter().map(|event| event.uuid).collect();
            prop_assert_eq!(distinct.len(), events.len());
            for event in &events {
                prop_assert!((0..=i64::from(u32::MAX) * 1_000_000).contains(&event.timestamp));
                prop_assert!(event.session_id.parse::<Uuid>().is_ok());
            }
            // What is shown of a line that could not be read has nothing that a terminal obeys.
            for unreadable in &report.first_unreadable {
                prop_assert!(!unreadable.text.contains(char::is_control));
            }
        }
    }
}
