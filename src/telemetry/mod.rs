//! What is measured: one catalogue of metrics (`catalogue.rs`), and what records them.
//!
//! Whatever happens often is counted where it happens, by the recorder of the `metrics` crate that this
//! process has: [`install`] installs one for Prometheus, and a program that uses prefill as a library may
//! install its own. Where there is none, counting does nothing. What is true of a moment is no matter of a
//! recorder: it is asked for when somebody scrapes, and written on a [`Sheet`] of its own, so that what is
//! not known is not there, and never a value of an hour ago. Nothing here waits, fails, or knows what
//! the numbers are of.

mod catalogue;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::time::Instant;

pub use catalogue::*;

/// The recorder that [`install`] made.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// A unit of measure, which the name of a metric ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of what the name says.
    Number,
    Seconds,
    Bytes,
    /// From 0 to 1.
    Ratio,
}

impl Unit {
    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio, 0 to 1",
        }
    }
}

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a restart.
    Counter,
    /// What is so at the moment of the scrape.
    Gauge,
    /// How many were of which size.
    Histogram,
}

impl Kind {
    /// As Prometheus has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as the catalogue lists it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// A metric with its labels, of which each has a value in whatever is recorded.
#[derive(Debug)]
pub struct Metric<const LABELS: usize> {
    name: &'static str,
    labels: [&'static str; LABELS],
}

impl<const LABELS: usize> Metric<LABELS> {
    fn key(&self, values: [&str; LABELS]) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels: Vec<Label> = labels
            .map(|(name, value)| Label::new(*name, SharedString::from(value.to_owned())))
            .collect();
        Key::from_parts(self.name, labels)
    }
}

/// Counts what happens.
#[derive(Debug)]
pub struct Counter<const LABELS: usize>(Metric<LABELS>);

impl<const LABELS: usize> Counter<LABELS> {
    /// So many more; with 0 it begins to be there.
    pub fn add(&self, labels: [&str; LABELS], more: u64) {
        let key = self.0.key(labels);
        metrics::with_recorder(|recorder| {
            recorder.register_counter(&key, &METADATA).increment(more)
        });
    }
}

/// Keeps how large things were.
#[derive(Debug)]
pub struct Histogram<const LABELS: usize>(Metric<LABELS>);

impl<const LABELS: usize> Histogram<LABELS> {
    /// One of these took so long.
    pub fn observe(&self, labels: [&str; LABELS], time: Duration) {
        let key = self.0.key(labels);
        metrics::with_recorder(|recorder| {
            recorder
                .register_histogram(&key, &METADATA)
                .record(time.as_secs_f64());
        });
    }

    /// Does something, and keeps how long it took, well done or not; what is dropped half done counts
    /// nothing.
    pub fn timed<'a, T>(
        &'a self,
        labels: [&'a str; LABELS],
        work: impl Future<Output = T> + Send + 'a,
    ) -> impl Future<Output = T> + Send + 'a {
        // Calls are deep: where each held the next one, a thread's stack would not do without optimisation.
        let work = Box::pin(work);
        async move {
            let begun = Instant::now();
            let done = work.await;
            self.observe(labels, begun.elapsed());
            done
        }
    }
}

/// What is so at the moment of a scrape; see [`Sheet::set`].
#[derive(Debug)]
pub struct Gauge<const LABELS: usize>(Metric<LABELS>);

/// The values of one moment.
pub struct Sheet(PrometheusRecorder);

impl Default for Sheet {
    fn default() -> Self {
        Self(recorder())
    }
}

impl Sheet {
    /// The value of a gauge.
    pub fn set<const LABELS: usize>(
        &self,
        gauge: &Gauge<LABELS>,
        labels: [&str; LABELS],
        value: f64,
    ) {
        let gauge = self.0.register_gauge(&gauge.0.key(labels), &METADATA);
        gauge.set(value);
    }

    /// What a counter that the ledger keeps has come to.
    pub fn total<const LABELS: usize>(
        &self,
        counter: &Counter<LABELS>,
        labels: [&str; LABELS],
        total: u64,
    ) {
        let counter = self.0.register_counter(&counter.0.key(labels), &METADATA);
        counter.absolute(total);
    }

    /// In Prometheus' text format, with all that this process has recorded so far, in the order of
    /// the names.
    pub fn with_recorded(&self) -> String {
        let recorded = INSTALLED.get().map(PrometheusHandle::render);
        in_order(&[recorded.unwrap_or_default(), self.0.handle().render()])
    }
}

