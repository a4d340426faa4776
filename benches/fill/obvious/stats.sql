-- The obvious way to fill the stats rollup of a day: events joined with their sessions, grouped by all
-- dimensions. One of two statements that know nothing of each other.
insert into {stats}
select
    {bucket:DateTime('UTC')} as period_bucket,
    toUInt64(e.team_id) as team_id,
    e.host as host,
    e.device_type as device_type,
    e.pathname as pathname,
    s.entry_pathname as entry_pathname,
    s.end_pathname as end_pathname,
    e.browser as browser,
    e.os as os,
    e.viewport_width as viewport_width,
    e.viewport_height as viewport_height,
    s.referring_domain as referring_domain,
    s.utm_source as utm_source,
    s.utm_medium as utm_medium,
    s.utm_campaign as utm_campaign,
    s.utm_term as utm_term,
    s.utm_content as utm_content,
    e.country_code as country_code,
    e.city_name as city_name,
    e.region_code as region_code,
    s.region_name as region_name,
    s.has_gclid as has_gclid,
    s.has_gad_source_paid_search as has_gad_source_paid_search,
    s.has_fbclid as has_fbclid,
    uniqState(s.person_id) as persons_uniq_state,
    uniqState(e.session_id) as sessions_uniq_state,
    sumState(toUInt64(1)) as pageviews_count_state
from {events} as e
inner join {sessions} as s on s.team_id = e.team_id and s.session_id = e.session_id
where e.team_id in {teams:Array(Int64)}
    and e.timestamp >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and e.timestamp < fromUnixTimestamp64Micro({until_us:Int64} + 86400000000, 'UTC')
    and e.event in ('$pageview', '$screen')
group by all
