//! An installation whose calls to the warehouse and to the ledger can be broken, beside one on the same
//! data that nobody disturbs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::ledger::State;
use prefill::request::Asked;
use prefill::service::{Place, Prefill};
use prefill::worker::Step;
use prefill::{freshness, reconcile};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Clock, FaultyLedger};
use crate::model::{Held, Totals};
use crate::support::{World, program};
use crate::warehouse::{FaultyWarehouse, Process};

/// So many undisturbed rounds mend whatever is broken, or it stays broken.
const ROUNDS: usize = 8;

pub struct Rig {
    pub world: World,
    pub process: Process,
    pub warehouse: FaultyWarehouse,
    /// Where the ledger is in Postgres.
    pub ledger: Option<FaultyLedger>,
    pub clock: Clock,
    config: Config,
}

impl Rig {
    pub async fn new() -> Self {
        let mut config = Config {
            backfill_days: 1,
            ..Config::default()
        };
        config.service.backoff_ms = 1;
        config.service.lease_ms = 5_000;
        // The calls are counted, and looks who uses the warehouse would be among them.
        for warehouse in config.warehouses.values_mut() {
            warehouse.budget = 1.0;
        }
        let world = World::with(config).await;
        let clock = Clock::of(world.dir.path()).await;
        let process = Process::default();
        let endpoint = world.store.warehouse.endpoint();
        let warehouse = FaultyWarehouse::before(&endpoint, process.clone(), clock.clone()).await;
        let ledger = FaultyLedger::before(world.dir.path(), process.clone()).await;
        let mut config = world.prefill.config.clone();
        let disturbed = config
            .warehouses
            .get_mut(DEFAULT_WAREHOUSE)
            .expect("a warehouse");
        disturbed.url = Some(warehouse.url.clone());
        disturbed.user = endpoint.user;
        disturbed.password = Some(endpoint.password.into());
        disturbed.silence_ms = 240;
        if let Some(ledger) = &ledger {
            config.ledger.url = Some(ledger.url.clone().into());
            config.ledger.connect_timeout_ms = 1_500;
        }
        Self {
            world,
            process,
            warehouse,
            ledger,
            clock,
            config,
        }
    }

    /// The installation, as a process opens it whose calls can be broken.
    pub async fn open(&self) -> Prefill {
        let place = Place {
            data_dir: self.world.dir.path().to_path_buf(),
            program: Some(program()),
        };
        let prefill = Prefill::open(&place, self.config.clone()).await;
        let prefill = prefill.expect("the installation");
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        assert_eq!(store.warehouse.endpoint().url, self.warehouse.url);
        prefill
    }

    /// Breaks nothing more, and waits until nothing is under way that somebody sent who is gone.
    pub async fn calm(&self) {
        self.warehouse.disarm();
        if let Some(ledger) = &self.ledger {
            ledger.disarm();
        }
        self.warehouse.quiet().await;
        self.process.forget().await;
    }

    /// What a service does in time, until nothing is left to do; how many rounds that took. Nobody else
    /// may be at work: leases are ended.
    pub async fn settle(&self) -> Result<usize, String> {
        let prefill = &self.world.prefill;
        let worker = self.world.worker();
        let stop = CancellationToken::new();
        let told = |error: prefill::error::Error| format!("undisturbed: {}", error.chain());
        for round in 1..=ROUNDS {
            self.clock.end_leases().await;
            self.clock.end_holds().await;
            reconcile::all(&prefill.ledger, &prefill.config, Timestamp::now())
                .await
                .map_err(told)?;
            let found = freshness::look(&prefill.ledger, &self.world.store)
                .await
                .map_err(told)?;
            self.clock.end_waits().await;
            let mut steps = 0;
            while worker.step(&stop).await.map_err(told)? != Step::Idle {
                self.clock.end_waits().await;
                steps += 1;
                if steps > 200 {
                    return Err("a worker has work without an end".to_owned());
                }
            }
            worker.sweep().await.map_err(told)?;
            let mut open = 0;
            for team in prefill.ledger.teams().await.map_err(told)? {
                let slices = prefill.ledger.slices(team.id).await.map_err(told)?;
                for slice in slices.values().filter(|_| team.enabled) {
                    match slice.state {
                        State::Filled | State::Cleaned => {}
                        State::Wanted | State::Stale if slice.waiting_for_events => {}
                        // What failed for good is asked for again, that day and no other.
                        State::Failed => {
                            open += 1;
                            let asked = Asked {
                                days: None,
                                date_start: Some(slice.day),
                                date_end: Some(slice.day.plus(1)),
                            };
                            let target = prefill.target(team.id, asked).await.map_err(told)?;
                            prefill.backfill(&target, false).await.map_err(told)?;
                        }
                        State::Wanted | State::Stale | State::Running => open += 1,
                    }
                }
            }
            if open == 0 && found == 0 {
                return Ok(round);
            }
        }
        Err(format!("not settled after {ROUNDS} undisturbed rounds"))
    }

