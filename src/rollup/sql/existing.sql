-- Whether either table holds rows of these teams within the day: 1 or 0, and whether one of them
-- is in another partition than the day's own, left from before the team moved to another zone.
select
    toUInt8(count() > 0) as there,
    toUInt8(countIf(toYYYYMMDD(period_bucket) != {partition:UInt32}) > 0) as elsewhere
from
(
    select period_bucket
    from {stats}
    where team_id in {teams:Array(UInt64)}
        and (period_bucket >= fromUnixTimestamp({from_s:Int64})
                and period_bucket < fromUnixTimestamp({until_s:Int64})
            or has({left:Array(Tuple(UInt64, Int64))}, (team_id, toInt64(toUnixTimestamp(period_bucket)))))
    union all
    select period_bucket
    from {bounces}
    where team_id in {teams:Array(UInt64)}
        and (period_bucket >= fromUnixTimestamp({from_s:Int64})
                and period_bucket < fromUnixTimestamp({until_s:Int64})
            or has({left:Array(Tuple(UInt64, Int64))}, (team_id, toInt64(toUnixTimestamp(period_bucket)))))
)
