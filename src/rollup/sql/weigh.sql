-- How many events each team has on each of the days within [from, until).
select
    toInt64({team_id}) as team_id,
    roundDown(toInt64(toUnixTimestamp({timestamp})), {begins:Array(Int64)}) as begin_s,
    count() as events
from {events} as e
where {team_id} in {teams:Array(Int64)}
    and {is_within_the_days}
group by team_id, begin_s
