//! What an installation is called in a sentence: the worst that is true of it. Green is only what somebody has
//! just looked at and found well.

use jiff::{SignedDuration, Timestamp};

use super::looks::{Known, Sight};
use super::parts::{counted, number};
use crate::report::Overview;

/// So many days to be filled again are part of every day, and so is one in so many.
const FEW_STALE: u64 = 20;
const FEW_STALE_IN: u64 = 20;

/// The whole in a sentence: a class for its colour, a sign, and the words.
#[derive(Debug)]
pub struct Headline {
    pub class: &'static str,
    pub sign: &'static str,
    pub title: String,
    pub more: String,
}

/// What the whole is called, where so many things need somebody. Nothing is well that nobody could look at.
pub fn headline(overview: &Overview, known: &Known, problems: usize) -> Headline {
    let coverage = &overview.coverage;
    let days = format!(
        "{} of {} filled, {:.1} %",
        number(coverage.filled),
        counted(coverage.wanted, "day"),
        coverage.percentage()
    );
    let say = |class, sign, title: &str, more: String| Headline {
        class,
        sign,
        title: title.to_owned(),
        more,
    };
    let need = |problems: usize| match problems {
        1 => "1 thing needs somebody".to_owned(),
        _ => format!("{} things need somebody", number(problems)),
    };
    let silent: Vec<&str> = known.silent().collect();
    if let Some(first) = silent.first() {
        let title = match silent.len() {
            1 => format!("Warehouse {first} does not answer"),
            silent => format!("{} do not answer", counted(silent, "warehouse")),
        };
        let more = match problems.saturating_sub(silent.len()) {
            0 => days,
            others => format!("{} besides. {days}", need(others)),
        };
        return say("bad", "✕", &title, more);
    }
    if problems > 0 {
        return say("bad", "✕", &need(problems), days);
    }
    if overview.enabled_teams == 0 {
        let more = match overview.teams {
            0 => "There is no team yet.".to_owned(),
            _ => "Turn the setting on for a team on its page, or run prefill enable --team-id N."
                .to_owned(),
        };
        return say("calm", "□", "No team has the setting on", more);
    }
    if overview.everything_is_paused {
        return say("warn", "‖", "Everything is paused", days);
    }
    let stale = coverage.stale;
    let many_are_stale = stale > FEW_STALE && stale.saturating_mul(FEW_STALE_IN) > coverage.wanted;
    let all_have_rows = coverage.filled >= coverage.wanted;
    let all_who_can_have_rows = coverage.filled + coverage.waiting >= coverage.wanted;
    if (!all_who_can_have_rows || many_are_stale)
        && coverage.running == 0
        && let Some(paused) = what_is_paused(overview)
    {
        return say("warn", "‖", &paused, days);
    }
    if !all_who_can_have_rows {
        return if coverage.running > 0 || overview.queue.slices > 0 {
            say("calm", "►", "Filling", days)
        } else {
            say("warn", "…", "Not everything is filled", days)
        };
    }
    if many_are_stale {
        let title = format!(
            "Refilling: {} of {} to go",
            number(stale),
            counted(coverage.wanted, "day")
        );
        let more = format!("{days}; what is to be filled again may be out of date");
        return say("calm", "►", &title, more);
    }
    match known.sight {
        Sight::Clear => {}
        Sight::Looking => return say("calm", "…", "The tables are being checked", days),
        Sight::Lost(since) => {
            let title = format!(
                "Nobody could look at the tables since {}",
                time_of_day(since, overview.now)
            );
            let more = format!("The look that is under way takes long. By the ledger {days}");
            return say("warn", "?", &title, more);
        }
    }
    let again = match stale {
        0 => String::new(),
        stale => format!(", {} of them to be filled again", number(stale)),
    };
    let more = if all_have_rows {
        format!(
            "Every wanted day of {} is filled{}: {}{again}.",
            counted(overview.enabled_teams, "team"),
            if stale == 0 { " and verified" } else { "" },
            counted(coverage.wanted, "day"),
        )
    } else {
        format!("{days}{again}; the others have no events yet")
    };
    say("good", "✓", "All is well", more)
}

/// What somebody paused, but for everything.
fn what_is_paused(overview: &Overview) -> Option<String> {
    let (teams, runs) = (overview.paused_teams, overview.paused_runs);
    let are = if teams + runs == 1 { "is" } else { "are" };
    match (teams, runs) {
        (0, 0) => None,
        (0, runs) => Some(format!("{} {are} paused", counted(runs, "run"))),
        (teams, 0) => Some(format!("{} {are} paused", counted(teams, "team"))),
        (teams, runs) => {
            let (teams, runs) = (counted(teams, "team"), counted(runs, "run"));
            Some(format!("{teams} and {runs} {are} paused"))
        }
    }
}

