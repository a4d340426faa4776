-- What both rollups hold within [from, until), by team and bucket: the numbers that a receipt has, too.
select
    team_id,
    bucket_s,
    sum(rows_of_stats) as stats_rows,
    sum(rows_of_bounces) as bounces_rows,
    sum(views_of_stats) as stats_page_views,
    sum(views_of_bounces) as bounces_page_views,
    sum(sessions_of_bounces) as sessions
from
(
    select
        toInt64(team_id) as team_id,
        toInt64(toUnixTimestamp(period_bucket)) as bucket_s,
        toInt64(count()) as rows_of_stats,
        toInt64(0) as rows_of_bounces,
        toInt64(sumMerge(pageviews_count_state)) as views_of_stats,
        toInt64(0) as views_of_bounces,
        toInt64(0) as sessions_of_bounces
    from {stats}
    where team_id in {teams:Array(Int64)}
        and period_bucket >= fromUnixTimestamp({from_s:Int64}) and period_bucket < fromUnixTimestamp({until_s:Int64})
    group by team_id, bucket_s
    union all
    select
        toInt64(team_id) as team_id,
        toInt64(toUnixTimestamp(period_bucket)) as bucket_s,
        toInt64(0) as rows_of_stats,
        toInt64(count()) as rows_of_bounces,
        toInt64(0) as views_of_stats,
        toInt64(sumMerge(pageviews_count_state)) as views_of_bounces,
        toInt64(sumMerge(total_session_count_state)) as sessions_of_bounces
    from {bounces}
    where team_id in {teams:Array(Int64)}
        and period_bucket >= fromUnixTimestamp({from_s:Int64}) and period_bucket < fromUnixTimestamp({until_s:Int64})
    group by team_id, bucket_s
)
group by team_id, bucket_s
