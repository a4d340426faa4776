-- One of the deletions of a statement, as delete_rows.sql: in one partition of many.
delete in partition {partition} where {mark:String} != '' and team_id in {teams:Array(UInt64)}
    and period_bucket >= fromUnixTimestamp({from_s:Int64})
    and period_bucket < fromUnixTimestamp({until_s:Int64})
