-- The least that has to be read of a day: the columns of the events, a row a session made of them, and the
-- states of the sessions.
select
    team_id, `$session_id`, min(timestamp), max(timestamp), any(uuid), any(event), any(person_id), any(distinct_id),
    any(`mat_$host`), any(`mat_$pathname`), any(`mat_$device_type`), any(`mat_$browser`), any(`mat_$os`),
    any(`mat_$viewport_width`), any(`mat_$viewport_height`), any(`mat_$geoip_country_code`),
    any(`mat_$geoip_city_name`), any(`mat_$geoip_subdivision_1_code`)
from {table}
where team_id in {teams:Array(Int64)}
    and timestamp >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and timestamp < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
group by team_id, `$session_id`
union all
select
    team_id, toString(session_id_v7), min(min_timestamp), max(max_timestamp), any(toUUID('00000000-0000-0000-0000-000000000000')),
    argMinMerge(entry_url), any(toUUID('00000000-0000-0000-0000-000000000000')), argMaxMerge(end_url),
    argMinMerge(initial_referring_domain), argMinMerge(initial_utm_source), argMinMerge(initial_utm_medium),
    argMinMerge(initial_utm_campaign), argMinMerge(initial_utm_term), argMinMerge(initial_utm_content),
    argMinMerge(initial_gclid), argMinMerge(initial_gad_source), argMinMerge(initial_fbclid),
    argMinMerge(initial_geoip_subdivision_1_name)
from {raw_sessions}
where team_id in {teams:Array(Int64)}
    and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
        >= fromUnixTimestamp(intDiv({from_us:Int64}, 1000000))
    and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
        < fromUnixTimestamp(intDiv({until_us:Int64}, 1000000))
group by team_id, session_id_v7
