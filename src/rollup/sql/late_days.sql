-- The first and the last event of each session that events reached since the mark. Whatever came
-- when, the session starts, and ever started, at one of its events.
select
    toInt64({team_id}) as team_id,
    toUnixTimestamp64Micro(min(toDateTime64({timestamp}, 6, 'UTC'))) as first_us,
    toUnixTimestamp64Micro(max(toDateTime64({timestamp}, 6, 'UTC'))) as last_us
from {events} as e
where {team_id} in {teams:Array(Int64)}
    -- a session lasts at most 24 hours, so the rest of it is that near
    and {timestamp} >= toDateTime64((select min({timestamp}) from {events} as e where {is_new}), 6, 'UTC') - interval 1 day
    and {timestamp} <= toDateTime64((select max({timestamp}) from {events} as e where {is_new}), 6, 'UTC') + interval 1 day
    {late_dates}
    and ({team_id}, {session_id}) in
(
    select {team_id}, {session_id}
    from {events} as e
    where {is_new}
        and {team_id} in {teams:Array(Int64)}
        and {session_id} not in ('', '00000000-0000-0000-0000-000000000000')
)
group by {team_id}, {session_id}