    /// Everything that both tables hold, by team and bucket.
    pub async fn tables(&self) -> BTreeMap<(i64, i64), Held> {
        self.tables_where("1").await
    }

    /// What both tables hold at a bucket of a team, each read for itself.
    pub async fn bucket(&self, team: i64, bucket: i64) -> Held {
        let within =
            format!("team_id = {team} and period_bucket = fromUnixTimestamp(toInt64({bucket}))");
        let mut held = self.tables_where(&within).await;
        held.remove(&(team, bucket)).unwrap_or_default()
    }

    async fn tables_where(&self, within: &str) -> BTreeMap<(i64, i64), Held> {
        let of_stats = format!(
            "select team_id, toUnixTimestamp(period_bucket), pathname, sumMerge(pageviews_count_state), \
             uniqMerge(sessions_uniq_state), uniqMerge(persons_uniq_state) from {} where {within} group by 1, 2, 3",
            prefill::rollup::STATS
        );
        let of_bounces = format!(
            "select team_id, toUnixTimestamp(period_bucket), sumMerge(total_session_count_state), \
             uniqMerge(sessions_uniq_state), sumMerge(pageviews_count_state), uniqMerge(persons_uniq_state), \
             sumMerge(bounces_count_state), sumMerge(total_session_duration_state) from {} where {within} group by 1, 2",
            prefill::rollup::BOUNCES
        );
        let stats = self.world.query(&of_stats).await;
        let bounces = self.world.query(&of_bounces).await;
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let mut held: BTreeMap<(i64, i64), Held> = BTreeMap::new();
        for line in stats.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let of = held
                .entry((number(cells[0]), number(cells[1])))
                .or_default();
            let values = [number(cells[3]), number(cells[4]), number(cells[5])];
            of.stats.insert(cells[2].to_owned(), values);
        }
        for line in bounces.lines() {
            let cells: Vec<i64> = line.split('\t').map(number).collect();
            held.entry((cells[0], cells[1])).or_default().bounces = Totals {
                sessions: cells[2],
                sessions_uniq: cells[3],
                page_views: cells[4],
                persons: cells[5],
                bounces: cells[6],
                duration_seconds: cells[7],
            };
        }
        held
    }

    /// Tables that a fill made for itself and left.
    pub async fn scratch(&self) -> String {
        self.world
            .query("select name from system.tables where startsWith(name, 'prefill_scratch_')")
            .await
    }

    /// Everything that has reached the warehouse did so longer ago: what a look has to look at again
    /// because it may have become visible late is over.
    pub async fn hour_passes(&self) {
        self.world
            .query("alter table events update inserted_at = inserted_at - interval 1 hour where 1 settings mutations_sync = 2")
            .await;
    }

    /// Nothing of teams, events and rows is left.
    pub async fn empty(&self) {
        for table in ["events", prefill::rollup::STATS, prefill::rollup::BOUNCES] {
            self.world.query(&format!("truncate table {table}")).await;
        }
        for table in [
            "run_slices",
            "runs",
            "slices",
            "marks",
            "holds",
            "teams",
            "signals",
        ] {
            self.clock.sql(&format!("delete from {table}")).await;
        }
    }

    /// Ends a task as a process ends that is killed: nothing of it goes on, and nothing is cleared up.
    /// `None` when it died before its end, be it that it came to none.
    pub async fn until_death<T>(
        &self,
        limit: Duration,
        task: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            () = self.process.died() => None,
            done = task => Some(done),
            () = tokio::time::sleep(limit) => {
                self.process.count("gave up waiting, and killed");
                None
            }
        }
    }
}
