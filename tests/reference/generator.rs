//! Random events that are small and nasty: what a seed gives is always the same.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use prefill::event::Event;
use uuid::Uuid;

use super::local_days;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

const PATHS: &[&str] = &[
    "/",
    "/pricing",
    "",
    "/ünï/日本/🦀",
    "/it's \"quoted\"",
    "/back\\slash\\n\\'",
    "/tab\tand\nline",
    "/%20?x=1&y={a:String}",
    "/NULL",
    "\\N",
    "/nul\0byte",
    "\u{1}a\0\u{1}b\u{1}",
];
const HOSTS: &[&str] = &["acme.test", "www.acme.test", "ACME.test", "", "\u{1}a"];
const DEVICES: &[&str] = &["Desktop", "Mobile", ""];
const BROWSERS: &[&str] = &["Firefox", "Chrome", ""];
const SYSTEMS: &[&str] = &["Linux", "Mac OS X", ""];
const DOMAINS: &[&str] = &["$direct", "search.test", ""];
const WORDS: &[&str] = &["", "", "spring", "Spring", "o'neil \\ \"sale\"\t", "\0"];
const CLICK_IDS: &[&str] = &["", "", "0", "abc"];
const GAD_SOURCES: &[&str] = &["", "1", "2", "10", " 1"];
const COUNTRIES: &[&str] = &["IN", "CA", ""];
const CITIES: &[&str] = &["Pune", "St. John's", "São Paulo", ""];
const REGIONS: &[&str] = &["MH", "NL", ""];
const SIZES: &[i64] = &[0, 360, 1280];
const KINDS: &[&str] = &[
    "$pageview",
    "$pageview",
    "$pageview",
    "$screen",
    "$autocapture",
    "$pageleave",
    "signed up",
    "",
    "$PageView",
];
const SILENT_KINDS: &[&str] = &[
    "$autocapture",
    "$pageleave",
    "signed up",
    "$pageviews",
    "$screens",
];

