//! A synthetic site: four teams in four time zones whose visitors do what visitors do.
//!
//! Everything is a function of the seed, the team and the local day, never of the moment at which it
//! is asked for: a later `now` gives the same events and those that happened since. Random numbers
//! are those of Xoshiro256++ (<https://prng.di.unimi.it/>), whose algorithm rand promises not to
//! change; sampling is done here, because rand's may change. Ids are taken from the random numbers
//! instead of being hashed, which keeps a million events under 15 s in a build without
//! optimisation.
//!
//! What it has on purpose, because the rollups must get it right: sessions over local midnight,
//! sessions of several hours, sessions that start with another event than a page view, sessions
//! without a page view, events without a session, screens, bounces, and campaigns on the entry
//! only. No session lasts 24 hours, and nothing happens after `now`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

use crate::error::{Error, Result};
use crate::event::{Event, PAGEVIEW};

/// Whole local days before today.
const DAYS: i32 = 8;
/// Events of an average session: 6.3, measured 2026-11-22 over the demo's site.
const EVENTS_A_SESSION: u32 = 6;
/// Visits that a person makes in the whole time, about.
const SESSIONS_A_PERSON: u32 = 3;
/// Keeps a visit to some hours: a page takes at most 5 minutes.
const MOST_PAGES: u32 = 60;
const SECOND: i64 = 1_000_000;

/// A site with its teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub seed: u64,
    /// Nothing happens at or after this.
    pub now: Timestamp,
    pub teams: Vec<SiteTeam>,
}

/// A team and how much its site is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTeam {
    pub team_id: i64,
    pub name: String,
    /// An IANA name.
    pub timezone: String,
    /// The host of its pages; `docs.` and `account.` are before the others'.
    pub host: String,
    /// About how many events there are in the whole time.
    pub events: u32,
}

impl Site {
    /// The site of `prefill demo`: about a million events over today and the 8 days before.
    pub fn demo(now: Timestamp) -> Self {
        let team = |team_id, name: &str, timezone: &str, host: &str, events| SiteTeam {
            team_id,
            name: name.to_owned(),
            timezone: timezone.to_owned(),
            host: host.to_owned(),
            events,
        };
        Self {
            seed: 20_260_501,
            now,
            teams: vec![
                team(1, "Acme", "America/New_York", "acme.example", 450_000),
                team(
                    2,
                    "Chai House",
                    "Asia/Kolkata",
                    "chaihouse.example",
                    300_000,
                ),
                team(
                    3,
                    "Bondi Boards",
                    "Australia/Sydney",
                    "bondiboards.example",
                    150_000,
                ),
                team(
                    4,
                    "Fjord Freight",
                    "Europe/Oslo",
                    "fjordfreight.example",
                    100_000,
                ),
            ],
        }
    }

    /// All events, team by team, day by day and session by session.
    ///
    /// # Errors
    ///
    /// [`Misuse`](crate::error::Class::Misuse) when a team's time zone is unknown.
    pub fn events(&self) -> Result<impl Iterator<Item = Event> + '_> {
        let mut visitors = Vec::new();
        for team in &self.teams {
            visitors.push(Visitors::new(self.seed, team)?);
        }
        let now_micros = self.now.as_microsecond();
        Ok(visitors.into_iter().flat_map(move |visitors| {
            let today = self.now.to_zoned(visitors.timezone.clone()).date();
            (0..=DAYS).rev().flat_map(move |days_ago| {
                let mut events = visitors.events_of(today, days_ago);
                events.retain(|event| event.timestamp < now_micros);
                events
            })
        }))
    }
}

/// What a visitor's machine says.
struct Machine {
    share: u32,
    device_type: &'static str,
    browser: &'static str,
    os: &'static str,
    viewports: &'static [(i64, i64)],
}

const DESKTOP: &[(i64, i64)] = &[
    (1920, 969),
    (1536, 730),
    (1440, 789),
    (1366, 625),
    (2560, 1297),
];
const PHONE: &[(i64, i64)] = &[(390, 844), (393, 852), (360, 800), (412, 915), (375, 667)];
const TABLET: &[(i64, i64)] = &[(820, 1180), (768, 1024), (1024, 768)];

