-- The rows that a rollup has of a team within a range.
select count() as rows
from {table}
where team_id = {team:UInt64}
    and period_bucket >= fromUnixTimestamp({from_s:Int64})
    and period_bucket < fromUnixTimestamp({until_s:Int64})
