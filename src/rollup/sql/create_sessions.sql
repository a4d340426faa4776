-- One row a session of a batch: what both rollups are written from. It lives as long as the fill.
create table {sessions}
(
    team_id UInt64,
    session_id String,
    person_id UUID,
    -- what both rollups have of the first event, see joined.sql: path, referring domain, the utm_ ones, name
    -- of the region, and whether there are gclid, gad_source of a search ad, and fbclid
    entry String,
    end_pathname String,
    host String,
    device_type String,
    browser String,
    os String,
    viewport_width Int64,
    viewport_height Int64,
    country_code String,
    city_name String,
    region_code String,
    bounced UInt8,
    duration_seconds Int64,
    -- of each, see joined.sql: host, device, browser, system, width, height, path, country, city, region code
    page_views Array(String),
    -- what is not yet is there once more when it is
    is_whole Bool
)
engine = MergeTree
order by tuple()