const fn machine(
    share: u32,
    device_type: &'static str,
    browser: &'static str,
    os: &'static str,
    viewports: &'static [(i64, i64)],
) -> Machine {
    Machine {
        share,
        device_type,
        browser,
        os,
        viewports,
    }
}

const MACHINES: &[Machine] = &[
    machine(27, "Desktop", "Chrome", "Windows", DESKTOP),
    machine(9, "Desktop", "Microsoft Edge", "Windows", DESKTOP),
    machine(5, "Desktop", "Firefox", "Windows", DESKTOP),
    machine(8, "Desktop", "Safari", "Mac OS X", DESKTOP),
    machine(7, "Desktop", "Chrome", "Mac OS X", DESKTOP),
    machine(3, "Desktop", "Firefox", "Linux", DESKTOP),
    machine(1, "Desktop", "Opera", "Windows", DESKTOP),
    machine(18, "Mobile", "Mobile Safari", "iOS", PHONE),
    machine(17, "Mobile", "Chrome", "Android", PHONE),
    machine(2, "Mobile", "Samsung Internet", "Android", PHONE),
    machine(2, "Tablet", "Mobile Safari", "iOS", TABLET),
    machine(1, "Tablet", "Chrome", "Android", TABLET),
];

/// Country, city, region code and region; the last two are sometimes unknown.
struct Place(&'static str, &'static str, &'static str, &'static str);

/// Per time zone, because most visitors live where the team does.
fn places_of(timezone: &str) -> &'static [Place] {
    match timezone {
        "Asia/Kolkata" => &[
            Place("IN", "Mumbai", "MH", "Maharashtra"),
            Place("IN", "Pune", "MH", "Maharashtra"),
            Place("IN", "Bengaluru", "KA", "Karnataka"),
            Place("IN", "Delhi", "DL", "National Capital Territory of Delhi"),
            Place("IN", "Chennai", "TN", "Tamil Nadu"),
        ],
        "Australia/Sydney" => &[
            Place("AU", "Sydney", "NSW", "New South Wales"),
            Place("AU", "Newcastle", "NSW", "New South Wales"),
            Place("AU", "Melbourne", "VIC", "Victoria"),
            Place("NZ", "Auckland", "AUK", "Auckland"),
        ],
        "Europe/Oslo" => &[
            Place("NO", "Oslo", "03", "Oslo County"),
            Place("NO", "Tromsø", "55", "Troms"),
            Place("NO", "Bergen", "46", "Vestland"),
            Place("SE", "Göteborg", "O", "Västra Götaland County"),
            Place("DK", "København", "84", "Capital Region"),
        ],
        _ => &[
            Place("US", "New York", "NY", "New York"),
            Place("US", "Boston", "MA", "Massachusetts"),
            Place("US", "Chicago", "IL", "Illinois"),
            Place("US", "San Francisco", "CA", "California"),
            Place("CA", "Toronto", "ON", "Ontario"),
            Place("MX", "Ciudad de México", "CMX", "Mexico City"),
        ],
    }
}

const ELSEWHERE: &[Place] = &[
    Place("GB", "London", "ENG", "England"),
    Place("DE", "Berlin", "BE", "Land Berlin"),
    Place("BR", "São Paulo", "SP", "São Paulo"),
    Place("SG", "Singapore", "", ""),
    Place("JP", "", "", ""),
    Place("", "", "", ""),
];

/// By popularity: the n-th is visited about 1/n as often as the first.
const PATHS: &[&str] = &[
    "/",
    "/pricing",
    "/products",
    "/blog",
    "/products/starter",
    "/login",
    "/docs",
    "/blog/how-we-ship",
    "/products/pro",
    "/about",
    "/checkout",
    "/docs/getting-started",
    "/blog/summer-sale",
    "/contact",
    "/account",
    "/docs/api",
    "/careers",
    "/blog/2026/caf%C3%A9",
    "/search",
    "/terms",
];

