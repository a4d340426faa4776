//! Random operations under random faults, and after each run the tables and the ledger against the
//! model. Every draw comes from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use prefill::calendar::{TeamId, Zone};
use prefill::config::DEFAULT_WAREHOUSE;
use prefill::event::Event;
use prefill::freshness;
use prefill::ledger::{State, TeamChange};
use prefill::load::Load;
use prefill::request::Asked;
use prefill::service::Prefill;
use prefill::worker::Step;
use tokio_util::sync::CancellationToken;

use crate::model::{Held, Kept, Model, Team, bucket};
use crate::rig::Rig;
use crate::support::page_view;
use crate::{ledger, warehouse};

/// Runs on the same teams; then all is emptied, and other teams begin.
const RUNS_OF_TEAMS: usize = 25;
/// How long a process that was broken may hang around before it is killed.
const PATIENCE: Duration = Duration::from_secs(8);
const ZONES: [&str; 4] = ["UTC", "America/St_Johns", "Asia/Kathmandu", "Asia/Kolkata"];
/// With the day on which St. John's sets its clocks forward.
const FIRST: Date = Date::constant(2026, 3, 7);
const DAYS: u64 = 4;

/// Numbers that a seed gives (splitmix64: <https://prng.di.unimi.it/splitmix64.c>).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.roll() % most
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("small")
    }
}

/// What people, senders of events and others do.
#[derive(Clone)]
enum Operation {
    /// Turns the setting on where it is off.
    Fill {
        team: i64,
        from: Date,
        until: Date,
        force: bool,
    },
    Bring(Vec<Event>),
    Enable(i64),
    Disable(i64),
    Clean {
        team: i64,
        from: Date,
        until: Date,
    },
    Move(i64, &'static str),
    /// Behind prefill's back: a day's rows are gone, or there twice.
    Delete(i64, Date),
    Double(i64, Date),
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fill {
                team,
                from,
                until,
                force,
            } => write!(
                f,
                "fill {team} {from}..{until}{}",
                if *force { " again" } else { "" }
            ),
            Self::Bring(events) => {
                write!(f, "bring")?;
                for event in events {
                    let at = Timestamp::from_microsecond(event.timestamp).unwrap_or_default();
                    write!(f, " {}/{}@{at}", event.team_id, event.session_id)?;
                }
                Ok(())
            }
            Self::Enable(team) => write!(f, "enable {team}"),
            Self::Disable(team) => write!(f, "disable {team}"),
            Self::Clean { team, from, until } => write!(f, "clean {team} {from}..{until}"),
            Self::Move(team, zone) => write!(f, "move {team} to {zone}"),
            Self::Delete(team, day) => write!(f, "delete {team} {day}"),
            Self::Double(team, day) => write!(f, "double {team} {day}"),
        }
    }
}

fn asked(from: Date, until: Date) -> Asked {
    let day = |date: Date| date.to_string().parse().expect("a date");
    Asked {
        days: None,
        date_start: Some(day(from)),
        date_end: Some(day(until)),
    }
}

/// What a session was begun with: later events of it are near.
#[derive(Clone)]
struct Session {
    team: i64,
    id: String,
    begun: Timestamp,
}

/// What was done and found.
#[derive(Default)]
pub struct Tally {
    pub runs: usize,
    pub broken: usize,
    pub restarts: usize,
    pub rounds: usize,
    pub answers: AtomicU64,
    pub of_old: AtomicU64,
    pub checked: usize,
    pub operations: BTreeMap<&'static str, usize>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} runs, {} of them broken, {} restarts, {} rounds to settle, {} buckets compared; {} answers of readers \
             while broken, all old or new ({} old where they differ)",
            self.runs,
            self.broken,
            self.restarts,
            self.rounds,
            self.checked,
            self.answers.load(Ordering::Relaxed),
            self.of_old.load(Ordering::Relaxed)
        )
    }
}

pub struct Sequence {
    rig: Rig,
    disturbed: Prefill,
    dice: Dice,
    model: Model,
    sessions: Vec<Session>,
    /// What the tables held after the last run.
    seen: BTreeMap<(i64, i64), Held>,
    /// Teams with the setting off whose rows were not followed since.
    loose: BTreeSet<i64>,
    pub tally: Tally,
    named: u64,
}

impl Sequence {
    pub async fn new() -> Self {
        let rig = Rig::new().await;
        Self {
            disturbed: rig.open().await,
            rig,
            dice: Dice::new(0),
            model: Model::default(),
            sessions: Vec::new(),
            seen: BTreeMap::new(),
            loose: BTreeSet::new(),
            tally: Tally::default(),
            named: 0,
        }
    }

