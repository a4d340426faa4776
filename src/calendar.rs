//! Days as a team lives them, and the instants at which they begin and end.
//!
//! All arithmetic with local days happens here, in Rust, and leaves as instants: ClickHouse is
//! never asked for a local midnight, because it and the time zone database disagree by an hour
//! where midnight does not exist (Africa/Cairo, 2026-04-24). Reads no clock.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Class, Context, Error, Result};

/// A tenant's number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(minimum = 1, maximum = 9223372036854775807_i64, example = 7)]
pub struct TeamId(pub i64);

impl fmt::Display for TeamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TeamId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(format!("{text:?} is no team id: a whole number above 0")),
        }
    }
}

/// A calendar date in a team's time zone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String, format = Date, example = "2026-05-01")]
pub struct Day(Date);

/// The first day that a `DateTime('UTC')` of ClickHouse can hold in every time zone.
const FIRST: Date = Date::constant(1970, 1, 2);
/// The last one; `DateTime` ends on 2106-02-07.
const LAST: Date = Date::constant(2106, 2, 5);

impl Day {
    /// The first day that can be filled.
    pub const MIN: Self = Self(FIRST);
    /// The last one.
    pub const MAX: Self = Self(LAST);

    /// The day in whose bounds `instant` falls in `zone`.
    pub fn of(instant: Timestamp, zone: &Zone) -> Self {
        let day = Self(instant.to_zoned(zone.zone.clone()).date());
        match zone.bounds(day) {
            // Where the clock is set back over midnight, the repeated minutes before it carry
            // yesterday's date and belong to the day that had begun.
            Some(bounds) if instant >= bounds.until => day.plus(1),
            _ => day,
        }
    }

    /// `count` days later; before where it is negative. Stops at the ends of the calendar.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        let date = self
            .0
            .checked_add(jiff::Span::new().try_days(count).unwrap_or_default())
            .unwrap_or(if count < 0 { FIRST } else { LAST });
        Self(date.clamp(FIRST, LAST))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `Date` parses longer forms too (2026-05-01T10:00); only a plain date names a day.
        let date = (text.len() == 10)
            .then(|| text.parse::<Date>().ok())
            .flatten()
            .ok_or_else(|| {
                format!("{text:?} is no date: write it as YYYY-MM-DD, such as 2026-05-01")
            })?;
        if date < FIRST || date > LAST {
            return Err(format!(
                "{text} is out of range: days from {FIRST} to {LAST} can be filled"
            ));
        }
        Ok(Self(date))
    }
}

/// A half-open range of days, `[from, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Days {
    pub from: Day,
    pub until: Day,
}

impl Days {
    /// # Errors
    ///
    /// [`Class::Misuse`] when the range is empty or ends before it starts.
    pub fn new(from: Day, until: Day) -> Result<Self> {
        if from >= until {
            let what = if from == until {
                "is empty"
            } else {
                "ends before it starts"
            };
            return Err(
                Error::misuse(format!("the range {from} to {until} {what}")).hint(format!(
                    "--date-end is exclusive: for {from} alone pass --date-end {}",
                    from.plus(1)
                )),
            );
        }
        Ok(Self { from, until })
    }

    /// Every day of the range, the newest first.
    pub fn newest_first(self) -> impl Iterator<Item = Day> {
        (1..=self.count()).map(move |back| self.until.plus(-back))
    }

    /// How many days the range has.
    pub fn count(self) -> i64 {
        i64::from((self.until.0 - self.from.0).get_days())
    }

    pub fn contains(self, day: Day) -> bool {
        self.from <= day && day < self.until
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.until)
    }
}

