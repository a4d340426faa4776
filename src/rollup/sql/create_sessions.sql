-- One row a session of a batch: what both rollups are written from. It lives as long as the fill.
create table {sessions}
(
    team_id UInt64,
    session_id String,
    person_id UUID,
    host String,
    device_type String,
    entry_pathname String,
    end_pathname String,
    browser String,
    os String,
    viewport_width Int64,
    viewport_height Int64,
    referring_domain String,
    utm_source String,
    utm_medium String,
    utm_campaign String,
    utm_term String,
    utm_content String,
    country_code String,
    city_name String,
    region_code String,
    region_name String,
    has_gclid Bool,
    has_gad_source_paid_search Bool,
    has_fbclid Bool,
    bounced UInt8,
    duration_seconds Int64,
    page_views Array(Tuple(
        pathname String,
        host String,
        device_type String,
        browser String,
        os String,
        viewport_width Int64,
        viewport_height Int64,
        country_code String,
        city_name String,
        region_code String))
)
engine = MergeTree
order by tuple()
