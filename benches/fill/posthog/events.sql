-- The events with what their columns tell, joined with whose they are by now.
(
    select
        e.team_id as team_id,
        e.event as event,
        e.timestamp as timestamp,
        e.`$session_id` as session_id,
        if(o.overridden = 1, o.person_id, e.person_id) as person_id,
        ifNull(e.`mat_$host`, '') as host,
        ifNull(e.`mat_$pathname`, '') as pathname,
        ifNull(e.`mat_$device_type`, '') as device_type,
        ifNull(e.`mat_$browser`, '') as browser,
        ifNull(e.`mat_$os`, '') as os,
        toInt64OrZero(e.`mat_$viewport_width`) as viewport_width,
        toInt64OrZero(e.`mat_$viewport_height`) as viewport_height,
        ifNull(e.`mat_$geoip_country_code`, '') as country_code,
        ifNull(e.`mat_$geoip_city_name`, '') as city_name,
        ifNull(e.`mat_$geoip_subdivision_1_code`, '') as region_code
    from {table} as e
    left any join
    (
        select team_id, distinct_id, argMax(person_id, version) as person_id, 1 as overridden
        from {overrides}
        where team_id in {teams:Array(Int64)}
        group by team_id, distinct_id
        having argMax(is_deleted, version) = 0
    ) as o on o.team_id = e.team_id and o.distinct_id = e.distinct_id
    where e.team_id in {teams:Array(Int64)}
        and e.timestamp >= fromUnixTimestamp64Micro({from_us:Int64} - 86400000000, 'UTC')
        and e.timestamp < fromUnixTimestamp64Micro({until_us:Int64} + 86400000000, 'UTC')
)
