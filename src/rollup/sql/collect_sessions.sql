-- The sessions that start within [from, until), whole, with their page views, each with the day that it is of.
insert into {sessions}
(
    bucket,
    team_id,
    session_id,
    person_id,
    entry,
    end_pathname,
    first_event,
    first_view,
    bounced,
    duration_seconds,
    page_views,
    is_whole
)
select
    toDateTime(roundDown(intDiv(toUnixTimestamp64Micro(started_at), 1000000), {begins:Array(Int64)}), 'UTC') as bucket,
    toUInt64(s.team_id),
    session_id,
    {person_of_session} as person_id,
    entry,
    end_pathname,
    first_event,
    first_view,
    interactions = 1 and duration_seconds < 10 as bounced,
    -- whole seconds of the difference, not seconds of the clock that it crossed
    intDiv(toUnixTimestamp64Micro(ended_at) - toUnixTimestamp64Micro(started_at), 1000000) as duration_seconds,
    page_views,
    {is_whole} as is_whole
from {collected} as s
{persons_of_sessions}
-- the ids are no part of a key: to look for them in one would be to sort them in vain
settings use_index_for_in_with_subqueries = 0
