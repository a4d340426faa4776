//! The source: one raw web event, in the shape of the `events` contract.
//!
//! Everything that brings events in (importers, the demo's synthetic site) makes values of
//! [`Event`]; everything that reads them goes by the column names of [`Event`]'s fields. Empty means
//! the empty string or 0, as in the rollups.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kind of event that a page view is on the web.
pub const PAGEVIEW: &str = "$pageview";

/// One raw event: a row of the `events` table. `inserted_at` is the table's own to fill.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct Event {
    /// Identifies the event; the same event always has the same one, however often it is imported.
    #[serde(with = "clickhouse::serde::uuid")]
    pub uuid: Uuid,
    /// What happened: `$pageview`, `$screen`, `$autocapture`, or a name of the product's own.
    pub event: String,
    pub team_id: i64,
    /// How the sender names the person.
    pub distinct_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub person_id: Uuid,
    /// A UUIDv7 of the session's start, as text; empty where the event belongs to no session.
    pub session_id: String,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    pub host: String,
    pub pathname: String,
    pub current_url: String,
    /// `Desktop`, `Mobile`, `Tablet` or empty.
    pub device_type: String,
    pub browser: String,
    pub os: String,
    /// In CSS pixels.
    pub viewport_width: i64,
    /// In CSS pixels.
    pub viewport_height: i64,
    /// The referrer's host, or `$direct` where there is none.
    pub referring_domain: String,
    pub utm_source: String,
    pub utm_medium: String,
    pub utm_campaign: String,
    pub utm_term: String,
    pub utm_content: String,
    pub gclid: String,
    pub gad_source: String,
    pub fbclid: String,
    pub country_code: String,
    pub city_name: String,
    pub region_code: String,
    pub region_name: String,
}

/// Creates the `events` table where the product has none: the schema of the contract.
pub const CREATE_TABLE: &str = include_str!("event/create_events.sql");
