-- What both rollups hold of each team, over all of its days. The sums are of the days weighed by their
-- bucket, as the ledger weighs what was verified (0005_tallies.sql).
select
    team_id,
    sum(rows_of_stats) as stats_rows,
    sum(rows_of_bounces) as bounces_rows,
    sum(views_of_stats) as stats_page_views,
    sum(views_of_bounces) as bounces_page_views,
    sum(sessions_of_bounces) as sessions
from
(
    select
        toInt64(team_id) as team_id,
        toInt64(count()) as rows_of_stats,
        toInt64(0) as rows_of_bounces,
        sum(toInt64(finalizeAggregation(pageviews_count_state)) * (intDiv(toUnixTimestamp(period_bucket), 900) % 4093)) as views_of_stats,
        toInt64(0) as views_of_bounces,
        toInt64(0) as sessions_of_bounces
    from {stats}
    where team_id in {teams:Array(Int64)}
    group by team_id
    union all
    select
        toInt64(team_id) as team_id,
        toInt64(0) as rows_of_stats,
        toInt64(count()) as rows_of_bounces,
        toInt64(0) as views_of_stats,
        sum(toInt64(finalizeAggregation(pageviews_count_state)) * (intDiv(toUnixTimestamp(period_bucket), 900) % 4093)) as views_of_bounces,
        sum(toInt64(finalizeAggregation(total_session_count_state)) * (intDiv(toUnixTimestamp(period_bucket), 900) % 4093)) as sessions_of_bounces
    from {bounces}
    where team_id in {teams:Array(Int64)}
    group by team_id
)
group by team_id
