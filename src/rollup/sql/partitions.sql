-- The partitions that hold rows of these teams within these instants.
select distinct toInt64(toYYYYMMDD(period_bucket)) as value
from {table}
where team_id in {teams:Array(UInt64)}
    and period_bucket >= fromUnixTimestamp({from_s:Int64})
    and period_bucket < fromUnixTimestamp({until_s:Int64})
order by value
