//! Keeps the pre-aggregated web analytics tables of ClickHouse filled, by itself.

pub mod error;
pub mod engine;
