-- The rows of a rollup by team and bucket.
select
    toInt64(team_id) as team_id,
    toInt64(toUnixTimestamp(period_bucket)) as bucket_s,
    count() as rows
from {table}
where team_id in {teams:Array(Int64)}
group by team_id, bucket_s
