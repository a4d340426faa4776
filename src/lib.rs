//! Keeps the pre-aggregated web analytics tables of ClickHouse filled, by itself.
//!
//! The modules stand in the order in which data flows; a module imports only modules that are
//! declared above it (`tests/house.rs` holds the rule).

pub mod error;
pub mod event;
pub mod import;
pub mod demo;
