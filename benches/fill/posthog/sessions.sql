-- The sessions of a day: counted from their events, and joined with their states.
(
    select
        own.team_id as team_id,
        own.session_id as session_id,
        known.entry_pathname as entry_pathname,
        known.end_pathname as end_pathname,
        known.referring_domain as referring_domain,
        known.utm_source as utm_source,
        known.utm_medium as utm_medium,
        known.utm_campaign as utm_campaign,
        known.utm_term as utm_term,
        known.utm_content as utm_content,
        known.region_name as region_name,
        known.gclid != '' as has_gclid,
        known.gad_source = '1' as has_gad_source_paid_search,
        known.fbclid != '' as has_fbclid,
        own.country_code as country_code,
        own.city_name as city_name,
        own.region_code as region_code,
        own.person_id as person_id,
        own.duration_seconds as duration_seconds,
        own.bounced as bounced
    from
    (
        select
            team_id,
            session_id,
            argMin(country_code, timestamp) as country_code,
            argMin(city_name, timestamp) as city_name,
            argMin(region_code, timestamp) as region_code,
            argMaxIf(person_id, timestamp, event in ('$pageview', '$screen')) as person_id,
            intDiv(toUnixTimestamp64Micro(max(timestamp)) - toUnixTimestamp64Micro(min(timestamp)), 1000000) as duration_seconds,
            countIf(event in ('$pageview', '$screen', '$autocapture')) = 1 and duration_seconds < 10 as bounced
        from {events}
        where session_id != ''
        group by team_id, session_id
        having min(timestamp) >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
            and min(timestamp) < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    ) as own
    inner join
    (
        select
            team_id,
            toString(reinterpretAsUUID(bitOr(bitShiftLeft(session_id_v7, 64), bitShiftRight(session_id_v7, 64)))) as session_id,
            path(argMinMerge(entry_url)) as entry_pathname,
            path(argMaxMerge(end_url)) as end_pathname,
            argMinMerge(initial_referring_domain) as referring_domain,
            argMinMerge(initial_utm_source) as utm_source,
            argMinMerge(initial_utm_medium) as utm_medium,
            argMinMerge(initial_utm_campaign) as utm_campaign,
            argMinMerge(initial_utm_term) as utm_term,
            argMinMerge(initial_utm_content) as utm_content,
            argMinMerge(initial_gclid) as gclid,
            argMinMerge(initial_gad_source) as gad_source,
            argMinMerge(initial_fbclid) as fbclid,
            argMinMerge(initial_geoip_subdivision_1_name) as region_name
        from {raw_sessions}
        where team_id in {teams:Array(Int64)}
            and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
                >= fromUnixTimestamp(intDiv({from_us:Int64}, 1000000) - 86400)
            and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
                < fromUnixTimestamp(intDiv({until_us:Int64}, 1000000) + 86400)
        group by team_id, session_id_v7
    ) as known on known.team_id = own.team_id and known.session_id = own.session_id
)
