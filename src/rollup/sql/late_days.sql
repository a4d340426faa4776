-- The instants at which the sessions start, or used to start, that events reached since the mark.
select distinct team_id, started_us
from
(
    select
        toInt64({team_id}) as team_id,
        arrayJoin([
            -- with the late events, and without them: they may have moved the start to another day
            toUnixTimestamp64Micro(min(toDateTime64({timestamp}, 6, 'UTC'))),
            toUnixTimestamp64Micro(minIf(toDateTime64({timestamp}, 6, 'UTC'),
                {inserted_at} < fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')))
        ]) as started_us
    from {events} as e
    where {team_id} in {teams:Array(Int64)}
        -- a session lasts at most 24 hours, so the rest of it is that near
        and {timestamp} >= (select min({timestamp}) from {events} as e where {inserted_at} >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')) - interval 1 day
        and {timestamp} <= (select max({timestamp}) from {events} as e where {inserted_at} >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')) + interval 1 day
        and ({team_id}, toString({session_id})) in
    (
        select {team_id}, toString({session_id})
        from {events} as e
        where {inserted_at} >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
            and {team_id} in {teams:Array(Int64)}
            and toString({session_id}) not in ('', '00000000-0000-0000-0000-000000000000')
    )
    group by {team_id}, toString({session_id})
)
-- a session of late events only had no start before
where started_us > 0
