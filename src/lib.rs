//! Keeps the pre-aggregated web analytics tables of ClickHouse filled, by itself.
//!
//! The `prefill` program is a thin layer over this library. An installation is opened with
//! [`service::Prefill::open`]; then
//!
//! | to | call |
//! |---|---|
//! | run the service | [`serve`](service::Prefill::serve) |
//! | say which days of a team are meant | [`target`](service::Prefill::target) |
//! | ask for a backfill, and get its id | [`backfill`](service::Prefill::backfill) |
//! | run it to the end, and read how far it is | [`finish`](service::Prefill::finish), [`progress`](ledger::Ledger::progress) |
//! | compare the tables with the raw events | [`validate`](service::Prefill::validate) |
//! | delete a range and turn the setting off | [`cleanup`](service::Prefill::cleanup) |
//! | know what is wrong | [`health`](service::Prefill::health) |
//!
//! `examples/backfill.rs` does all of it. Every error is an [`error::Error`] that says what was being
//! done, what class of failure it is and, where there is one, the next step.
//!
//! ```no_run
//! # async fn backfill() -> prefill::error::Result<()> {
//! use prefill::calendar::TeamId;
//! use prefill::config::Config;
//! use prefill::request::Asked;
//! use prefill::service::{Place, Prefill};
//! use tokio_util::sync::CancellationToken;
//!
//! let place = Place { data_dir: "/var/lib/prefill".into(), program: Some("/usr/bin/prefill".into()) };
//! let config = Config::load(None, &place.data_dir)?;
//! let prefill = Prefill::open(&place, config).await?;
//! let asked = Asked { days: Some(7), ..Asked::default() };
//! let target = prefill.target(TeamId(7), asked).await?;
//! let task = prefill.backfill(&target, false).await?;
//! prefill.finish(task, &CancellationToken::new()).await?;
//! assert!(prefill.validate(&target).await?.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! The modules stand in the order in which data flows; a module imports only modules that are
//! declared above it (`tests/house.rs` holds the rule).

// What everything else speaks in.
pub mod error;

pub mod telemetry;

pub mod calendar;

pub mod config;

// Where events are and come from.
pub mod event;

pub mod engine;

pub mod governor;

pub mod warehouse;

pub mod import;

// What is to be done: team setting → signal → plan.
pub mod ledger;

pub mod plan;

pub mod reconcile;

// Doing it: claim → fill → verify → record.
pub mod rollup;

pub mod schema;

pub mod verify;

pub mod fill;

pub mod freshness;

pub mod worker;

pub mod service;

// For people.
pub mod load;

pub mod request;

pub mod report;

pub mod scrape;

pub mod alert;

pub mod output;

pub mod web;

pub mod demo;

pub mod cli;
