-- How many rows both rollups have of some instants, by team and bucket.
select
    team_id,
    bucket_s,
    toInt64(countIf(is_stats)) as stats_rows,
    toInt64(countIf(not is_stats)) as bounces_rows
from
(
    select toInt64(team_id) as team_id, toInt64(toUnixTimestamp(period_bucket)) as bucket_s, true as is_stats
    from {stats}
    where team_id in {teams:Array(Int64)}
        and period_bucket >= fromUnixTimestamp({from_s:Int64}) and period_bucket < fromUnixTimestamp({until_s:Int64})
    union all
    select toInt64(team_id) as team_id, toInt64(toUnixTimestamp(period_bucket)) as bucket_s, false as is_stats
    from {bounces}
    where team_id in {teams:Array(Int64)}
        and period_bucket >= fromUnixTimestamp({from_s:Int64}) and period_bucket < fromUnixTimestamp({until_s:Int64})
)
group by team_id, bucket_s
