-- As delete_rows.sql, in one partition of many.
alter table {table}
delete in partition {partition} where team_id in {teams:Array(UInt64)}
    and period_bucket >= fromUnixTimestamp({from_s:Int64})
    and period_bucket < fromUnixTimestamp({until_s:Int64})
settings mutations_sync = 2
