-- Whose a sender's id is by now, as PostHog keeps it: for development.
create table if not exists {table}
(
    team_id Int64,
    distinct_id String,
    person_id UUID,
    is_deleted Int8,
    version Int64,
    _timestamp DateTime default now(),
    _offset UInt64 default 0,
    _partition UInt64 default 0,
    index kafka_timestamp_minmax _timestamp type minmax granularity 3
)
engine = ReplacingMergeTree(version)
order by (team_id, distinct_id)
settings index_granularity = 512
