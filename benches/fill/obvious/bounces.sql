-- The obvious way to fill the bounces rollup of a day, as stats.sql.
insert into {bounces}
select
    {bucket:DateTime('UTC')} as period_bucket,
    toUInt64(team_id) as team_id,
    host,
    device_type,
    entry_pathname,
    end_pathname,
    browser,
    os,
    viewport_width,
    viewport_height,
    referring_domain,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    country_code,
    city_name,
    region_code,
    region_name,
    has_gclid,
    has_gad_source_paid_search,
    has_fbclid,
    uniqState(person_id) as persons_uniq_state,
    uniqState(session_id) as sessions_uniq_state,
    sumState(toUInt64(page_views)) as pageviews_count_state,
    sumState(toUInt64(bounced)) as bounces_count_state,
    sumState(toInt64(duration_seconds)) as total_session_duration_state,
    sumState(toUInt64(1)) as total_session_count_state
from
(
    select
        e.team_id as team_id,
        e.session_id as session_id,
        argMin(e.host, e.timestamp) as host,
        argMin(e.device_type, e.timestamp) as device_type,
        argMin(e.browser, e.timestamp) as browser,
        argMin(e.os, e.timestamp) as os,
        argMin(e.viewport_width, e.timestamp) as viewport_width,
        argMin(e.viewport_height, e.timestamp) as viewport_height,
        count() as page_views,
        any(s.entry_pathname) as entry_pathname,
        any(s.end_pathname) as end_pathname,
        any(s.referring_domain) as referring_domain,
        any(s.utm_source) as utm_source,
        any(s.utm_medium) as utm_medium,
        any(s.utm_campaign) as utm_campaign,
        any(s.utm_term) as utm_term,
        any(s.utm_content) as utm_content,
        any(s.country_code) as country_code,
        any(s.city_name) as city_name,
        any(s.region_code) as region_code,
        any(s.region_name) as region_name,
        any(s.has_gclid) as has_gclid,
        any(s.has_gad_source_paid_search) as has_gad_source_paid_search,
        any(s.has_fbclid) as has_fbclid,
        any(s.person_id) as person_id,
        any(s.bounced) as bounced,
        any(s.duration_seconds) as duration_seconds
    from {events} as e
    inner join {sessions} as s on s.team_id = e.team_id and s.session_id = e.session_id
    where e.team_id in {teams:Array(Int64)}
        and e.timestamp >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and e.timestamp < fromUnixTimestamp64Micro({until_us:Int64} + 86400000000, 'UTC')
        and e.event in ('$pageview', '$screen')
    group by team_id, session_id
)
group by all
