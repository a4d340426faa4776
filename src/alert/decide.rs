//! What is told of what is wrong: a plain function of what was known and what is seen now.
//!
//! Something has to be seen for a while before it is told, and not to be seen for as long before it is told
//! to be over. In between nothing is said, so that what comes and goes is told at most that often. What
//! cannot be seen right now (of a warehouse that does not answer) stays as it was. Days that only wait for
//! their turn have a day's time, as long as their warehouse is at work, and so have those that are paused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::{Event, Told};
use crate::calendar::TeamId;
use crate::ledger::Known;
use crate::report::Health;

/// What is wrong with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nobody can tell how the teams are.
    Health,
    /// A warehouse cannot be used.
    Warehouse,
    /// A team has no data, or gaps.
    Team,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub team_id: Option<TeamId>,
    pub team_name: Option<String>,
    pub warehouse: Option<String>,
    pub issue: String,
    /// What mends it, with the command.
    pub recommendation: Option<String>,
    /// Nothing is wrong but that its days are not filled yet, and others on its warehouse are.
    pub being_filled: bool,
    /// Nothing is wrong but that somebody paused what would fill its days.
    #[serde(default)]
    pub paused: bool,
}

impl Finding {
    /// Whether it has more time before it is told.
    fn may_take_long(&self) -> bool {
        self.being_filled || self.paused
    }

    fn key(&self) -> String {
        match (self.kind, self.team_id, &self.warehouse) {
            (Kind::Team, Some(team), _) => format!("team:{team}"),
            (Kind::Warehouse, _, Some(name)) => format!("warehouse:{name}"),
            _ => "health".to_owned(),
        }
    }
}

/// What is wrong right now, as far as that can be seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub findings: Vec<Finding>,
    /// Of the teams of these warehouses nobody can tell.
    pub dark_warehouses: BTreeSet<String>,
    /// Of teams that are not among the findings nobody can tell.
    pub dark_teams: bool,
}

impl Seen {
    /// What a look at the health of all teams says.
    pub fn of(health: &Health) -> Self {
        let mut seen = Self {
            dark_teams: health.days_not_looked_at > 0,
            ..Self::default()
        };
        for warehouse in &health.warehouses {
            let Some(error) = &warehouse.error else {
                continue;
            };
            seen.dark_warehouses.insert(warehouse.name.clone());
            seen.findings.push(Finding {
                kind: Kind::Warehouse,
                team_id: None,
                team_name: None,
                warehouse: Some(warehouse.name.clone()),
                issue: error.clone(),
                recommendation: warehouse.hint.clone(),
                being_filled: false,
                paused: false,
            });
        }
        let missing = health
            .teams_missing_data
            .iter()
            .map(|team| (team.team_id, &team.team_name, &team.issue, &team.mending));
        let gaps = health
            .data_gaps_detected
            .iter()
            .map(|team| (team.team_id, &team.team_name, &team.issue, &team.mending));
        for (id, name, issue, mending) in missing.chain(gaps) {
            seen.findings.push(Finding {
                kind: Kind::Team,
                team_id: Some(id),
                team_name: Some(name.clone()),
                warehouse: mending.warehouse.clone(),
                issue: issue.clone(),
                recommendation: Some(mending.recommendation.clone()),
                being_filled: mending.being_filled,
                paused: mending.paused,
            });
        }
        seen
    }

    /// Nobody can tell how the teams are, and this is why.
    pub fn nothing(why: String, hint: Option<&str>) -> Self {
        Self {
            findings: vec![Finding {
                kind: Kind::Health,
                team_id: None,
                team_name: None,
                warehouse: None,
                issue: why,
                recommendation: hint.map(ToOwned::to_owned),
                being_filled: false,
                paused: false,
            }],
            dark_warehouses: BTreeSet::new(),
            dark_teams: true,
        }
    }

    /// Whether it can be told that something is over, now that it is not among the findings.
    fn can_tell_of(&self, about: &Finding) -> bool {
        match about.kind {
            Kind::Health => true,
            // Of the warehouses nobody can tell where the look itself failed.
            Kind::Warehouse => self.findings.iter().all(|seen| seen.kind != Kind::Health),
            Kind::Team => {
                let is_dark = |name: &String| self.dark_warehouses.contains(name);
                !self.dark_teams && !about.warehouse.as_ref().is_some_and(is_dark)
            }
        }
    }
}

