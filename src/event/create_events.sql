create table if not exists {table}
(
    uuid UUID,
    event LowCardinality(String),
    team_id Int64,
    distinct_id String,
    person_id UUID,
    session_id String,
    timestamp DateTime64(6, 'UTC'),
    -- when the row reached the warehouse: late events are found by it
    inserted_at DateTime64(6, 'UTC') default now64(6, 'UTC'),
    host LowCardinality(String),
    pathname String,
    current_url String,
    device_type LowCardinality(String),
    browser LowCardinality(String),
    os LowCardinality(String),
    viewport_width Int64,
    viewport_height Int64,
    referring_domain String,
    utm_source String,
    utm_medium String,
    utm_campaign String,
    utm_term String,
    utm_content String,
    gclid String,
    gad_source String,
    fbclid String,
    country_code LowCardinality(String),
    city_name String,
    region_code LowCardinality(String),
    region_name String,
    -- the search for late events reads only the granules that came in since the last look
    index late inserted_at type minmax granularity 1
)
engine = MergeTree
partition by toYYYYMM(timestamp)
order by (team_id, toDate(timestamp), session_id, timestamp)
