//! What the tables must hold, computed from a list of events in memory by plain loops, and what the
//! ledger must say. Shares no code with prefill but the shape of an event.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use prefill::event::Event;

/// What both tables hold at one bucket of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// By path: page views, sessions, persons.
    pub stats: BTreeMap<String, [i64; 3]>,
    pub bounces: Totals,
}

/// What the bounces table says of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sessions: i64,
    pub sessions_uniq: i64,
    pub page_views: i64,
    pub persons: i64,
    pub bounces: i64,
    pub duration_seconds: i64,
}

impl Held {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a day that somebody asked for is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Filled,
    Cleaned,
}

#[derive(Clone, Debug)]
pub struct Team {
    pub zone: &'static str,
    pub enabled: bool,
    pub days: BTreeMap<Date, Kept>,
}

/// Teams, what was done to them, and all events.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub teams: BTreeMap<i64, Team>,
    pub events: Vec<Event>,
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

/// The second in which a day begins. The zones of these tests set no clock at midnight.
pub fn bucket(zone_name: &str, day: Date) -> i64 {
    let begin = day.to_zoned(zone(zone_name)).expect("a midnight");
    begin.timestamp().as_second()
}

fn day_of(timestamp: i64, zone: &TimeZone) -> Date {
    let instant = Timestamp::from_microsecond(timestamp).expect("an instant");
    instant.to_zoned(zone.clone()).date()
}

impl Model {
    /// The sessions of a team, each with its events in order.
    fn sessions(&self, team: i64) -> Vec<Vec<&Event>> {
        let mut sessions: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.team_id == team) {
            sessions.entry(&event.session_id).or_default().push(event);
        }
        let mut sessions: Vec<_> = sessions.into_values().collect();
        for session in &mut sessions {
            session.sort_by_key(|event| (event.timestamp, event.uuid));
        }
        sessions
    }

    /// What a day of a team is, in its zone of now.
    pub fn day(&self, team: i64, day: Date) -> Held {
        let zone = zone(self.teams[&team].zone);
        let mut held = Held::default();
        let mut persons = BTreeSet::new();
        let mut of_path: BTreeMap<String, (i64, BTreeSet<&str>, BTreeSet<u128>)> = BTreeMap::new();
        for session in self.sessions(team) {
            let (first, last) = (session[0], session[session.len() - 1]);
            let is_view = |event: &&&Event| matches!(&*event.event, "$pageview" | "$screen");
            let views: Vec<&&Event> = session.iter().filter(is_view).collect();
            let Some(last_view) = views.last() else {
                continue;
            };
            if day_of(first.timestamp, &zone) != day {
                continue;
            }
            let person = last_view.person_id.as_u128();
            let duration = (last.timestamp - first.timestamp) / 1_000_000;
            let clicks = session.iter().filter(|event| event.event == "$autocapture");
            let is_bounce = views.len() + clicks.count() == 1 && duration < 10;
            persons.insert(person);
            held.bounces.sessions += 1;
            held.bounces.page_views += i64::try_from(views.len()).expect("few");
            held.bounces.bounces += i64::from(is_bounce);
            held.bounces.duration_seconds += duration;
            for view in views {
                let path = of_path.entry(view.pathname.clone()).or_default();
                path.0 += 1;
                path.1.insert(&view.session_id);
                path.2.insert(person);
            }
        }
        let count = |length: usize| i64::try_from(length).expect("few");
        held.bounces.persons = count(persons.len());
        held.bounces.sessions_uniq = held.bounces.sessions;
        held.stats = of_path
            .into_iter()
            .map(|(path, (views, sessions, persons))| {
                (path, [views, count(sessions.len()), count(persons.len())])
            })
            .collect();
        held
    }

    /// The bucket of a day of a team, in its zone of now.
    pub fn bucket(&self, team: i64, day: Date) -> i64 {
        bucket(self.teams[&team].zone, day)
    }

    /// What every day of a team that has rows must be, by bucket.
    pub fn of_team(&self, team: i64) -> BTreeMap<i64, Held> {
        let days = self.teams[&team].days.iter();
        days.filter(|(_, kept)| **kept == Kept::Filled)
            .map(|(day, _)| (self.bucket(team, *day), self.day(team, *day)))
            .filter(|(_, held)| !held.is_nothing())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::page_view;
    use prefill::calendar::TeamId;

    #[test]
    fn the_model_knows_a_day_that_was_counted_by_hand() {
        let team = TeamId(7);
        let click = Event {
            event: "$autocapture".to_owned(),
            ..page_view(team, 2, "b", "2026-03-08T13:00:02Z", "/")
        };
        let model = Model {
            teams: BTreeMap::from([(
                7,
                Team {
                    zone: "America/St_Johns",
                    enabled: true,
                    days: BTreeMap::new(),
                },
            )]),
            events: vec![
                // Begins on the day before, and is of it with all its page views.
                page_view(team, 1, "x", "2026-03-08T03:29:59Z", "/"),
                page_view(team, 1, "x", "2026-03-08T03:31:00Z", "/"),
                page_view(team, 1, "a", "2026-03-08T12:00:00Z", "/"),
                page_view(team, 1, "a", "2026-03-08T12:00:07Z", "/pricing"),
                page_view(team, 2, "b", "2026-03-08T13:00:00Z", "/"),
                click,
                page_view(team, 3, "c", "2026-03-08T14:00:00Z", "/"),
            ],
        };
        let held = model.day(7, "2026-03-08".parse().expect("a date"));
        let totals = Totals {
            sessions: 3,
            sessions_uniq: 3,
            page_views: 4,
            persons: 3,
            bounces: 1,
            duration_seconds: 9,
        };
        assert_eq!(held.bounces, totals);
        assert_eq!(held.stats["/"], [3, 3, 3]);
        assert_eq!(held.stats["/pricing"], [1, 1, 1]);
        let before = model.day(7, "2026-03-07".parse().expect("a date"));
        assert_eq!(before.bounces.duration_seconds, 61);
    }
}
