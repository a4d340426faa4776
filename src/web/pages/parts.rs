//! What several pages are made of: states, times, commands, buttons, charts.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::error::Error;
use crate::ledger::Progress;
use crate::output::{self, printable};
use crate::report::Situation;

/// A space at which no line is broken.
const NO_BREAK: &str = "\u{a0}";

/// As [`output::number`], kept on one line.
pub fn number(value: impl TryInto<i128>) -> String {
    output::number(value).replace(' ', NO_BREAK)
}

/// As [`output::counted`], its number kept on one line.
pub fn counted(value: impl TryInto<i128>, thing: &str) -> String {
    let counted = output::counted(value, thing);
    let number = counted.len()
        - counted
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ' || c == '-')
            .len();
    let (number, thing) = counted.split_at(number);
    format!("{} {thing}", number.trim_end().replace(' ', NO_BREAK))
}

/// Text from outside, on one line of its own direction, its control characters told.
pub fn text(text: &str) -> Markup {
    html! { bdi { (printable(text)) } }
}

/// How a situation looks: a class for its colour, and a sign that tells it without one.
pub fn sign(situation: Situation) -> (&'static str, &'static str) {
    match situation {
        Situation::Filled => ("filled", "■"),
        Situation::Stale => ("stale", "◩"),
        Situation::Running => ("running", "►"),
        Situation::Queued => ("queued", "□"),
        Situation::Retrying => ("retrying", "↻"),
        Situation::Failed => ("failed", "✕"),
        Situation::Waiting => ("waiting", "…"),
        Situation::Paused => ("paused", "‖"),
        Situation::Held => ("held", "◇"),
        Situation::Cancelled => ("cancelled", "⊖"),
        Situation::Cleaned => ("cleaned", "∅"),
        Situation::Unplanned => ("unplanned", "+"),
        Situation::NotWanted => ("notwanted", "·"),
        Situation::NotThere => ("notthere", "–"),
        Situation::Misconfigured => ("misconfigured", "!"),
    }
}

/// Every situation, with what it means.
pub const LEGEND: [(Situation, &str); 15] = [
    (Situation::Filled, "verified against the raw events"),
    (Situation::Stale, "filled, and to be filled again"),
    (Situation::Running, "being filled now"),
    (
        Situation::Queued,
        "wanted, and claimed when a worker is free",
    ),
    (
        Situation::Retrying,
        "a try failed, and the next one is to come",
    ),
    (Situation::Failed, "no try worked: somebody has to look"),
    (Situation::Waiting, "no events yet, and some may come"),
    (
        Situation::Paused,
        "somebody paused it, its team or everything",
    ),
    (Situation::Held, "the setting is off"),
    (Situation::Cancelled, "its run was cancelled"),
    (Situation::Cleaned, "its rows were deleted on request"),
    (Situation::Unplanned, "wanted, and planned soon"),
    (Situation::NotWanted, "nobody wants it"),
    (Situation::NotThere, "the time zone has no such day"),
    (Situation::Misconfigured, "nobody can tell what is wanted"),
];

/// A situation in a word, with its sign.
pub fn state(situation: Situation) -> Markup {
    let (class, sign) = sign(situation);
    html! {
        span.state.{ "s-" (class) } { span.sign aria-hidden="true" { (sign) } " " (situation) }
    }
}

/// The state of a run or of a team in a word, with the sign of the situation that is nearest.
pub fn status(status: &str) -> Markup {
    let near = match status {
        "completed" | "filled" => Situation::Filled,
        "running" | "filling" => Situation::Running,
        "failed" => Situation::Failed,
        "paused" => Situation::Paused,
        "waiting" => Situation::Waiting,
        "refreshing" => Situation::Stale,
        "cancelled" => Situation::Cancelled,
        "off" => Situation::Held,
        "queued" => Situation::Queued,
        _ => Situation::Misconfigured,
    };
    let (class, sign) = sign(near);
    html! {
        span.state.{ "s-" (class) } { span.sign aria-hidden="true" { (sign) } " " (text(status)) }
    }
}

/// An instant, and how long ago that is.
pub fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let second = at.round(jiff::Unit::Second).unwrap_or(at);
    html! {
        time datetime=(second) title=(second) { (ago(now.duration_since(at))) }
    }
}

/// An instant in full, and how long ago that is.
pub fn full_moment(at: Timestamp, now: Timestamp) -> Markup {
    let second = at.round(jiff::Unit::Second).unwrap_or(at);
    html! {
        time datetime=(second) { (second.strftime("%Y-%m-%d %H:%M:%S UTC")) }
        " (" (ago(now.duration_since(at))) ")"
    }
}

