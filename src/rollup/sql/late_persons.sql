-- When the events happened, by the hour, whose sender is another person since the mark, or is its own
-- again, within the days that are filled.
select
    toInt64({team_id}) as team_id,
    toUnixTimestamp64Micro(min(toDateTime64({timestamp}, 6, 'UTC'))) as first_us,
    toUnixTimestamp64Micro(max(toDateTime64({timestamp}, 6, 'UTC'))) as last_us
from {events} as e
where {team_id} in {teams:Array(Int64)}
    and {is_within_the_days}
    -- the hash is in the key of PostHog's table, the id itself is not
    and cityHash64({distinct_id}) in
    (
        select cityHash64(distinct_id)
        from {overrides}
        where team_id in {teams:Array(Int64)}
            and _timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    )
    and ({team_id}, {distinct_id}) in
    (
        select team_id, distinct_id
        from {overrides}
        where team_id in {teams:Array(Int64)}
            and _timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    )
group by {team_id}, toStartOfHour({timestamp})
