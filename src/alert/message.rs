//! The messages: what they say, and how Slack has them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::decide::{Finding, Kind};

/// So many are told by name; the others are counted.
const NAMED: usize = 10;
/// The most characters of an issue: an error of ClickHouse can be longer than a message.
const MOST_OF_ISSUE: usize = 300;

/// What happened to what a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Failing,
    StillFailing,
    Resolved,
    Test,
}

impl Event {
    /// As messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::StillFailing => "still_failing",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// One thing that a message names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    #[serde(flatten)]
    pub about: Finding,
    pub since: Timestamp,
}

/// A message, as the generic webhook has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The same when it is sent again.
    pub id: Uuid,
    pub event: Event,
    /// Which prefill speaks.
    pub installation: String,
    pub timestamp: Timestamp,
    /// All of it in one line.
    pub title: String,
    /// The first ten.
    pub alerts: Vec<Told>,
    /// How many more there are.
    pub more: usize,
}

impl Message {
    /// One message for all that the same happened to.
    pub fn of(event: Event, mut told: Vec<Told>, installation: &str, now: Timestamp) -> Self {
        let title = format!("{installation}: {}", title(event, &told));
        let more = told.len().saturating_sub(NAMED);
        told.truncate(NAMED);
        for told in &mut told {
            told.about.issue = shortened(&told.about.issue);
        }
        Self {
            id: Uuid::new_v4(),
            event,
            installation: installation.to_owned(),
            timestamp: now,
            title,
            alerts: told,
            more,
        }
    }

    /// As Slack's incoming webhooks take it.
    pub fn slack(&self) -> Value {
        let section =
            |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
        let mut blocks = vec![section(format!("*{}*", escaped(&self.title)))];
        blocks.extend(
            self.alerts
                .iter()
                .map(|told| section(self.slack_line(told))),
        );
        if self.more > 0 {
            blocks.push(section(format!(
                "… and {} more: `prefill health` names them all",
                self.more
            )));
        }
        json!({ "text": escaped(&self.title), "blocks": blocks })
    }

    fn slack_line(&self, told: &Told) -> String {
        let subject = escaped(&subject(&told.about));
        if self.event == Event::Resolved {
            return format!("{subject}, since {}", told.since);
        }
        let issue = escaped(&told.about.issue);
        let mends = told.about.recommendation.as_deref().map(escaped);
        let mends = mends.map_or(String::new(), |mends| format!("\n{mends}"));
        format!("{subject}: {issue}{mends}")
    }
}

fn subject(about: &Finding) -> String {
    match about.kind {
        Kind::Health => "health".to_owned(),
        Kind::Warehouse => format!(
            "warehouse {}",
            about.warehouse.as_deref().unwrap_or_default()
        ),
        Kind::Team => {
            let id = about.team_id.map_or(String::new(), |id| id.to_string());
            match about.team_name.as_deref() {
                Some(name) => format!("team {id} ({name})"),
                None => format!("team {id}"),
            }
        }
    }
}

fn title(event: Event, told: &[Told]) -> String {
    let count = |kind| told.iter().filter(|told| told.about.kind == kind).count();
    let mut parts = Vec::new();
    if count(Kind::Health) > 0 {
        parts.push("nobody can tell how the teams are".to_owned());
    }
    for (count, one, many) in [
        (
            count(Kind::Warehouse),
            "1 warehouse cannot be used",
            "warehouses cannot be used",
        ),
        (
            count(Kind::Team),
            "1 team has days that are not right",
            "teams have days that are not right",
        ),
    ] {
        match count {
            0 => {}
            1 => parts.push(one.to_owned()),
            count => parts.push(format!("{count} {many}")),
        }
    }
    let all = parts.join(", ");
    match event {
        Event::Failing => all,
        Event::StillFailing => format!("still: {all}"),
        Event::Resolved => format!("over: {all}"),
        Event::Test => "a test: alerts arrive here".to_owned(),
    }
}

/// On one line, and not endless.
fn shortened(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    match text.char_indices().nth(MOST_OF_ISSUE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// What Slack takes for its own is escaped, or the name of a team could call everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::TeamId;

    fn told(id: i64, name: &str) -> Told {
        Told {
            about: Finding {
                kind: Kind::Team,
                team_id: Some(TeamId(id)),
                team_name: Some(name.to_owned()),
                warehouse: None,
                issue: "x".repeat(400),
                recommendation: Some(format!("run prefill backfill --team-id {id}")),
                being_filled: false,
                paused: false,
            },
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn twenty_five_teams_are_one_message_with_ten_and_the_number_of_the_rest() {
        let teams = (1..=25).map(|id| told(id, "Acme")).collect();
        let message = Message::of(Event::Failing, teams, "prod", Timestamp::UNIX_EPOCH);
        assert_eq!(message.title, "prod: 25 teams have days that are not right");
        assert_eq!((message.alerts.len(), message.more), (10, 15));
        let slack = message.slack();
        let blocks = slack["blocks"].as_array().expect("blocks");
        assert_eq!(blocks.len(), 12);
        let line = blocks[1]["text"]["text"].as_str().expect("text");
        assert!(line.starts_with("team 1 (Acme): xxx"), "{line}");
        assert!(
            line.ends_with("xx…\nrun prefill backfill --team-id 1"),
            "{line}"
        );
        let rest = blocks[11]["text"]["text"].as_str().expect("text");
        assert_eq!(rest, "… and 15 more: `prefill health` names them all");
    }

    #[test]
    fn the_name_of_a_team_calls_nobody() {
        let teams = vec![told(1, "<!channel> & <https://evil.test|Acme>")];
        let message = Message::of(Event::StillFailing, teams, "a<b", Timestamp::UNIX_EPOCH);
        let text = message.slack().to_string();
        assert!(!text.contains('<') && !text.contains('>'), "{text}");
        assert!(text.contains("&lt;!channel&gt; &amp; "), "{text}");
    }
}