/// `5 min ago`, `in 2 h`.
fn ago(passed: SignedDuration) -> String {
    let seconds = passed.as_secs();
    let (much, unit) = match seconds.unsigned_abs() {
        0..=1 => return "just now".to_owned(),
        seconds @ ..120 => (seconds, "s"),
        seconds @ ..7_200 => (seconds / 60, "min"),
        seconds @ ..172_800 => (seconds / 3_600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    if seconds < 0 {
        format!("in {much} {unit}")
    } else {
        format!("{much} {unit} ago")
    }
}

/// How long something takes.
pub fn length(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1_000.0),
        ..120.0 => format!("{seconds:.1} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// A command to run, to be copied.
pub fn command(command: &str) -> Markup {
    html! { code.command { (printable(command)) } }
}

/// A hint, its command set apart where it is one: `run prefill migrate`.
pub fn hint(hint: &str) -> Markup {
    match hint.split_once("run prefill ") {
        Some((before, after)) if !after.contains(", or ") => {
            // What stands in for a value is no part of the command.
            let words = after.find(" with an ").unwrap_or(after.len());
            let (run, words) = after.split_at(words);
            html! { (text(before)) "run " (command(&format!("prefill {run}"))) (text(words)) }
        }
        _ => text(hint),
    }
}

/// A button that changes something.
pub fn act(path: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.act action=(path) method="post" {
            @for (name, value) in fields {
                input type="hidden" name=(name) value=(value);
            }
            button type="submit" { (label) }
        }
    }
}

/// A button that asks before it changes something.
pub fn ask(path: &str, label: &str, question: &str, yes: &str) -> Markup {
    html! {
        details.ask {
            summary { (label) "…" }
            form action=(path) method="post" {
                p { (question) }
                button.danger type="submit" { (yes) }
            }
        }
    }
}

/// What went wrong beside the rest of a page.
pub fn trouble(what: &str, error: &Error) -> Markup {
    html! {
        div.note.bad {
            p { strong { (what) } }
            p.error-text { (text(&error.chain())) }
            @if let Some(next) = error.next_step() { p { (hint(next)) } }
        }
    }
}

/// What was done, told on the page after it.
pub fn said(code: &str) -> Option<&'static str> {
    Some(match code {
        "on" => "The setting is on: the team's days are being filled.",
        "off" => "The setting is off. What is filled stays, and is not kept fresh.",
        "paused" => "Paused. What is filled stays.",
        "resumed" => "Resumed.",
        "cancelled" => "Cancelled. What is filled stays and is kept fresh.",
        "retried" => "What failed is tried again.",
        "cleaned" => "The rows of the range are deleted, and the setting is off.",
        _ => return None,
    })
}

/// See [`said`].
pub fn flash(code: Option<&str>) -> Markup {
    html! {
        @if let Some(said) = code.and_then(said) { p.flash role="status" { (said) } }
    }
}

/// Of a run that asked for days which are all filled, or that the time zone does not have.
pub const NOTHING_TO_DO: &str = "nothing to do";

/// How far a run is: a bar, and the same in words.
pub fn progress(progress: &Progress) -> Markup {
    html! {
        @if progress.days == 0 {
            (NOTHING_TO_DO)
        } @else {
            span.progress {
                progress max=(progress.days) value=(progress.filled) aria-hidden="true" {}
                " " (number(progress.filled)) " of " (counted(progress.days, "day"))
                @if progress.failed > 0 { ", " strong { (number(progress.failed)) " failed" } }
            }
        }
    }
}

/// Bars of one number over time, the oldest first; nothing stands for a time without one. A table beside
/// it has the numbers.
pub fn bars(values: &[(String, Option<f64>)]) -> Markup {
    const HEIGHT: f64 = 60.0;
    let most = values.iter().filter_map(|(_, value)| *value);
    let most = most.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    html! {
        svg.bars viewBox={ "0 0 " (values.len().max(1) * 10) " 62" } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            @for (index, (name, value)) in values.iter().enumerate() {
                @match value {
                    Some(value) => {
                        @let height = (value / most * HEIGHT).max(1.0);
                        rect x=(index * 10 + 1) y=(format!("{:.1}", 62.0 - height)) width="8" height=(format!("{height:.1}")) {
                            title { (name) }
                        }
                    }
                    None => { rect.none x=(index * 10 + 1) y="60.5" width="8" height="1.5" { title { (name) } } }
                }
            }
        }
    }
}

/// A share of a hundred.
pub fn percent(share: f64) -> String {
    format!("{share:.1} %")
}