/// Where visits come from: a share, the referring domain, and what the entry's query says.
struct Source {
    share: u32,
    referring_domain: &'static str,
    utm_source: &'static str,
    utm_medium: &'static str,
    utm_campaign: &'static str,
    utm_term: &'static str,
    utm_content: &'static str,
    click: Click,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Click {
    None,
    Google,
    Facebook,
}

const fn source(share: u32, referring_domain: &'static str) -> Source {
    Source {
        share,
        referring_domain,
        utm_source: "",
        utm_medium: "",
        utm_campaign: "",
        utm_term: "",
        utm_content: "",
        click: Click::None,
    }
}

const SOURCES: &[Source] = &[
    source(38, "$direct"),
    source(27, "www.google.com"),
    source(4, "www.bing.com"),
    source(3, "duckduckgo.com"),
    source(4, "t.co"),
    source(3, "news.ycombinator.com"),
    Source {
        utm_source: "newsletter",
        utm_medium: "email",
        utm_campaign: "spring-2026",
        ..source(6, "$direct")
    },
    Source {
        utm_source: "google",
        utm_medium: "cpc",
        utm_campaign: "brand",
        utm_term: "best starter kit",
        utm_content: "ad-a",
        click: Click::Google,
        ..source(8, "www.google.com")
    },
    Source {
        utm_source: "facebook",
        utm_medium: "paid-social",
        utm_campaign: "retargeting",
        utm_content: "video-1",
        click: Click::Facebook,
        ..source(5, "l.facebook.com")
    },
    Source {
        utm_source: "partner",
        utm_medium: "referral",
        ..source(2, "blog.partner.example")
    },
];

/// How busy each local hour is.
const HOURS: [u32; 24] = [
    24, 11, 8, 6, 6, 9, 17, 31, 48, 62, 70, 73, 71, 69, 70, 68, 64, 60, 61, 66, 70, 68, 58, 46,
];

const CUSTOM_EVENTS: &[&str] = &["signed_up", "added_to_cart", "purchased", "searched"];

/// Somebody who visits a team's site, always with the same machine and from the same place.
struct Person {
    id: Uuid,
    distinct_id: String,
    machine: &'static Machine,
    viewport: (i64, i64),
    place: &'static Place,
}

/// The visitors of one team.
struct Visitors {
    seed: u64,
    team: SiteTeam,
    timezone: TimeZone,
    hosts: Hosts,
    persons: Vec<Person>,
}

/// The hosts of a site.
struct Hosts {
    pages: String,
    docs: String,
    account: String,
}

impl Hosts {
    fn new(host: &str) -> Self {
        Self {
            pages: host.to_owned(),
            docs: format!("docs.{host}"),
            account: format!("account.{host}"),
        }
    }

    fn of(&self, path: &str) -> &String {
        match path {
            "/docs" | "/docs/getting-started" | "/docs/api" => &self.docs,
            "/login" | "/account" | "/checkout" => &self.account,
            _ => &self.pages,
        }
    }
}

impl Visitors {
    fn new(seed: u64, team: &SiteTeam) -> Result<Self> {
        let timezone = TimeZone::get(&team.timezone).map_err(|source| {
            Error::misuse(format!("failed to find the time zone of {}", team.name))
                .caused_by(source)
        })?;
        let mut random = Random::new(&[seed, team.team_id.unsigned_abs()]);
        let sessions = team.events / EVENTS_A_SESSION;
        let at_home = places_of(&team.timezone);
        let persons = (0..sessions / SESSIONS_A_PERSON + 1)
            .map(|_| {
                let id = random.uuid();
                let machine = random.by_share(MACHINES, |machine| machine.share);
                let place = if random.chance(85) {
                    random.by_rank(at_home)
                } else {
                    random.pick(ELSEWHERE)
                };
                Person {
                    id,
                    distinct_id: id.to_string(),
                    machine,
                    viewport: *random.by_rank(machine.viewports),
                    place,
                }
            })
            .collect();
        Ok(Self {
            seed,
            team: team.clone(),
            timezone,
            hosts: Hosts::new(&team.host),
            persons,
        })
    }

