-- The events of the sessions that start within a day, or only reach into it, under the names of the
-- contract. A session lasts at most 24 hours, so one that starts within the day ends within a day after
-- it: of that day only the ids are read, and more of the few events that belong to a session of the day.
(
    select
        {uuid} as uuid,
        toString({event}) as event,
        toInt64({team_id}) as team_id,
        {person} as person_id,
        {sender} as sender,
        ifNull(toString({session_id}), '') as session_id,
        toDateTime64({timestamp}, 6, 'UTC') as at,
        ifNull(toString({host}), '') as host,
        ifNull(toString({pathname}), '') as pathname,
        ifNull(toString({device_type}), '') as device_type,
        ifNull(toString({browser}), '') as browser,
        ifNull(toString({os}), '') as os,
        toInt64(ifNull({viewport_width}, 0)) as viewport_width,
        toInt64(ifNull({viewport_height}, 0)) as viewport_height,
        ifNull(toString({referring_domain}), '') as referring_domain,
        ifNull(toString({utm_source}), '') as utm_source,
        ifNull(toString({utm_medium}), '') as utm_medium,
        ifNull(toString({utm_campaign}), '') as utm_campaign,
        ifNull(toString({utm_term}), '') as utm_term,
        ifNull(toString({utm_content}), '') as utm_content,
        ifNull(toString({gclid}), '') as gclid,
        ifNull(toString({gad_source}), '') as gad_source,
        ifNull(toString({fbclid}), '') as fbclid,
        ifNull(toString({country_code}), '') as country_code,
        ifNull(toString({city_name}), '') as city_name,
        ifNull(toString({region_code}), '') as region_code,
        ifNull(toString({region_name}), '') as region_name
    from {events} as e
    {persons}
    where {team_id} in {teams:Array(Int64)}
        and {timestamp} >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and {timestamp} < fromUnixTimestamp64Micro({until_us:Int64} + 86400000000, 'UTC')
        and {inserted_at} <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        -- no session, as text or as a UUID
        and toString({session_id}) not in ('', '00000000-0000-0000-0000-000000000000')
        and ({timestamp} < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC') or {session_hash} in {ids_of_the_day})
)