fn time_of_day(at: Timestamp, now: Timestamp) -> String {
    let format = if now.duration_since(at) < SignedDuration::from_hours(12) {
        "%H:%M UTC"
    } else {
        "%Y-%m-%d %H:%M UTC"
    };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Queue;
    use crate::report::{Coverage, Freshness};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Teams with the setting on, of whose days so many are filled.
    fn overview(wanted: u64, filled: u64) -> Overview {
        Overview {
            now: NOW,
            teams: 3,
            enabled_teams: 2,
            filled_teams: 0,
            failed_teams: 0,
            coverage: Coverage {
                wanted,
                filled,
                ..Coverage::default()
            },
            freshness: Freshness::default(),
            queue: Queue::default(),
            under_way: Vec::new(),
            failures: Vec::new(),
            misconfigured: Vec::new(),
            everything_is_paused: false,
            paused: Vec::new(),
            paused_teams: 0,
            paused_alone: Vec::new(),
            paused_runs: 0,
            warehouses: Vec::new(),
            tasks: Vec::new(),
        }
    }

    fn known(sight: Sight, answers: &[(&str, bool)]) -> Known {
        let answers = answers.iter();
        Known {
            look: None,
            sight,
            answers: answers
                .map(|(name, answers)| ((*name).to_owned(), *answers))
                .collect(),
        }
    }

    fn clear() -> Known {
        known(Sight::Clear, &[("default", true)])
    }

    #[track_caller]
    fn is_told(headline: &Headline, class: &str, title: &str, more: &str) {
        assert_eq!((headline.class, &*headline.title), (class, title));
        let plain = headline.more.replace('\u{a0}', " ");
        assert!(plain.contains(more), "{more:?} is not in {plain:?}");
    }

    #[test]
    fn nothing_is_well_that_nobody_could_look_at() {
        let filled = overview(8, 8);
        let verified = "Every wanted day of 2 teams is filled and verified: 8 days.";
        is_told(
            &headline(&filled, &clear(), 0),
            "good",
            "All is well",
            verified,
        );
        let looking = headline(&filled, &known(Sight::Looking, &[]), 0);
        is_told(
            &looking,
            "calm",
            "The tables are being checked",
            "8 of 8 days",
        );
        let since = NOW - SignedDuration::from_mins(5);
        let lost = headline(&filled, &known(Sight::Lost(since), &[]), 0);
        let title = "Nobody could look at the tables since 23:55 UTC";
        is_told(&lost, "warn", title, "By the ledger 8 of 8 days");
        let since = NOW - SignedDuration::from_hours(24);
        let lost = headline(&filled, &known(Sight::Lost(since), &[]), 0);
        let title = "Nobody could look at the tables since 1969-12-31 00:00 UTC";
        is_told(&lost, "warn", title, "By the ledger");
        // What was seen before does not matter where there is no sign of life.
        let one = known(Sight::Clear, &[("away", false), ("default", true)]);
        let silent = headline(&filled, &one, 1);
        is_told(
            &silent,
            "bad",
            "Warehouse away does not answer",
            "8 of 8 days",
        );
        let both = known(Sight::Clear, &[("away", false), ("default", false)]);
        let silent = headline(&filled, &both, 4);
        let more = "2 things need somebody besides. 8 of 8 days";
        is_told(&silent, "bad", "2 warehouses do not answer", more);
        is_told(
            &headline(&filled, &clear(), 1),
            "bad",
            "1 thing needs somebody",
            "8 of 8",
        );
    }

    #[test]
    fn days_to_be_filled_again_are_not_called_verified_and_many_of_them_are_not_well() {
        for (wanted, stale, title) in [
            (100, 1, "All is well"),
            // Of the few that there are, today's may all be.
            (20, 20, "All is well"),
            (420, 21, "All is well"),
            (419, 21, "Refilling: 21 of 419 days to go"),
            (300_000, 299_998, "Refilling: 299 998 of 300 000 days to go"),
        ] {
            let mut overview = overview(wanted, wanted);
            overview.coverage.stale = stale;
            let told = headline(&overview, &clear(), 0);
            assert_eq!(told.title.replace('\u{a0}', " "), title);
            assert!(!told.more.contains("verified"), "{told:?}");
            let class = if title == "All is well" {
                "good"
            } else {
                "calm"
            };
            assert_eq!(told.class, class, "{told:?}");
        }
        let mut some = overview(100, 90);
        some.coverage.waiting = 10;
        some.coverage.stale = 2;
        let more = "90 of 100 days filled, 90.0 %, 2 of them to be filled again; the others have no events yet";
        is_told(&headline(&some, &clear(), 0), "good", "All is well", more);
    }

    #[test]
    fn what_waits_for_a_pause_to_end_is_not_called_filling() {
        let mut overview = overview(8, 0);
        overview.queue.slices = 8;
        is_told(
            &headline(&overview, &clear(), 0),
            "calm",
            "Filling",
            "0 of 8",
        );
        overview.paused_runs = 1;
        is_told(
            &headline(&overview, &clear(), 0),
            "warn",
            "1 run is paused",
            "0 of 8",
        );
        overview.paused_teams = 1;
        let title = "1 team and 1 run are paused";
        is_told(&headline(&overview, &clear(), 0), "warn", title, "0 of 8");
        overview.coverage.running = 1;
        is_told(
            &headline(&overview, &clear(), 0),
            "calm",
            "Filling",
            "0 of 8",
        );
        // Days that are filled and kept from being filled again are not being refilled either.
        overview.coverage = Coverage {
            wanted: 40,
            filled: 40,
            stale: 30,
            ..Coverage::default()
        };
        overview.paused_runs = 2;
        overview.paused_teams = 0;
        is_told(
            &headline(&overview, &clear(), 0),
            "warn",
            "2 runs are paused",
            "40 of 40",
        );
    }
}
