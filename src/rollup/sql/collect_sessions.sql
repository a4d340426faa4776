-- The sessions that start within [from, until), whole, with their page views.
insert into {sessions}
(
    team_id,
    session_id,
    person_id,
    entry,
    end_pathname,
    host,
    device_type,
    browser,
    os,
    viewport_width,
    viewport_height,
    country_code,
    city_name,
    region_code,
    bounced,
    duration_seconds,
    page_views,
    is_whole
)
with
    {joined} as joined
select
    toUInt64(s.team_id),
    session_id,
    {person_of_session} as person_id,
    joined(arraySlice(first_event, 1, 11)) as entry,
    end_pathname,
    first_view[1] as host,
    first_view[2] as device_type,
    first_view[3] as browser,
    first_view[4] as os,
    toInt64(first_view[5]) as viewport_width,
    toInt64(first_view[6]) as viewport_height,
    first_event[12] as country_code,
    first_event[13] as city_name,
    first_event[14] as region_code,
    interactions = 1 and duration_seconds < 10 as bounced,
    -- whole seconds of the difference, not seconds of the clock that it crossed
    intDiv(toUnixTimestamp64Micro(ended_at) - toUnixTimestamp64Micro(started_at), 1000000) as duration_seconds,
    page_views,
    {is_whole} as is_whole
from {collected} as s
{persons_of_sessions}
-- the ids are no part of a key: to look for them in one would be to sort them in vain
settings use_index_for_in_with_subqueries = 0
