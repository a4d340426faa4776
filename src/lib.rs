//! Keeps the pre-aggregated web analytics tables of ClickHouse filled, by itself.
//!
//! The modules stand in the order in which data flows; a module imports only modules that are
//! declared above it (`tests/house.rs` holds the rule).

// What everything else speaks in.
pub mod error;

pub mod calendar;

pub mod config;

// Where events are and come from.
pub mod event;

pub mod engine;

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

pub mod output;

pub mod demo;

pub mod cli;
