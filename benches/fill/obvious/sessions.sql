(
    select
        team_id,
        session_id,
        argMin(pathname, timestamp) as entry_pathname,
        argMax(pathname, timestamp) as end_pathname,
        argMin(referring_domain, timestamp) as referring_domain,
        argMin(utm_source, timestamp) as utm_source,
        argMin(utm_medium, timestamp) as utm_medium,
        argMin(utm_campaign, timestamp) as utm_campaign,
        argMin(utm_term, timestamp) as utm_term,
        argMin(utm_content, timestamp) as utm_content,
        argMin(region_name, timestamp) as region_name,
        argMin(gclid, timestamp) != '' as has_gclid,
        argMin(gad_source, timestamp) = '1' as has_gad_source_paid_search,
        argMin(fbclid, timestamp) != '' as has_fbclid,
        argMin(country_code, timestamp) as country_code,
        argMin(city_name, timestamp) as city_name,
        argMin(region_code, timestamp) as region_code,
        argMaxIf(person_id, timestamp, event in ('$pageview', '$screen')) as person_id,
        intDiv(toUnixTimestamp64Micro(max(timestamp)) - toUnixTimestamp64Micro(min(timestamp)), 1000000) as duration_seconds,
        countIf(event in ('$pageview', '$screen', '$autocapture')) = 1 and duration_seconds < 10 as bounced
    from {events}
    where team_id in {teams:Array(Int64)}
        and session_id != ''
        and timestamp >= fromUnixTimestamp64Micro({from_us:Int64} - 86400000000, 'UTC')
        and timestamp < fromUnixTimestamp64Micro({until_us:Int64} + 86400000000, 'UTC')
    group by team_id, session_id
    having min(timestamp) >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and min(timestamp) < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
)
