-- The rows of these teams within a day, in the table or in a copy of it.
alter table {table}
delete where {mark:String} != '' and team_id in {teams:Array(UInt64)}
    and (period_bucket >= fromUnixTimestamp({from_s:Int64})
            and period_bucket < fromUnixTimestamp({until_s:Int64})
        or has({left:Array(Tuple(UInt64, Int64))}, (team_id, toInt64(toUnixTimestamp(period_bucket)))))
settings mutations_sync = 2
