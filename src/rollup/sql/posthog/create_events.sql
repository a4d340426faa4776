-- Events as PostHog keeps them, without the columns that prefill never reads: for development.
create table if not exists {table}
(
    uuid UUID,
    event String,
    -- JSON
    properties String,
    timestamp DateTime64(6, 'UTC'),
    team_id Int64,
    distinct_id String,
    created_at DateTime64(6, 'UTC') default now64(6, 'UTC'),
    person_id UUID,
    -- when Kafka had it, and when the warehouse had it; the second is not known of old rows
    _timestamp DateTime default now(),
    _offset UInt64 default 0,
    inserted_at Nullable(DateTime64(6, 'UTC')) default now64(6, 'UTC'),
    -- properties that are read often, as PostHog extracts them: JSON text without its outer quotes
    `$session_id` String materialized replaceRegexpAll(JSONExtractRaw(properties, '$session_id'), '^"|"$', '')
        comment 'column_materializer::$session_id',
    `mat_$host` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$host'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$host',
    `mat_$pathname` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$pathname'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$pathname',
    `mat_$device_type` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$device_type'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$device_type',
    `mat_$browser` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$browser'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$browser',
    `mat_$os` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$os'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$os',
    `mat_$viewport_width` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$viewport_width'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$viewport_width',
    `mat_$viewport_height` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$viewport_height'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$viewport_height',
    `mat_$geoip_country_code` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$geoip_country_code'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$geoip_country_code',
    `mat_$geoip_city_name` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$geoip_city_name'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$geoip_city_name',
    `mat_$geoip_subdivision_1_code` Nullable(String)
        materialized replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(properties, '$geoip_subdivision_1_code'), ''), 'null'), '^"|"$', '')
        comment 'column_materializer::$geoip_subdivision_1_code',
    index minmax_inserted_at coalesce(inserted_at, _timestamp) type minmax granularity 1
)
engine = ReplacingMergeTree(_timestamp)
partition by toYYYYMM(timestamp)
order by (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))
