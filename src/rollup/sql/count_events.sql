-- The raw events of a team within a range, by the day that they fall on.
select
    roundDown(toUnixTimestamp64Micro(toDateTime64({timestamp}, 6, 'UTC')), {begins:Array(Int64)}) as begin_us,
    count() as rows
from {events} as e
where {team_id} = {team:Int64}
    and {is_within_the_days}
group by begin_us
