//! Where the page views of a person are cut into sessions.
//!
//! A session is one person's page views in order of time, cut where a gap is longer than 30 minutes
//! or 24 hours have passed since its start: the rule of PostHog's own client.

use uuid::Uuid;

use super::ids::named;

/// A gap longer than this ends a session.
const LONGEST_GAP_SECONDS: i64 = 30 * 60;
/// A session is over when this much has passed since its start.
const LONGEST_SESSION_SECONDS: i64 = 24 * 60 * 60;

/// A session that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenSession {
    start_seconds: i64,
    last_seconds: i64,
}

impl OpenSession {
    pub fn starting_at(seconds: i64) -> Self {
        Self {
            start_seconds: seconds,
            last_seconds: seconds,
        }
    }

    /// Adds a page view that is not earlier than the last one, or says that it begins another
    /// session.
    ///
    /// ```text
    /// 00:00  00:30:00  01:00:01   →  {00:00, 00:30:00}, {01:00:01}
    /// ```
    pub fn add(&mut self, seconds: i64) -> bool {
        let goes_on = seconds - self.last_seconds <= LONGEST_GAP_SECONDS
            && seconds - self.start_seconds < LONGEST_SESSION_SECONDS;
        if goes_on {
            self.last_seconds = seconds;
        }
        goes_on
    }
}

/// The id of the session that `person` starts: a UUIDv7 of the start.
///
/// Its random bits are a hash of person and start, so that importing twice gives the same sessions.
/// Two sessions of a person never start in the same second, so it is unique.
pub(super) fn session_id(person: Uuid, start_seconds: i64) -> Uuid {
    let hash = named(&person, &[&start_seconds.to_be_bytes()]);
    let mut bits = [0; 10];
    // Bytes 6 and 8 of the hash hold its version and variant.
    bits[..6].copy_from_slice(&hash.as_bytes()[..6]);
    bits[6..].copy_from_slice(&hash.as_bytes()[12..]);
    let millis = u64::try_from(start_seconds).unwrap_or(0) * 1000;
    uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Session starts for sorted times, by the code under test.
    fn starts(times: &[i64]) -> Vec<i64> {
        let mut starts = Vec::new();
        let mut open: Option<OpenSession> = None;
        for &time in times {
            if !open.as_mut().is_some_and(|session| session.add(time)) {
                starts.push(time);
                open = Some(OpenSession::starting_at(time));
            }
        }
        starts
    }

    #[test]
    fn a_session_is_cut_after_a_gap_and_after_a_day() {
        assert_eq!(starts(&[0, 1800, 3600, 5401]), [0, 5401]);
        let every_half_hour: Vec<i64> = (0..=48).map(|number| number * 1800).collect();
        assert_eq!(starts(&every_half_hour), [0, 86_400]);
        assert_eq!(starts(&[5, 5, 5]), [5]);
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_that_carries_the_start() {
        let id = session_id(Uuid::from_u128(1), 1_431_857_103);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.as_u128() >> 80, 1_431_857_103_000);
        assert_eq!(id, session_id(Uuid::from_u128(1), 1_431_857_103));
        assert_ne!(id, session_id(Uuid::from_u128(2), 1_431_857_103));
        // Pinned: another id would import every log a second time.
        assert_eq!(id.to_string(), "014d6155-8098-7d8f-baf3-6af30c626f3c");
    }

    proptest! {
        #[test]
        fn cutting_agrees_with_the_definition(
            gaps in proptest::collection::vec(
                prop_oneof![0_i64..2000, 1799_i64..=1801, Just(1800_i64)], 0..200,
            )
        ) {
            let mut time = 1_000_000;
            let times: Vec<i64> = gaps.iter().map(|gap| { time += gap; time }).collect();
            // The definition, word by word: cut the list at the first place that asks for it.
            let mut expected = Vec::new();
            let mut rest = &times[..];
            while let Some(&start) = rest.first() {
                expected.push(start);
                let cut = (1..rest.len())
                    .find(|&i| rest[i] - rest[i - 1] > 1800 || rest[i] - start >= 86_400);
                rest = &rest[cut.unwrap_or(rest.len())..];
            }
            prop_assert_eq!(starts(&times), expected);
        }
    }
}
