-- The partitions other than the day's own that hold rows of these teams within the day, or where they were before.
select distinct toInt64(toYYYYMMDD(period_bucket)) as value
from {table}
where team_id in {teams:Array(UInt64)}
    and (period_bucket >= fromUnixTimestamp({from_s:Int64})
            and period_bucket < fromUnixTimestamp({until_s:Int64})
        or has({left:Array(Tuple(UInt64, Int64))}, (team_id, toInt64(toUnixTimestamp(period_bucket)))))
    and toYYYYMMDD(period_bucket) != {partition:UInt32}
order by value