    /// The events of the sessions that start on one local day.
    fn events_of(&self, today: Date, days_ago: i32) -> Vec<Event> {
        let Some((start, end)) = self.bounds(today, days_ago) else {
            return Vec::new();
        };
        let mut random = Random::new(&[
            self.seed,
            self.team.team_id.unsigned_abs(),
            start.unsigned_abs(),
        ]);
        let average = self.team.events / EVENTS_A_SESSION / (DAYS.unsigned_abs() + 1);
        // Between 80 and 120 of a hundred, so that days differ.
        let sessions = average * (80 + random.below(41)) / 100;
        let mut events = Vec::with_capacity(sessions as usize * 6);
        for _ in 0..sessions {
            let hour = random.by_share_index(&HOURS);
            // A 24th of the day rather than an hour: days have 23 to 25.
            let part = (end - start) / 24;
            let at = start + i64::from(hour) * part + random.micros_below(part);
            self.add_session(&mut random, at, &mut events);
        }
        events
    }

    /// The local day as microseconds, `[start, end)`.
    fn bounds(&self, today: Date, days_ago: i32) -> Option<(i64, i64)> {
        let day = today.checked_sub(days_ago.days()).ok()?;
        let start_of = |day: Date| {
            let zoned = day.to_zoned(self.timezone.clone()).ok()?;
            Some(zoned.timestamp().as_microsecond())
        };
        Some((start_of(day)?, start_of(day.tomorrow().ok()?)?))
    }

    fn add_session(&self, random: &mut Random, start: i64, events: &mut Vec<Event>) {
        let rank = random.below_squared(self.persons.len());
        let person = &self.persons[rank];
        let source = random.by_share(SOURCES, |source| source.share);
        let session_id = random.session_id(start).to_string();
        let mut session = Session {
            team: &self.team,
            hosts: &self.hosts,
            person,
            source,
            session_id,
            at: start,
            path: random.path(),
            is_entry: true,
            click_id: if source.click == Click::None {
                String::new()
            } else {
                random.uuid().simple().to_string()
            },
        };
        match random.below(1000) {
            // A server's own event, which belongs to no visit.
            0..5 => {
                session.session_id.clear();
                events.push(session.event(random, "invoice_paid"));
            }
            // A visit of which only clicks came through.
            5..30 => {
                for _ in 0..1 + random.below(3) {
                    events.push(session.event(random, "$autocapture"));
                    session.wait(random, 2, 90);
                }
            }
            // An app, which has screens instead of pages.
            30..60 => {
                for _ in 0..1 + random.below(6) {
                    events.push(session.event(random, "$screen"));
                    session.wait(random, 2, 60);
                    session.go_to(random.path());
                }
            }
            // A tab that is come back to for hours: at most 24 waits of under half an hour.
            60..64 => {
                for _ in 0..4 + random.below(20) {
                    events.push(session.event(random, PAGEVIEW));
                    session.wait(random, 600, 1790);
                    session.go_to(random.path());
                }
            }
            chance => session.visit(random, chance < 460, events),
        }
    }
}

/// A visit that goes on.
struct Session<'a> {
    team: &'a SiteTeam,
    hosts: &'a Hosts,
    person: &'a Person,
    source: &'static Source,
    session_id: String,
    /// Microseconds since 1970.
    at: i64,
    path: &'static str,
    /// True until the first page is left: the campaign is in its address only.
    is_entry: bool,
    click_id: String,
}

