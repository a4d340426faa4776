-- The raw events of a team within a day.
select count() as rows
from {events} as e
where {team_id} = {team:Int64}
    and {timestamp} >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and {timestamp} < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