/// The instants `[from, until)` of one local day: 23, 24 or 25 hours, or what the zone makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// An IANA time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self {
            zone: TimeZone::UTC,
        }
    }

    /// # Errors
    ///
    /// [`Class::Misuse`] when no such zone is known.
    pub fn get(name: &str) -> Result<Self> {
        let zone = TimeZone::get(name)
            .classed(Class::Misuse, || format!("there is no time zone {name:?}"));
        let zone = zone.map_err(|error| {
            error.hint("use an IANA name, such as Asia/Kolkata, America/St_Johns or UTC")
        })?;
        Ok(Self { zone })
    }

    /// The zone's IANA name, spelled as the database does.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// When `day` begins and ends here; `None` for a day that the zone skipped, as Samoa did
    /// 2011-12-30 when it moved across the date line.
    ///
    /// A midnight that does not exist is the instant of the jump, one that comes twice is its
    /// first occurrence, so that the days of a zone leave no gap and never overlap.
    pub fn bounds(&self, day: Day) -> Option<Bounds> {
        let from = self.midnight(day);
        let until = self.midnight(Day(day.0.tomorrow().unwrap_or(day.0)));
        (from < until).then_some(Bounds { from, until })
    }

    fn midnight(&self, day: Day) -> Timestamp {
        // jiff's "compatible" rule: an instant in a gap moves forward by the gap's length, which
        // from midnight is not always the jump itself (a gap from 23:30 to 00:30 gives 01:00).
        match self
            .zone
            .to_ambiguous_timestamp(day.0.at(0, 0, 0, 0))
            .offset()
        {
            jiff::tz::AmbiguousOffset::Gap { .. } => {
                let later = self
                    .zone
                    .to_timestamp(day.0.at(0, 0, 0, 0))
                    .unwrap_or(Timestamp::MAX);
                // `preceding` leaves out the instant itself, which may be the jump.
                let after = later + jiff::SignedDuration::from_secs(1);
                self.zone
                    .preceding(after)
                    .next()
                    .map_or(later, |jump| jump.timestamp())
            }
            _ => self
                .zone
                .to_ambiguous_timestamp(day.0.at(0, 0, 0, 0))
                .earlier()
                .unwrap_or(Timestamp::MAX),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(zone: &str, day: &str) -> (String, String, i64) {
        let bounds = Zone::get(zone)
            .expect("a known zone")
            .bounds(day.parse().expect("a date"))
            .expect("a day that exists");
        let minutes = (bounds.until.as_second() - bounds.from.as_second()) / 60;
        (bounds.from.to_string(), bounds.until.to_string(), minutes)
    }

    #[test]
    fn f16_days_begin_where_the_zone_says_also_at_odd_offsets_and_on_both_dst_days() {
        for (zone, day, from, minutes) in [
            ("Asia/Kolkata", "2026-05-01", "2026-04-30T18:30:00Z", 1440),
            ("Asia/Kathmandu", "2026-05-01", "2026-04-30T18:15:00Z", 1440),
            ("Asia/Tehran", "2026-05-01", "2026-04-30T20:30:00Z", 1440),
            (
                "America/St_Johns",
                "2026-03-08",
                "2026-03-08T03:30:00Z",
                1380,
            ),
            (
                "America/St_Johns",
                "2026-11-01",
                "2026-11-01T02:30:00Z",
                1500,
            ),
            ("Pacific/Apia", "2026-05-01", "2026-04-30T11:00:00Z", 1440),
            (
                "Pacific/Pago_Pago",
                "2026-05-01",
                "2026-05-01T11:00:00Z",
                1440,
            ),
            (
                "Australia/Lord_Howe",
                "2026-04-05",
                "2026-04-04T13:00:00Z",
                1470,
            ),
            // Midnight does not exist: the day begins at one o'clock.
            ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", 1380),
            // Midnight comes twice: the day begins with the first.
            ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", 1500),
        ] {
            let (begins, _, length) = bounds(zone, day);
            assert_eq!((begins.as_str(), length), (from, minutes), "{zone} {day}");
        }
    }

    #[test]
    fn a_day_that_the_zone_skipped_has_no_bounds() {
        let apia = Zone::get("Pacific/Apia").expect("a known zone");
        assert_eq!(apia.bounds("2011-12-30".parse().expect("a date")), None);
        assert!(apia.bounds("2011-12-29".parse().expect("a date")).is_some());
    }

    #[test]
    fn an_unknown_zone_or_date_is_refused_with_what_to_write_instead() {
        let error = Zone::get("Mars/Olympus").expect_err("no such zone");
        assert!(error.next_step().expect("a hint").contains("Asia/Kolkata"));
        for text in [
            "2026-02-30",
            "yesterday",
            "2026-5-1",
            "2026-05-01T10:00",
            "",
            "1969-01-01",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    /// Dates, and text that is nearly one.
    fn like_a_date() -> impl Strategy<Value = String> {
        prop_oneof![
            "(19[67][0-9]|20[0-9]{2}|210[0-9])-[01][0-9]-[0-3][0-9]",
            "[-+\u{2212}]?[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}",
            "20[0-9]{2}[01][0-9][0-3][0-9][-+:.0-9TtZz\\[\\] ]{0,6}",
            "[-+:.0-9TtZzWw\\[\\] ]{10}",
            "\\PC{0,12}",
            any::<String>(),
        ]
    }

    /// Any date of the calendar that the library has, from -9999-01-01 to 9999-12-31: what a `Day` that
    /// was read from a ledger or from JSON may hold.
    fn any_day() -> impl Strategy<Value = Day> {
        let ends = [Date::MIN, Date::MAX, Date::constant(1, 1, 1), FIRST, LAST];
        prop_oneof![
            (-4_371_587_i64..=2_932_896).prop_map(|days| {
                let epoch = Date::constant(1970, 1, 1);
                Day(epoch.saturating_add(jiff::Span::new().days(days)))
            }),
            (prop::sample::select(ends.to_vec()), -3_i64..=3)
                .prop_map(|(end, days)| { Day(end.saturating_add(jiff::Span::new().days(days))) }),
        ]
    }

    /// Every zone that this machine knows.
    fn any_zone() -> impl Strategy<Value = Zone> {
        let names: Vec<String> = jiff::tz::db()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        prop::sample::select(names).prop_map(|name| Zone::get(&name).expect("a known zone"))
    }

    /// Names of zones, damaged in ways that a path, a header or a case-blind look-up may let pass.
    fn like_a_zone() -> impl Strategy<Value = String> {
        let damage = prop_oneof![
            Just(String::new()),
            "[a-zA-Z0-9/._+-]{1,3}",
            "\\PC{1,2}",
            prop::sample::select(vec![
                "\0", "../", "/", " ", "\n", "'", ";", "[", "]", "<", "%00"
            ])
            .prop_map(str::to_owned),
        ];
        let name = || any_zone().prop_map(|zone| zone.name().to_owned());
        prop_oneof![
            (name(), damage, 0_usize..40).prop_map(|(mut name, damage, at)| {
                let at = name
                    .char_indices()
                    .map(|(at, _)| at)
                    .nth(at)
                    .unwrap_or(name.len());
                name.insert_str(at, &damage);
                name
            }),
            name().prop_map(|name| name.to_ascii_uppercase()),
            "[A-Z]{3}[-+]?[0-9]{1,2}(:[0-9]{2})?([A-Z]{3}(,M[0-9]{1,2}\\.[0-9]\\.[0-9]){0,2})?",
            "[-+][0-9]{2}:?[0-9]{2}",
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn a_date_that_is_read_is_in_range_and_written_as_it_was(text in like_a_date()) {
            if let Ok(day) = text.parse::<Day>() {
                prop_assert!((Day::MIN..=Day::MAX).contains(&day), "{day}");
                prop_assert_eq!(day.to_string(), text);
            }
        }

        #[test]
        fn every_day_that_can_be_filled_is_read_as_it_is_written(days in 0_i64..49_700) {
            let day = Day::MIN.plus(days);
            prop_assert_eq!(day.to_string().parse::<Day>(), Ok(day));
            let json = serde_json::to_string(&day).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Day>(&json).expect("a day"), day);
        }

        #[test]
        fn no_step_from_any_day_leaves_what_can_be_filled(
            day in any_day(),
            count in prop_oneof![any::<i64>(), -4_i64..4, Just(i64::MIN), Just(i64::MAX)],
        ) {
            let there = day.plus(count);
            prop_assert!((Day::MIN..=Day::MAX).contains(&there), "{day} plus {count} is {there}");
            if (Day::MIN..=Day::MAX).contains(&day) {
                prop_assert_eq!(there.cmp(&day).is_le(), count <= 0 || there == day);
                prop_assert_eq!(there.cmp(&day).is_ge(), count >= 0 || there == day);
            }
        }

        #[test]
        fn a_range_of_any_days_is_counted_and_listed(from in any_day(), until in any_day()) {
            if let Ok(days) = Days::new(from, until) {
                prop_assert!(from < until && days.count() > 0);
                prop_assert!(days.contains(from) && !days.contains(until));
                let listed = days.newest_first().take(3).count() as i64;
                prop_assert_eq!(listed, days.count().min(3));
            } else {
                prop_assert!(from >= until);
            }
        }

        #[test]
        fn the_bounds_of_any_day_in_any_zone_are_in_order(day in any_day(), zone in any_zone()) {
            match zone.bounds(day) {
                Some(bounds) => prop_assert!(bounds.from < bounds.until),
                // A day that can be filled is missing only where a zone crossed the date line.
                None => prop_assert!(day < Day::MIN || day > Day::MAX || zone.name().starts_with("Pacific/")
                    || zone.name() == "Kwajalein", "{zone} {day}"),
            }
        }

        #[test]
        fn any_instant_falls_on_a_day(zone in any_zone(), second in -377_705_023_201_i64..=253_402_207_200) {
            let instant = Timestamp::from_second(second).expect("in range");
            let day = Day::of(instant, &zone);
            if (0..4_291_747_200).contains(&second) {
                let bounds = zone.bounds(day).expect("a day on which something happened");
                prop_assert!(bounds.from <= instant && instant < bounds.until, "{zone} {instant} {day}");
            }
        }

        #[test]
        fn a_zone_that_is_found_is_found_by_its_name_and_is_not_another(name in like_a_zone()) {
            if let Ok(zone) = Zone::get(&name) {
                prop_assert!(zone.name().eq_ignore_ascii_case(&name), "{name:?} gave {zone}");
                prop_assert_eq!(Zone::get(zone.name()).expect("itself"), zone);
            }
        }

        #[test]
        fn days_of_a_zone_leave_no_gap_and_an_instant_falls_on_the_day_whose_bounds_hold_it(
            // From the first day that can be filled on: there is none before it to fall on.
            second in 172_800_i64..4_000_000_000,
            zone in prop::sample::select(vec![
                "UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia", "Africa/Cairo",
                "America/Havana", "Australia/Lord_Howe", "Africa/Monrovia", "Asia/Gaza",
            ]),
        ) {
            let zone = Zone::get(zone).expect("a known zone");
            let instant = Timestamp::from_second(second).expect("in range");
            let day = Day::of(instant, &zone).plus(0);
            if let Some(bounds) = zone.bounds(day) {
                if let Some(next) = zone.bounds(day.plus(1)) {
                    prop_assert_eq!(bounds.until, next.from);
                }
                prop_assert!(bounds.from <= instant && instant < bounds.until);
            }
        }

        #[test]
        fn a_range_holds_just_the_days_that_it_lists(start in 0_i64..20_000, count in 1_i64..60) {
            let from = "1990-01-01".parse::<Day>().expect("a date").plus(start);
            let days = Days::new(from, from.plus(count)).expect("a range");
            let listed: Vec<Day> = days.newest_first().collect();
            prop_assert_eq!(listed.len() as i64, days.count());
            prop_assert!(listed.iter().all(|day| days.contains(*day)));
            prop_assert!(listed.windows(2).all(|pair| pair[0] == pair[1].plus(1)));
        }
    }
}