/// How soon and how often something is told.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long something is seen before it is told, and not seen before that is told.
    pub lasts: Duration,
    /// How long days may be on their way before that is told.
    pub slow: Duration,
    /// How often it is told again while it lasts.
    pub repeat: Duration,
}

/// What follows from a look.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What is new or has changed.
    pub known: Vec<Known>,
    /// Keys of what is over.
    pub over: Vec<String>,
    /// What is told, warehouses first and then teams in their order; each of them once.
    pub told: Vec<(Event, Vec<Told>)>,
}

/// Decides what is told.
pub fn decide(previous: &[Known], seen: &Seen, now: Timestamp, rules: Rules) -> Decision {
    let mut before: BTreeMap<&str, &Known> = previous
        .iter()
        .map(|known| (known.key.as_str(), known))
        .collect();
    let mut decision = Decision::default();
    let (mut new, mut again, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let mut all: Vec<(Known, &Finding)> = Vec::new();
    for finding in &seen.findings {
        let key = finding.key();
        let about = serde_json::to_string(finding).unwrap_or_default();
        let known = match before.get(key.as_str()) {
            Some(known) => Known {
                about,
                // It was never told to be over.
                gone_since: None,
                ..(*known).clone()
            },
            None => Known {
                key,
                about,
                since: now,
                moved_at: None,
                gone_since: None,
                told_at: None,
            },
        };
        all.push((moved(known, finding, now, rules), finding));
    }
    let is_due = |known: &Known| {
        known
            .told_at
            .is_some_and(|told_at| has_lasted(told_at, now, rules.repeat))
    };
    // All that lasts is told together, and not each at the hour at which it was told first.
    let repeats = all.iter().any(|(known, _)| is_due(known));
    for (mut known, finding) in all {
        let told = Told {
            about: finding.clone(),
            since: known.since,
        };
        if known.told_at.is_none() && is_ripe(&known, finding, now, rules) {
            known.told_at = Some(now);
            new.push(told);
        } else if repeats && known.told_at.is_some() {
            known.told_at = Some(now);
            again.push(told);
        }
        let was = before.remove(known.key.as_str());
        if was != Some(&known) {
            decision.known.push(known);
        }
    }
    for known in before.into_values() {
        // What an older version wrote and nobody can read any more is forgotten.
        let Ok(about) = serde_json::from_str::<Finding>(&known.about) else {
            decision.over.push(known.key.clone());
            continue;
        };
        if !seen.can_tell_of(&about) {
            continue;
        }
        let gone_since = known.gone_since.unwrap_or(now);
        if known.told_at.is_none() {
            decision.over.push(known.key.clone());
        } else if has_lasted(gone_since, now, rules.lasts) {
            decision.over.push(known.key.clone());
            over.push(Told {
                about,
                since: known.since,
            });
        } else if known.gone_since.is_none() {
            decision.known.push(Known {
                gone_since: Some(now),
                ..known.clone()
            });
        }
    }
    for (event, mut told) in [
        (Event::Failing, new),
        (Event::StillFailing, again),
        (Event::Resolved, over),
    ] {
        if !told.is_empty() {
            told.sort_by_key(|told| (told.about.kind, told.about.team_id));
            decision.told.push((event, told));
        }
    }
    decision
}

/// Notes that something is on its way, not at each look but often enough.
fn moved(known: Known, finding: &Finding, now: Timestamp, rules: Rules) -> Known {
    let is_noted = known
        .moved_at
        .is_some_and(|moved_at| !has_lasted(moved_at, now, rules.lasts / 4));
    match finding.may_take_long() && !is_noted {
        true => Known {
            moved_at: Some(now),
            ..known
        },
        false => known,
    }
}

/// Whether something has lasted long enough to be told. What is on its way has more time, and between two
/// claims nothing runs for a moment: so it counts from when it was last seen to be on its way.
fn is_ripe(known: &Known, finding: &Finding, now: Timestamp, rules: Rules) -> bool {
    let rests_since = known.moved_at.map_or(known.since, |at| at.max(known.since));
    let rests = !finding.may_take_long() && has_lasted(rests_since, now, rules.lasts);
    let is_slow = finding.may_take_long() || known.moved_at.is_some();
    rests || (is_slow && has_lasted(known.since, now, rules.slow))
}

fn has_lasted(since: Timestamp, now: Timestamp, time: Duration) -> bool {
    SignedDuration::try_from(time).is_ok_and(|time| now.duration_since(since) >= time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        lasts: Duration::from_secs(300),
        slow: Duration::from_secs(86_400),
        repeat: Duration::from_secs(14_400),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).expect("an instant")
    }

    fn team(id: i64) -> Finding {
        Finding {
            kind: Kind::Team,
            team_id: Some(TeamId(id)),
            team_name: Some(format!("Team {id}")),
            warehouse: Some("default".to_owned()),
            issue: "1 day is failed".to_owned(),
            recommendation: Some(format!("run prefill backfill --team-id {id}")),
            being_filled: false,
            paused: false,
        }
    }

    fn warehouse(name: &str) -> Finding {
        Finding {
            kind: Kind::Warehouse,
            team_id: None,
            team_name: None,
            warehouse: Some(name.to_owned()),
            issue: "it does not answer".to_owned(),
            recommendation: None,
            being_filled: false,
            paused: false,
        }
    }

    fn on_its_way(id: i64) -> Finding {
        Finding {
            being_filled: true,
            ..team(id)
        }
    }

    fn paused(id: i64) -> Finding {
        Finding {
            paused: true,
            ..team(id)
        }
    }

    fn seen(findings: &[Finding]) -> Seen {
        Seen {
            findings: findings.to_vec(),
            ..Seen::default()
        }
    }

    /// What the ledger keeps from one look to the next.
    #[derive(Default)]
    struct Kept(BTreeMap<String, Known>);

    impl Kept {
        /// Looks; what was told, as `failing 7,8`.
        fn look(&mut self, seconds: i64, seen: &Seen) -> Vec<String> {
            let previous: Vec<Known> = self.0.values().cloned().collect();
            let decision = decide(&previous, seen, at(seconds), RULES);
            for known in decision.known {
                self.0.insert(known.key.clone(), known);
            }
            for key in decision.over {
                self.0.remove(&key);
            }
            let name = |told: &Told| match told.about.team_id {
                Some(team) => team.to_string(),
                None => told.about.warehouse.clone().unwrap_or_default(),
            };
            decision
                .told
                .iter()
                .map(|(event, told)| {
                    let names: Vec<String> = told.iter().map(name).collect();
                    format!("{} {}", event.name(), names.join(","))
                })
                .collect()
        }
    }

    #[test]
    fn what_lasts_is_told_once_repeated_and_told_to_be_over() {
        let mut kept = Kept::default();
        let wrong = seen(&[team(7)]);
        let silent: Vec<String> = Vec::new();
        assert_eq!(kept.look(0, &wrong), silent);
        assert_eq!(kept.look(299, &wrong), silent);
        assert_eq!(kept.look(300, &wrong), ["failing 7"]);
        assert_eq!(kept.look(360, &wrong), silent);
        assert_eq!(kept.look(14_699, &wrong), silent);
        assert_eq!(kept.look(14_700, &wrong), ["still_failing 7"]);
        let right = seen(&[]);
        assert_eq!(kept.look(14_760, &right), silent);
        assert_eq!(kept.look(15_060, &right), ["resolved 7"]);
        assert!(kept.0.is_empty());
    }

    #[test]
    fn what_comes_and_goes_is_told_once() {
        let mut kept = Kept::default();
        let (wrong, right) = (seen(&[team(7)]), seen(&[]));
        for n in 0..20 {
            assert!(kept.look(n * 120, &wrong).is_empty(), "too young each time");
            assert!(kept.look(n * 120 + 60, &right).is_empty());
        }
        kept.look(3_000, &wrong);
        assert_eq!(kept.look(3_300, &wrong), ["failing 7"]);
        for n in 0..20 {
            let from = 3_360 + n * 120;
            assert!(kept.look(from, &right).is_empty());
            assert!(kept.look(from + 60, &wrong).is_empty());
        }
        let since = kept.0["team:7"].since;
        assert_eq!(since, at(3_000), "it is one failure all the time");
    }

    #[test]
    fn what_is_on_its_way_is_told_when_it_takes_a_day_or_rests() {
        let mut kept = Kept::default();
        let (moves, rests) = (seen(&[on_its_way(7)]), seen(&[team(7)]));
        for n in 0..1_440 {
            // Now and then nothing runs at the moment of a look.
            let look = if n % 3 == 2 { &rests } else { &moves };
            assert!(kept.look(n * 60, look).is_empty(), "{n}");
        }
        assert_eq!(kept.look(86_400, &moves), ["failing 7"], "it is a day");

        let mut kept = Kept::default();
        kept.look(0, &moves);
        kept.look(6_000, &moves);
        kept.look(6_060, &rests);
        assert!(kept.look(6_290, &rests).is_empty());
        assert_eq!(kept.look(6_300, &rests), ["failing 7"], "nobody fills it");
        // Somebody does, which is not the end of it.
        for n in 0..20 {
            assert!(kept.look(6_360 + n * 60, &moves).is_empty());
        }
        let right = seen(&[]);
        kept.look(7_600, &right);
        assert_eq!(kept.look(7_900, &right), ["resolved 7"]);
    }

    #[test]
    fn what_is_paused_is_told_when_it_takes_a_day_or_when_nobody_fills_it_afterwards() {
        let mut kept = Kept::default();
        for n in 0..1_440 {
            assert!(kept.look(n * 60, &seen(&[paused(7)])).is_empty(), "{n}");
        }
        assert_eq!(kept.look(86_400, &seen(&[paused(7)])), ["failing 7"]);

        let mut kept = Kept::default();
        kept.look(0, &seen(&[paused(7)]));
        kept.look(6_000, &seen(&[paused(7)]));
        assert!(kept.look(6_299, &seen(&[team(7)])).is_empty());
        assert_eq!(kept.look(6_300, &seen(&[team(7)])), ["failing 7"]);
    }

    #[test]
    fn what_is_told_again_is_told_together_and_warehouses_come_first() {
        let mut kept = Kept::default();
        let first = seen(&[team(9), warehouse("eu")]);
        kept.look(0, &first);
        assert_eq!(kept.look(300, &first), ["failing eu,9"]);
        let all = seen(&[team(9), team(8), warehouse("eu")]);
        kept.look(600, &all);
        assert_eq!(kept.look(900, &all), ["failing 8"]);
        assert_eq!(kept.look(14_700, &all), ["still_failing eu,8,9"]);
        assert!(kept.look(15_300, &all).is_empty());
    }

    #[test]
    fn of_teams_whose_warehouse_is_down_nothing_is_over() {
        let mut kept = Kept::default();
        let wrong = seen(&[team(7)]);
        kept.look(0, &wrong);
        kept.look(300, &wrong);
        let dark = Seen {
            dark_warehouses: BTreeSet::from(["default".to_owned()]),
            ..seen(&[warehouse("default")])
        };
        kept.look(360, &dark);
        assert_eq!(kept.look(4_000, &dark), ["failing default"]);
        // Then nobody can tell of anything.
        let nothing = Seen::nothing("no ledger".to_owned(), None);
        kept.look(4_060, &nothing);
        assert_eq!(kept.look(8_000, &nothing), ["failing "]);
        let right = seen(&[]);
        kept.look(8_060, &right);
        assert_eq!(kept.look(9_000, &right), ["resolved ,default,7"]);
    }

    proptest! {
        /// Whatever happens, each is told of alternately: failing, then over; and nothing is told that
        /// was not there for long enough.
        #[test]
        fn failing_and_over_take_turns(looks in proptest::collection::vec((1_i64..400, proptest::collection::btree_set(1_i64..4, 0..3)), 1..80)) {
            let mut kept = Kept::default();
            let mut now = 0;
            let mut is_told: BTreeSet<String> = BTreeSet::new();
            let mut there_since: BTreeMap<i64, i64> = BTreeMap::new();
            for (wait, teams) in looks {
                now += wait;
                there_since.retain(|team, _| teams.contains(team));
                for team in &teams {
                    there_since.entry(*team).or_insert(now);
                }
                let findings: Vec<Finding> = teams.iter().map(|id| team(*id)).collect();
                for told in kept.look(now, &seen(&findings)) {
                    let (event, names) = told.split_once(' ').expect("two words");
                    for name in names.split(',') {
                        let id: i64 = name.parse().expect("a team");
                        match event {
                            "failing" => {
                                prop_assert!(is_told.insert(name.to_owned()), "{name} twice");
                                prop_assert!(now - there_since[&id] >= 300);
                            }
                            "still_failing" => prop_assert!(is_told.contains(name)),
                            _ => {
                                prop_assert!(is_told.remove(name), "{name} was not told");
                                prop_assert!(!teams.contains(&id));
                            }
                        }
                    }
                }
            }
        }
    }
}