    pub fn injected(&self) -> BTreeMap<String, u64> {
        self.rig.process.injected()
    }

    /// Runs until `most` of them were broken, here and by those who share the count, each batch of
    /// teams by a seed of its own, which is `seed` and those after it.
    pub async fn go(&mut self, seed: u64, most: usize, broken: &AtomicUsize) {
        let mut seed = seed;
        while broken.load(Ordering::SeqCst) < most {
            self.begin(seed).await;
            for run in 0..RUNS_OF_TEAMS {
                let before = self.tally.broken;
                let told = Box::pin(self.run()).await.err();
                let now = self.tally.broken - before;
                let broken = broken.fetch_add(now, Ordering::SeqCst) + now;
                if let Some(told) = told {
                    panic!(
                        "PREFILL_FAULTS_SEED={seed} cargo test --test faults random: run {run}: {told}"
                    );
                }
                if broken >= most {
                    break;
                }
            }
            if let Err(told) = self.end().await {
                panic!("PREFILL_FAULTS_SEED={seed} cargo test --test faults random: {told}");
            }
            println!("seed {seed}: {}", self.tally);
            seed += 1;
        }
    }

    /// Other teams, with some days filled; the last one has the setting off.
    async fn begin(&mut self, seed: u64) {
        self.rig.empty().await;
        self.dice = Dice::new(seed);
        self.model = Model::default();
        self.sessions.clear();
        self.loose.clear();
        self.seen.clear();
        for (team, zone) in (1..).zip(ZONES) {
            self.rig.world.team(team, zone).await;
            let on = Team {
                zone,
                enabled: false,
                days: BTreeMap::new(),
            };
            self.model.teams.insert(team, on);
        }
        let mut events = Vec::new();
        for team in 1..=4 {
            for day in 0..DAYS {
                for _ in 0..=self.dice.below(2) {
                    events.extend(self.session(team, day));
                }
            }
        }
        let mut operations = vec![Operation::Bring(events)];
        for team in 1..=3 {
            operations.push(Operation::Fill {
                team,
                from: FIRST,
                until: FIRST + 3.days(),
                force: false,
            });
        }
        let stop = CancellationToken::new();
        for operation in &operations {
            let done = apply(&self.rig, &self.rig.world.prefill, operation, &stop).await;
            done.expect("undisturbed");
            self.note(operation);
        }
        self.rig.settle().await.expect("undisturbed");
        self.check().await.expect("undisturbed");
        self.rig.hour_passes().await;
    }

