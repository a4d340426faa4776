//! When a story may begin.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Where the teams of the stories that go by the real clock are.
const ZONES: [&str; 2] = ["UTC", "Asia/Kolkata"];

/// No such story takes longer than this, in seconds.
const A_STORY_S: i64 = 240;

/// Waits, where a day is about to end, until it has: a story that counts days, or names today's, tells of
/// one day from its beginning to its end.
pub fn clear_of_midnight() {
    let now = Timestamp::now();
    for zone in ZONES {
        let zone = TimeZone::get(zone).expect("a zone");
        let local = now.to_zoned(zone);
        let midnight = local
            .checked_add(1.day())
            .and_then(|tomorrow| tomorrow.start_of_day())
            .expect("a day that ends");
        let left = midnight.timestamp().duration_since(now);
        if left.as_secs() < A_STORY_S {
            std::thread::sleep(Duration::try_from(left).expect("ahead") + Duration::from_secs(1));
            return;
        }
    }
}
