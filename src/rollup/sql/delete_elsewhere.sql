-- One of the deletions of a statement, as delete_rows.sql: in one of the partitions other than the day's own.
delete in partition {elsewhere} where {mark:String} != '' and team_id in {teams:Array(UInt64)}
    and (period_bucket >= fromUnixTimestamp({from_s:Int64})
            and period_bucket < fromUnixTimestamp({until_s:Int64})
        or has({left:Array(Tuple(UInt64, Int64))}, (team_id, toInt64(toUnixTimestamp(period_bucket)))))