impl Session<'_> {
    /// Some pages with what is done on them; a bounce is one page and nothing more.
    fn visit(&mut self, random: &mut Random, is_bounce: bool, events: &mut Vec<Event>) {
        if random.chance(12) {
            // Feature flags are often there before the page view is sent.
            events.push(self.event(random, "$feature_flag_called"));
            self.at += 1 + random.micros_below(SECOND / 5);
        }
        events.push(self.event(random, PAGEVIEW));
        if is_bounce {
            return;
        }
        for _ in 0..MOST_PAGES {
            for _ in 0..random.below(4) {
                self.wait(random, 1, 40);
                events.push(self.event(random, "$autocapture"));
            }
            if random.chance(8) {
                self.wait(random, 1, 20);
                let name = random.by_rank(CUSTOM_EVENTS);
                events.push(self.event(random, name));
            }
            // One visit in four ends after each page.
            if random.chance(25) {
                return;
            }
            self.wait(random, 3, 180);
            self.go_to(random.path());
            events.push(self.event(random, PAGEVIEW));
        }
    }

    /// Lets between `from` and `until` seconds pass, and parts of one.
    fn wait(&mut self, random: &mut Random, from: i64, until: i64) {
        self.at += from * SECOND + random.micros_below((until - from) * SECOND);
    }

    fn go_to(&mut self, path: &'static str) {
        self.path = path;
        self.is_entry = false;
    }

    fn event(&self, random: &mut Random, name: &str) -> Event {
        let Person { machine, place, .. } = self.person;
        let mut event = Event {
            uuid: random.uuid(),
            event: name.to_owned(),
            team_id: self.team.team_id,
            distinct_id: self.person.distinct_id.clone(),
            person_id: self.person.id,
            session_id: self.session_id.clone(),
            timestamp: self.at,
            host: self.hosts.of(self.path).clone(),
            pathname: self.path.to_owned(),
            device_type: machine.device_type.to_owned(),
            browser: machine.browser.to_owned(),
            os: machine.os.to_owned(),
            viewport_width: self.person.viewport.0,
            viewport_height: self.person.viewport.1,
            referring_domain: self.source.referring_domain.to_owned(),
            country_code: place.0.to_owned(),
            city_name: place.1.to_owned(),
            region_code: place.2.to_owned(),
            region_name: place.3.to_owned(),
            ..Event::default()
        };
        let mut url = String::with_capacity(100);
        url.push_str("https://");
        url.push_str(&event.host);
        url.push_str(self.path);
        if self.is_entry {
            self.add_campaign(&mut event, &mut url);
        }
        event.current_url = url;
        event
    }

    fn add_campaign(&self, event: &mut Event, url: &mut String) {
        let source = self.source;
        let mut separator = '?';
        let mut set = |field: &mut String, name: &str, value: &str| {
            if !value.is_empty() {
                value.clone_into(field);
                url.push(separator);
                separator = '&';
                url.push_str(name);
                url.push('=');
                url.push_str(&value.replace(' ', "+"));
            }
        };
        set(&mut event.utm_source, "utm_source", source.utm_source);
        set(&mut event.utm_medium, "utm_medium", source.utm_medium);
        set(&mut event.utm_campaign, "utm_campaign", source.utm_campaign);
        set(&mut event.utm_term, "utm_term", source.utm_term);
        set(&mut event.utm_content, "utm_content", source.utm_content);
        match source.click {
            Click::None => {}
            Click::Google => {
                set(&mut event.gad_source, "gad_source", "1");
                set(&mut event.gclid, "gclid", &self.click_id);
            }
            Click::Facebook => set(&mut event.fbclid, "fbclid", &self.click_id),
        }
    }
}

/// Random numbers and what is made of them.
struct Random(Xoshiro256PlusPlus);

