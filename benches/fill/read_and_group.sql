-- The least that has to be read of a day, and a row a session made of it.
select
    team_id, session_id, min(timestamp), max(timestamp), any(uuid), any(event), any(person_id), any(host), any(pathname),
    any(device_type), any(browser), any(os), any(viewport_width), any(viewport_height), any(referring_domain),
    any(utm_source), any(utm_medium), any(utm_campaign), any(utm_term), any(utm_content), any(gclid),
    any(gad_source), any(fbclid), any(country_code), any(city_name), any(region_code), any(region_name)
from {events}
where team_id in {teams:Array(Int64)}
    and timestamp >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and timestamp < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    -- or the key tells no day from another
    and toDate(timestamp) = toDate(fromUnixTimestamp64Micro({from_us:Int64}, 'UTC'))
group by team_id, session_id
