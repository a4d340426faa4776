-- Page views by everything that a page view and its session have.
create table if not exists {stats}
(
    period_bucket DateTime('UTC'),
    team_id UInt64,
    host String,
    device_type String,
    pathname String,
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
    persons_uniq_state AggregateFunction(uniq, UUID),
    sessions_uniq_state AggregateFunction(uniq, String),
    pageviews_count_state AggregateFunction(sum, UInt64)
)
-- Readers merge the states. An engine that does so as well could only have a key of all dimensions, and
-- sorting by that costs several times what writing the rows does.
engine = MergeTree
partition by toYYYYMMDD(period_bucket)
order by (team_id, period_bucket)