impl Random {
    fn new(parts: &[u64]) -> Self {
        // The seed's eight bytes are spread over the state by rand; parts are kept apart by a
        // multiplication with a large odd number (Knuth's, 6.4).
        let seed = parts.iter().fold(0_u64, |seed, part| {
            (seed ^ part)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
        });
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Less than `limit`, by multiplication; off by less than one in 2^32, which is no matter here.
    fn below(&mut self, limit: u32) -> u32 {
        let product = u64::from(self.0.next_u32()) * u64::from(limit);
        (product >> 32) as u32
    }

    fn micros_below(&mut self, limit: i64) -> i64 {
        let limit = limit.unsigned_abs().max(1);
        let product = u128::from(self.0.next_u64()) * u128::from(limit);
        (product >> 64) as i64
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(u32::try_from(items.len()).unwrap_or(u32::MAX));
        &items[index as usize]
    }

    /// The n-th item about 1/n as often as the first (Zipf's law).
    fn by_rank<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let mut total = 0;
        for rank in 1..=items.len() {
            total += 2520 / rank;
        }
        let mut left = self.below(u32::try_from(total).unwrap_or(u32::MAX)) as usize;
        for (index, item) in items.iter().enumerate() {
            let weight = 2520 / (index + 1);
            if left < weight {
                return item;
            }
            left -= weight;
        }
        &items[0]
    }