/// SplitMix64: a few lines, and the same everywhere.
pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        let width = (range.end() - range.start() + 1) as u64;
        range.start() + (self.next() % width) as i64
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.next().is_multiple_of(many)
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next()))
    }

    /// Events of the teams around the days `[from, until)` of `zone`, in no order.
    ///
    /// Sessions also begin on the day before and the day after the range, and go over each of its
    /// bounds. Teams have session ids and persons in common.
    pub fn events(
        &mut self,
        teams: &[i64],
        zone: &str,
        from: &str,
        until: &str,
        sessions_a_day: i64,
    ) -> Vec<Event> {
        let days = local_days(zone, from, until);
        let mut bounds: Vec<i64> = days.iter().map(|day| day.from_s * SECOND).collect();
        bounds.extend(days.last().map(|day| day.until_s * SECOND));
        let mut events = Vec::new();
        for &team in teams {
            for (day, &bound) in bounds.iter().enumerate() {
                for number in 0..sessions_a_day {
                    let begins = bound + self.offset_from_midnight();
                    // As other teams have it, too, and none that SQL text could hold unquoted.
                    let id = format!(
                        "s{day}-{number}{}",
                        if number % 5 == 0 { "'\\\"\té" } else { "" }
                    );
                    self.session(&mut events, team, id, begins);
                }
                for _ in 0..sessions_a_day / 4 {
                    let begins = bound + self.offset_from_midnight();
                    self.session(&mut events, team, String::new(), begins);
                }
            }
        }
        for place in (1..events.len()).rev() {
            let other = self.within(0..=place as i64) as usize;
            events.swap(place, other);
        }
        events
    }

    /// When a session begins, from a local midnight.
    fn offset_from_midnight(&mut self) -> i64 {
        match self.within(0..=9) {
            0 => 0,
            1 => -1,
            2 => 1,
            3 => self.within(-20 * MINUTE..=0),
            // around the hours at which clocks are changed
            4 | 5 => self.within(-HOUR..=4 * HOUR),
            6 => self.within(-26..=26) * 30 * MINUTE,
            _ => self.within(-24 * HOUR..=24 * HOUR),
        }
    }

    /// When the events of a session happen, from its beginning.
    fn offsets(&mut self) -> Vec<i64> {
        let many = self.within(1..=6);
        let mut offsets = vec![0];
        match self.within(0..=8) {
            0 => {}
            1 => offsets.push(10 * SECOND),
            2 => offsets.push(10 * SECOND - 1),
            3 => offsets.extend((0..many).map(|_| self.within(0..=9 * SECOND))),
            4 => offsets.push(24 * HOUR),
            5 => offsets.extend((0..many).map(|_| self.within(0..=24 * HOUR))),
            6 => offsets.extend((0..many).map(|_| 0)),
            _ => offsets.extend((0..many).map(|_| self.within(0..=30 * MINUTE))),
        }
        if self.one_in(3) {
            offsets.push(offsets[offsets.len() - 1]);
        }
        offsets
    }

    fn session(&mut self, events: &mut Vec<Event>, team: i64, session_id: String, begins: i64) {
        let kinds = if self.one_in(8) { SILENT_KINDS } else { KINDS };
        // Many sessions that are alike in everything, so that rows have something to add up.
        let plain = self.one_in(2);
        let mut event = Event {
            team_id: team,
            session_id,
            host: "acme.test".to_owned(),
            pathname: "/".to_owned(),
            person_id: self.person(),
            ..Event::default()
        };
        if !plain {
            self.change(&mut event, 1);
        }
        for offset in self.offsets() {
            event.uuid = self.uuid();
            event.event = self.pick(kinds).to_owned();
            event.timestamp = begins + offset;
            if plain {
                event.pathname = self.pick(&PATHS[..2]).to_owned();
            } else {
                self.change(&mut event, 6);
            }
            if self.one_in(6) {
                event.person_id = self.person();
            }
            events.push(event.clone());
        }
    }

    /// One of a few, whatever the team.
    fn person(&mut self) -> Uuid {
        let number = self.within(0..=9) as u64;
        // As random as real ones are: `uniq` takes two UUIDs for one when the halves of each, one
        // xor the other, give the same.
        Generator::new(number).uuid()
    }

    /// Changes each property with a chance of one in `many`.
    fn change(&mut self, event: &mut Event, many: u64) {
        for (property, values) in [
            (&mut event.host, HOSTS),
            (&mut event.pathname, PATHS),
            (&mut event.device_type, DEVICES),
            (&mut event.browser, BROWSERS),
            (&mut event.os, SYSTEMS),
            (&mut event.referring_domain, DOMAINS),
            (&mut event.utm_source, WORDS),
            (&mut event.utm_medium, WORDS),
            (&mut event.utm_campaign, WORDS),
            (&mut event.utm_term, WORDS),
            (&mut event.utm_content, WORDS),
            (&mut event.gclid, CLICK_IDS),
            (&mut event.gad_source, GAD_SOURCES),
            (&mut event.fbclid, CLICK_IDS),
            (&mut event.country_code, COUNTRIES),
            (&mut event.city_name, CITIES),
            (&mut event.region_code, REGIONS),
            (&mut event.region_name, REGIONS),
        ] {
            if self.one_in(many) {
                *property = self.pick(values).to_owned();
            }
        }
        for property in [&mut event.viewport_width, &mut event.viewport_height] {
            if self.one_in(many) {
                *property = self.pick(SIZES);
            }
        }
    }
}

/// The events without those of sessions that are as long as a day, of which each day tells something else.
pub fn without_long(events: &[Event]) -> Vec<Event> {
    let mut spans: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
    for event in events {
        let id = (event.team_id, event.session_id.as_str());
        let span = spans
            .entry(id)
            .or_insert((event.timestamp, event.timestamp));
        span.0 = span.0.min(event.timestamp);
        span.1 = span.1.max(event.timestamp);
    }
    events
        .iter()
        .filter(|event| {
            let (first, last) = spans[&(event.team_id, event.session_id.as_str())];
            last - first < 24 * HOUR
        })
        .cloned()
        .collect()
}