    /// At the end of a batch of teams: an undisturbed fill of everything from nothing changes nothing.
    async fn end(&mut self) -> Result<(), String> {
        let stop = CancellationToken::new();
        let teams: Vec<i64> = self.model.teams.keys().copied().collect();
        for team in &teams {
            let operation = Operation::Enable(*team);
            apply(&self.rig, &self.rig.world.prefill, &operation, &stop).await?;
            self.note(&operation);
        }
        self.rig.settle().await?;
        self.check().await?;
        let broken = self.rig.world.tables().await;
        for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
            let text = format!("truncate table {table}");
            self.rig.world.query(&text).await;
        }
        self.rig.settle().await?;
        self.check().await?;
        if self.rig.world.tables().await != broken {
            return Err(format!(
                "the tables differ from those of an undisturbed installation:\n{broken}"
            ));
        }
        Ok(())
    }

    fn session(&mut self, team: i64, day: u64) -> Vec<Event> {
        self.named += 1;
        let id = format!("{team}-{}", self.named);
        let zone = self.model.teams[&team].zone;
        let day = FIRST + i64::try_from(day).expect("small").days();
        let begin = bucket(zone, day);
        let minute = i64::try_from(self.dice.below(1_380)).expect("small");
        let begun = Timestamp::from_second(begin + minute * 60).expect("an instant");
        self.sessions.push(Session {
            team,
            id: id.clone(),
            begun,
        });
        let person = u128::from(1 + self.dice.below(4));
        let mut events = vec![self.event(team, person, &id, begun)];
        for _ in 0..self.dice.below(3) {
            let later = begun + self.seconds(40);
            events.push(self.event(team, person, &id, later));
        }
        events
    }

    fn seconds(&mut self, most: u64) -> jiff::SignedDuration {
        let micros = self.dice.below(most * 1_000_000);
        jiff::SignedDuration::from_micros(i64::try_from(micros).expect("small"))
    }

    fn event(&mut self, team: i64, person: u128, session: &str, at: Timestamp) -> Event {
        let path = self.dice.pick(&["/", "/pricing", "/docs"]);
        let mut event = page_view(TeamId(team), person, session, &at.to_string(), path);
        match self.dice.below(8) {
            0 => "$autocapture".clone_into(&mut event.event),
            1 => "signed up".clone_into(&mut event.event),
            2 => "$screen".clone_into(&mut event.event),
            _ => {}
        }
        event
    }

    fn draw(&mut self) -> Operation {
        let teams: Vec<i64> = self.model.teams.keys().copied().collect();
        let on = |(id, team): (&i64, &Team)| team.enabled.then_some(*id);
        let enabled: Vec<i64> = self.model.teams.iter().filter_map(on).collect();
        let from = self.dice.below(DAYS);
        let count = if self.dice.chance(25) {
            (DAYS - from).min(2)
        } else {
            1
        };
        let date = |days: u64| FIRST + i64::try_from(days).expect("small").days();
        let (from, until) = (date(from), date(from + count));
        let team = self.dice.pick(&teams);
        let known = |model: &Model, team: i64| {
            let days = model.teams[&team].days.iter();
            let filled = days.filter(|(_, kept)| **kept == Kept::Filled);
            filled.map(|(day, _)| *day).collect::<Vec<_>>()
        };
        match self.dice.below(100) {
            0..30 => Operation::Fill {
                team,
                from,
                until,
                force: true,
            },
            30..40 => Operation::Fill {
                team,
                from,
                until,
                force: false,
            },
            40..66 => {
                let mut events = Vec::new();
                if self.dice.chance(50) || self.sessions.is_empty() {
                    let day = self.dice.below(DAYS);
                    events = self.session(team, day);
                } else {
                    // To a session that is there: after its end, or before its begin, on which its
                    // day may change.
                    let index = self.dice.index(self.sessions.len());
                    let Session { team, id, begun } = self.sessions[index].clone();
                    let away = self.seconds(3 * 3_600);
                    let at = if self.dice.chance(60) {
                        begun + away
                    } else {
                        begun - away
                    };
                    let person = u128::from(1 + self.dice.below(4));
                    events.push(self.event(team, person, &id, at));
                }
                Operation::Bring(events)
            }
            66..72 => Operation::Disable(team),
            72..80 => Operation::Enable(team),
            80..86 => Operation::Clean { team, from, until },
            86..91 => Operation::Move(team, self.dice.pick(&ZONES)),
            drawn => {
                let team = if enabled.is_empty() {
                    team
                } else {
                    self.dice.pick(&enabled)
                };
                let days = known(&self.model, team);
                if days.is_empty() {
                    return Operation::Enable(team);
                }
                let day = self.dice.pick(&days);
                if drawn < 96 {
                    Operation::Delete(team, day)
                } else {
                    Operation::Double(team, day)
                }
            }
        }
    }

    /// Does an operation to the model.
    fn note(&mut self, operation: &Operation) {
        let name = match operation {
            Operation::Fill { force: true, .. } => "fills again",
            Operation::Fill { .. } => "fills",
            Operation::Bring(_) => "events brought",
            Operation::Enable(_) => "enabled",
            Operation::Disable(_) => "disabled",
            Operation::Clean { .. } => "cleaned",
            Operation::Move(..) => "moved",
            Operation::Delete(..) => "rows deleted",
            Operation::Double(..) => "rows doubled",
        };
        *self.tally.operations.entry(name).or_default() += 1;
        if let Operation::Bring(events) = operation {
            self.model.events.extend(events.iter().cloned());
        }
        let id = match operation {
            Operation::Bring(_) => return,
            Operation::Fill { team, .. } | Operation::Clean { team, .. } => *team,
            Operation::Enable(team) | Operation::Disable(team) => *team,
            Operation::Move(team, _) => *team,
            Operation::Delete(team, _) | Operation::Double(team, _) => *team,
        };
        let team = self.model.teams.get_mut(&id).expect("a team");
        match operation {
            Operation::Fill { from, until, .. } => {
                team.enabled = true;
                let days = from.series(1.day()).take_while(|day| day < until);
                team.days.extend(days.map(|day| (day, Kept::Filled)));
            }
            Operation::Enable(_) => team.enabled = true,
            Operation::Disable(_) => team.enabled = false,
            Operation::Clean { from, until, .. } => {
                team.enabled = false;
                for (_, kept) in team.days.range_mut(*from..*until) {
                    *kept = Kept::Cleaned;
                }
            }
            Operation::Move(_, zone) => {
                team.zone = zone;
                self.loose.insert(id);
            }
            Operation::Delete(..) | Operation::Double(..) => {
                self.loose.insert(id);
            }
            Operation::Bring(_) => {}
        }
    }

    /// One run: disturbed, restarted, settled, compared.
    async fn run(&mut self) -> Result<(), String> {
        self.tally.runs += 1;
        let operations: Vec<Operation> = (0..=self.dice.below(2)).map(|_| self.draw()).collect();
        let mut on_warehouse = BTreeMap::new();
        let mut on_ledger = BTreeMap::new();
        for _ in 0..=self.dice.below(3) {
            if self.rig.ledger.is_some() && self.dice.chance(50) {
                let nth = 1 + self.dice.index(60);
                on_ledger.insert(nth, self.dice.pick(&ledger::FAULTS));
                continue;
            }
            let nth = 1 + self.dice.index(30);
            let fault = match self.dice.below(14) {
                12 => warehouse::Fault::ToldToStop,
                13 => warehouse::Fault::LedgerIsBusy,
                drawn => warehouse::FAULTS[usize::try_from(drawn).expect("small")],
            };
            on_warehouse.insert(nth, fault);
        }
        let told = format!("{operations:?} under {on_warehouse:?} and {on_ledger:?}");
        let before: u64 = self.injected().values().sum();

        // Readers may see each of these: what is there, and what it is after each operation.
        let mut allowed = self.stable(&operations);
        let mut next = self.model.clone();
        for operation in &operations {
            if let Operation::Bring(events) = operation {
                next.events.extend(events.iter().cloned());
            }
            for ((team, day), held) in &mut allowed {
                held.push(next.day(*team, *day));
            }
        }
        self.rig.warehouse.arm(on_warehouse);
        if let Some(ledger) = &self.rig.ledger {
            ledger.arm(on_ledger);
        }
        // In boxes, as below: without optimisation all of it does not fit a thread's stack.
        let (done, died) = Box::pin(self.disturb(&operations, &allowed))
            .await
            .map_err(|why| format!("{told}: {why}"))?;
        self.rig.calm().await;
        if died || self.dice.chance(10) {
            self.tally.restarts += 1;
            self.disturbed = self.rig.open().await;
        }
        let after: u64 = self.injected().values().sum();
        self.tally.broken += usize::from(after > before);

        // Whoever was told that it failed asks again.
        self.rig.clock.end_leases().await;
        self.rig.clock.end_holds().await;
        let stop = CancellationToken::new();
        for (index, operation) in operations.iter().enumerate() {
            if index >= done {
                apply(&self.rig, &self.rig.world.prefill, operation, &stop)
                    .await
                    .map_err(|why| format!("{told}: {why}"))?;
            }
            self.note(operation);
        }
        self.tally.rounds += self
            .rig
            .settle()
            .await
            .map_err(|why| format!("{told}: {why}"))?;
        self.check().await.map_err(|why| format!("{told}: {why}"))?;
        self.rig.clock.forget_pieces().await;
        self.rig.hour_passes().await;
        Ok(())
    }

    /// The days that are filled and at most refilled by these operations.
    fn stable(&self, operations: &[Operation]) -> BTreeMap<(i64, Date), Vec<Held>> {
        let touched: BTreeSet<i64> = operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Clean { team, .. } => Some(*team),
                Operation::Move(team, _) => Some(*team),
                Operation::Delete(team, _) | Operation::Double(team, _) => Some(*team),
                _ => None,
            })
            .collect();
        let mut stable = BTreeMap::new();
        for (id, team) in &self.model.teams {
            if !team.enabled || touched.contains(id) {
                continue;
            }
            for (day, kept) in &team.days {
                let held = self.model.day(*id, *day);
                // A day without rows is filled directly: there is nothing that readers could keep.
                if *kept == Kept::Filled && !held.is_nothing() {
                    stable.insert((*id, *day), vec![held]);
                }
            }
        }
        stable
    }

    /// The operations, two workers and a reader, until all is done or the process is gone; how many
    /// operations are known to be done, and whether it died.
    async fn disturb(
        &self,
        operations: &[Operation],
        allowed: &BTreeMap<(i64, Date), Vec<Held>>,
    ) -> Result<(usize, bool), String> {
        let prefill = &self.disturbed;
        let stop = self.rig.process.begin();
        let done = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        let operate = async {
            for operation in operations {
                if Box::pin(apply(&self.rig, prefill, operation, &stop))
                    .await
                    .is_err()
                {
                    break;
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
            over.store(true, Ordering::SeqCst);
        };
        let store = prefill.store(DEFAULT_WAREHOUSE).await;
        let store = store.map_err(|error| error.chain())?;
        let work = async || {
            let worker = prefill.worker(store, None);
            let mut idle = 0;
            let mut errors = 0;
            while !stop.is_cancelled() && idle < 3 && errors < 3 {
                match worker.step(&stop).await {
                    Ok(Step::Idle) => {
                        idle += usize::from(over.load(Ordering::SeqCst));
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                    Ok(_) => idle = 0,
                    Err(_) => errors += 1,
                }
            }
        };
        let process = join(operate, join_all([work(), work()]));
        let process = async {
            process.await;
        };
        let reading = self.read(allowed);
        let living = self.rig.until_death(PATIENCE, Box::pin(process));
        let lived = tokio::select! {
            lived = living => lived,
            wrong = reading => return Err(wrong),
        };
        Ok((done.load(Ordering::SeqCst), lived.is_none()))
    }

    /// Asks for days again and again; ends with an answer that is neither the old nor the new.
    async fn read(&self, allowed: &BTreeMap<(i64, Date), Vec<Held>>) -> String {
        if allowed.is_empty() {
            return std::future::pending().await;
        }
        loop {
            for ((team, day), allowed) in allowed {
                let held = self.rig.bucket(*team, self.model.bucket(*team, *day)).await;
                let stats = allowed.iter().any(|may| may.stats == held.stats);
                let bounces = allowed.iter().any(|may| may.bounces == held.bounces);
                if !stats || !bounces {
                    return format!(
                        "a reader of team {team}, {day} got {held:?}, which is none of {allowed:?}"
                    );
                }
                // Readers that never rest would be all that the engine does.
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.tally.answers.fetch_add(2, Ordering::Relaxed);
                if allowed.last() != allowed.first() && allowed.first() == Some(&held) {
                    self.tally.of_old.fetch_add(2, Ordering::Relaxed);
                }
            }
        }
    }

    /// Tables and ledger against the model.
    async fn check(&mut self) -> Result<(), String> {
        let held = self.rig.tables().await;
        for (id, team) in &self.model.teams {
            let of_team: BTreeMap<i64, Held> = held
                .range((*id, i64::MIN)..=(*id, i64::MAX))
                .map(|((_, bucket), held)| (*bucket, held.clone()))
                .collect();
            let right = self.model.of_team(*id);
            if team.enabled {
                if of_team != right {
                    return Err(format!(
                        "team {id} in {}: the tables hold {of_team:#?}, and should hold {right:#?}",
                        team.zone
                    ));
                }
                self.loose.remove(id);
            } else if !self.loose.contains(id) {
                for (bucket, held) in &of_team {
                    let old = self.seen.get(&(*id, *bucket));
                    if old != Some(held) && right.get(bucket) != Some(held) {
                        return Err(format!(
                            "team {id}, off, bucket {bucket}: the tables hold {held:?}, and should hold {old:?} or {:?}",
                            right.get(bucket)
                        ));
                    }
                }
                for (day, kept) in &team.days {
                    let bucket = bucket(team.zone, *day);
                    let was = self.seen.contains_key(&(*id, bucket)) && right.contains_key(&bucket);
                    match (kept, of_team.get(&bucket)) {
                        (Kept::Cleaned, Some(held)) => {
                            return Err(format!(
                                "team {id}, {day}: cleaned, and the tables hold {held:?}"
                            ));
                        }
                        (Kept::Filled, None) if was => {
                            return Err(format!("team {id}, {day}: its rows are gone"));
                        }
                        _ => {}
                    }
                }
            }
            self.check_ledger(*id, team).await?;
        }
        self.tally.checked += held.len();
        self.seen = held;
        match self.rig.scratch().await.as_str() {
            "" => Ok(()),
            left => Err(format!("tables of fills are left: {left}")),
        }
    }

    async fn check_ledger(&self, id: i64, team: &Team) -> Result<(), String> {
        let slices = self.rig.world.prefill.ledger.slices(TeamId(id)).await;
        let mut slices = slices.map_err(|error| error.chain())?;
        for (day, kept) in &team.days {
            let slice = slices.remove(&day.to_string().parse().expect("a date"));
            let Some(slice) = slice else {
                return Err(format!("team {id}, {day}: not in the ledger"));
            };
            let told = || {
                let (state, error) = (slice.state, &slice.error);
                format!("team {id}, {day}: {state} ({error:?}), and should be {kept:?}")
            };
            let fits = match (kept, team.enabled) {
                (Kept::Cleaned, _) => slice.state == State::Cleaned,
                (Kept::Filled, true) => slice.state == State::Filled,
                (Kept::Filled, false) => !matches!(slice.state, State::Running | State::Cleaned),
            };
            if !fits {
                return Err(told());
            }
            if slice.state == State::Filled && team.enabled {
                let right = self.model.day(id, *day).bounces;
                let receipt = slice.receipt.unwrap_or_default();
                let said = [
                    receipt.sessions,
                    receipt.page_views,
                    receipt.persons,
                    receipt.bounces,
                    receipt.duration_seconds,
                ];
                let right = [
                    right.sessions,
                    right.page_views,
                    right.persons,
                    right.bounces,
                    right.duration_seconds,
                ];
                if said != right {
                    return Err(format!(
                        "team {id}, {day}: the receipt says {said:?}, not {right:?}"
                    ));
                }
            }
        }
        // Those of the window, of which no events have come: they wait, or are known to have none when
        // the test goes on over a midnight of the team's.
        for slice in slices.values() {
            let receipt = slice.receipt.unwrap_or_default();
            let is_open =
                slice.state == State::Wanted && (slice.waiting_for_events || !team.enabled);
            let is_empty = slice.state == State::Filled && receipt.events == 0;
            if slice.day.to_string().as_str() < "2026-03-20" || !(is_open || is_empty) {
                return Err(format!(
                    "team {id}, {}: {}, and nobody asked for it",
                    slice.day, slice.state
                ));
            }
        }
        Ok(())
    }
}

/// Does an operation by an installation.
async fn apply(
    rig: &Rig,
    prefill: &Prefill,
    operation: &Operation,
    stop: &CancellationToken,
) -> Result<(), String> {
    let ledger = &prefill.ledger;
    let done: prefill::error::Result<()> = async {
        match operation {
            Operation::Fill {
                team,
                from,
                until,
                force,
            } => {
                ledger.set_enabled(TeamId(*team), true).await?;
                let target = prefill.target(TeamId(*team), asked(*from, *until)).await?;
                prefill.backfill(&target, *force).await?;
            }
            Operation::Bring(events) => {
                let mut load = Load::begin(prefill, || ()).await?;
                for event in events {
                    load.add(event).await?;
                }
                load.end().await?;
                freshness::look(ledger, prefill.store(DEFAULT_WAREHOUSE).await?).await?;
            }
            Operation::Enable(team) => {
                ledger.set_enabled(TeamId(*team), true).await?;
                prefill.reconcile(TeamId(*team)).await?;
            }
            Operation::Disable(team) => {
                ledger.set_enabled(TeamId(*team), false).await?;
                prefill.reconcile(TeamId(*team)).await?;
            }
            Operation::Clean { team, from, until } => {
                let target = prefill.target(TeamId(*team), asked(*from, *until)).await?;
                prefill.cleanup(&target, stop).await?;
            }
            Operation::Move(team, zone) => {
                let change = TeamChange {
                    name: None,
                    organization: None,
                    zone: Some(Zone::get(zone)?),
                    backfill_days: None,
                    warehouse: None,
                };
                ledger.set_team(TeamId(*team), &change).await?;
                prefill.reconcile(TeamId(*team)).await?;
            }
            Operation::Delete(team, day) | Operation::Double(team, day) => {
                let slices = ledger.slices(TeamId(*team)).await?;
                let day = day.to_string().parse().expect("a date");
                if let Some(slice) = slices.get(&day) {
                    tamper(rig, operation, *team, slice.bucket.as_second()).await;
                }
            }
        }
        Ok(())
    }
    .await;
    done.map_err(|error| format!("{operation:?}: {}", error.chain()))
}

/// Changes a day's rows as somebody does who does not know prefill.
async fn tamper(rig: &Rig, operation: &Operation, team: i64, bucket: i64) {
    let day = format!("team_id = {team} and period_bucket = fromUnixTimestamp(toInt64({bucket}))");
    for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
        let text = match operation {
            Operation::Delete(..) => {
                format!("alter table {table} delete where {day} settings mutations_sync = 2")
            }
            _ => format!("insert into {table} select * from {table} where {day}"),
        };
        rig.world.query(&text).await;
    }
}