    fn path(&mut self) -> &'static str {
        let path: &'static &'static str = self.by_rank(PATHS);
        path
    }

    fn by_share<'a, T>(&mut self, items: &'a [T], share: impl Fn(&T) -> u32) -> &'a T {
        let total = items.iter().map(&share).sum();
        let mut left = self.below(total);
        for item in items {
            if left < share(item) {
                return item;
            }
            left -= share(item);
        }
        &items[0]
    }

    fn by_share_index(&mut self, shares: &[u32]) -> u32 {
        let mut left = self.below(shares.iter().sum());
        let mut index = 0;
        for share in shares {
            if left < *share {
                break;
            }
            left -= share;
            index += 1;
        }
        index
    }

    /// An index below `limit`, low ones more often: some people come back every day.
    fn below_squared(&mut self, limit: usize) -> usize {
        let one = u64::from(self.0.next_u32());
        let squared = (one * one) >> 32;
        ((squared * limit as u64) >> 32) as usize
    }

    /// Of version 5, as if it were a hash.
    fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&self.0.next_u64().to_le_bytes());
        Builder::from_sha1_bytes(bytes).into_uuid()
    }

    /// A UUIDv7 of the session's start.
    fn session_id(&mut self, start_micros: i64) -> Uuid {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.0.next_u64().to_le_bytes());
        Builder::from_unix_timestamp_millis(start_micros.unsigned_abs() / 1000, &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("RFC 3339")
    }

    /// The demo's site with a twentieth of its events.
    fn small(now: &str) -> Site {
        let mut site = Site::demo(at(now));
        for team in &mut site.teams {
            team.events /= 20;
        }
        site
    }

    fn events(site: &Site) -> Vec<Event> {
        site.events().expect("known time zones").collect()
    }

    #[test]
    fn the_same_seed_and_moment_give_the_same_events() {
        let site = small("2026-05-10T15:00:00Z");
        let once = events(&site);
        assert_eq!(once, events(&site));
        let other = Site {
            seed: 2,
            ..site.clone()
        };
        assert_ne!(once, events(&other));
        let uuids: HashSet<Uuid> = once.iter().map(|event| event.uuid).collect();
        assert_eq!(uuids.len(), once.len());
    }

    #[test]
    fn a_later_moment_adds_events_and_changes_none() {
        let earlier = events(&small("2026-05-10T15:00:00Z"));
        let later = events(&small("2026-05-10T15:30:00Z"));
        let known: HashMap<Uuid, &Event> = later.iter().map(|event| (event.uuid, event)).collect();
        assert!(earlier.iter().all(|event| known[&event.uuid] == event));
        let limit = at("2026-05-10T15:00:00Z").as_microsecond();
        assert!(earlier.iter().all(|event| event.timestamp < limit));
        assert!(later.iter().any(|event| event.timestamp >= limit));
        // Days that both have are the same a day later, too.
        let next_day = events(&small("2026-05-11T15:00:00Z"));
        let next_day: HashSet<Uuid> = next_day.iter().map(|event| event.uuid).collect();
        let from = at("2026-05-05T00:00:00Z").as_microsecond();
        let shared = earlier.iter().filter(|event| event.timestamp > from);
        assert!(shared.clone().count() > 1000);
        assert!(shared.clone().all(|event| next_day.contains(&event.uuid)));
    }

    #[test]
    fn sessions_last_less_than_a_day_and_their_ids_carry_their_start() {
        let all = events(&small("2026-05-10T15:00:00Z"));
        let mut sessions: HashMap<&str, (i64, i64, Uuid)> = HashMap::new();
        for event in all.iter().filter(|event| !event.session_id.is_empty()) {
            let t = event.timestamp;
            let session = sessions
                .entry(&event.session_id)
                .or_insert((t, t, event.person_id));
            session.0 = session.0.min(t);
            session.1 = session.1.max(t);
            assert_eq!(session.2, event.person_id);
        }
        for (id, (start, end, _)) in sessions {
            assert!(end - start < 24 * 3600 * SECOND);
            let id = Uuid::try_parse(id).expect("a UUID");
            assert_eq!(id.get_version_num(), 7);
            assert_eq!((id.as_u128() >> 80) as i64, start / 1000);
        }
    }

    #[test]
    fn the_site_has_what_the_rollups_must_get_right() {
        let site = small("2026-05-10T15:00:00Z");
        let all = events(&site);
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        let mut sessions: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in &all {
            *kinds.entry(&event.event).or_default() += 1;
            sessions.entry(&event.session_id).or_default().push(event);
        }
        for kind in [
            "$pageview",
            "$screen",
            "$autocapture",
            "$feature_flag_called",
            "purchased",
            "invoice_paid",
        ] {
            assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
        }
        let without = sessions.remove("").expect("events without a session");
        assert!(without.iter().all(|event| event.event == "invoice_paid"));
        let count = |wanted: &dyn Fn(&[&Event]) -> bool| {
            sessions.values().filter(|events| wanted(events)).count()
        };
        let is_view = |event: &&Event| event.event == "$pageview" || event.event == "$screen";
        assert!(count(&|events| !events.iter().any(&is_view)) > 10);
        assert!(count(&|events| !is_view(&events[0]) && events.iter().any(&is_view)) > 50);
        assert!(count(&|events| events.len() == 1) > 300);
        assert!(
            count(&|events| {
                let zone = &site.teams[(events[0].team_id - 1) as usize].timezone;
                let zone = TimeZone::get(zone).expect("known");
                let day = |event: &Event| {
                    let at = Timestamp::from_microsecond(event.timestamp).expect("in range");
                    at.to_zoned(zone.clone()).date()
                };
                day(events[0]) != day(events[events.len() - 1])
            }) > 3
        );
        assert!(all.iter().any(|event| event.timestamp % SECOND != 0));
        let days_of_person = {
            let mut days: HashMap<Uuid, BTreeSet<i64>> = HashMap::new();
            for event in &all {
                let day = event.timestamp / (86_400 * SECOND);
                days.entry(event.person_id).or_default().insert(day);
            }
            days
        };
        assert!(
            days_of_person
                .values()
                .filter(|days| days.len() > 1)
                .count()
                > 100
        );
        for field in [
            |event: &Event| event.gclid.clone(),
            |event: &Event| event.fbclid.clone(),
            |event: &Event| event.gad_source.clone(),
            |event: &Event| event.utm_term.clone(),
            |event: &Event| event.utm_content.clone(),
        ] {
            assert!(all.iter().any(|event| !field(event).is_empty()));
        }
    }

    #[test]
    fn the_demo_has_about_a_million_events() {
        let site = Site::demo(at("2026-05-10T15:00:00Z"));
        let started = std::time::Instant::now();
        let mut per_team: BTreeMap<i64, u32> = BTreeMap::new();
        for event in site.events().expect("known time zones") {
            *per_team.entry(event.team_id).or_default() += 1;
        }
        eprintln!("{per_team:?} in {:?}", started.elapsed());
        let total: u32 = per_team.values().sum();
        assert!((900_000..1_200_000).contains(&total), "{per_team:?}");
    }
}