/// One that knows the catalogue.
fn recorder() -> PrometheusRecorder {
    let builder = BUCKETS
        .iter()
        .fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
            builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                .expect("there is at least one bucket")
        });
    let recorder = builder.build_recorder();
    for entry in CATALOGUE {
        let (name, help) = (entry.name.into(), entry.help.into());
        match entry.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }
    recorder
}

/// Begins to record, for the rest of this process. Where there is a recorder already, prefill's counts
/// are that one's.
pub fn install() {
    let recorder = recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        INSTALLED.get_or_init(|| handle);
    }
}

/// How often what was observed is summed up where nobody scrapes: until then each observation takes
/// memory of its own.
pub const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Sums up what was observed, see [`SUM_UP_EVERY`].
pub fn sum_up() {
    if let Some(handle) = INSTALLED.get() {
        handle.run_upkeep();
    }
}

/// The families of some texts, each with its series in order; the recorder has them in any.
fn in_order(texts: &[String]) -> String {
    let mut families: Vec<Vec<&str>> = texts
        .iter()
        .flat_map(|text| text.split("\n\n"))
        .map(|family| family.lines().collect::<Vec<_>>())
        .filter(|family| !family.is_empty())
        .collect();
    for family in &mut families {
        // The buckets of a histogram are in order as they are: by their number, not its text.
        let is_histogram = family.iter().any(|line| line.ends_with(" histogram"));
        let (about, series): (Vec<&str>, Vec<&str>) =
            family.iter().partition(|line| line.starts_with('#'));
        let mut series = series;
        if !is_histogram {
            series.sort_unstable();
        }
        *family = about;
        family.extend(series);
    }
    families.sort_unstable();
    let mut text = String::new();
    for line in families.iter().flatten() {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus_and_labels_are_few() {
        let mut names = BTreeSet::new();
        for entry in CATALOGUE {
            let Entry {
                name,
                kind,
                unit,
                labels,
                help,
            } = *entry;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("prefill_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            let measure = name.trim_end_matches("_total");
            for (suffix, of) in [
                ("_seconds", Unit::Seconds),
                ("_bytes", Unit::Bytes),
                ("_ratio", Unit::Ratio),
            ] {
                assert_eq!(measure.ends_with(suffix), unit == of, "{name}");
            }
            assert!(
                help.ends_with('.') && !help.contains('\n'),
                "{name}: {help}"
            );
            assert!(labels.len() <= 3, "{name}");
            // Ten thousand teams would be ten thousand series of each.
            assert!(labels.iter().all(|label| !label.contains("team")), "{name}");
            assert_eq!(
                kind == Kind::Histogram,
                BUCKETS.iter().any(|(of, _)| *of == name),
                "{name}"
            );
        }
    }

    #[test]
    fn a_sheet_holds_what_was_written_on_it_in_the_order_of_the_names() {
        let sheet = Sheet::default();
        sheet.set(&WAREHOUSE_UP, ["b"], 0.0);
        sheet.set(&WAREHOUSE_UP, ["a \"quoted\""], 1.0);
        sheet.set(&COVERAGE, ["a"], 0.5);
        sheet.total(&GOVERNOR_WAITED, ["a"], 7);
        let text = in_order(&[sheet.0.handle().render()]);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "prefill_coverage_ratio{warehouse=\"a\"} 0.5",
                "prefill_governor_waited_seconds_total{warehouse=\"a\"} 7",
                "prefill_warehouse_up{warehouse=\"a \\\"quoted\\\"\"} 1",
                "prefill_warehouse_up{warehouse=\"b\"} 0",
            ]
        );
        for kind in [
            "prefill_coverage_ratio gauge",
            "prefill_governor_waited_seconds_total counter",
        ] {
            assert!(text.contains(&format!("# TYPE {kind}\n")), "{text}");
        }
    }

    #[test]
    fn buckets_stay_in_the_order_of_their_bounds() {
        let recorder = recorder();
        metrics::with_local_recorder(&recorder, || {
            for milliseconds in [2, 40, 9_000, 900_000] {
                TRIGGER_LATENCY.observe([], Duration::from_millis(milliseconds));
            }
        });
        let text = in_order(&[recorder.handle().render()]);
        let counts: Vec<u64> = text
            .lines()
            .filter(|line| line.contains("_bucket"))
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .expect("a value")
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert!(counts.is_sorted(), "{text}");
        assert_eq!(counts.last(), Some(&4), "{text}");
        assert!(
            text.contains("prefill_trigger_latency_seconds_count 4\n"),
            "{text}"
        );
    }
}
