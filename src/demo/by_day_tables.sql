-- The same from the pre-aggregated table.
select
    toString(toDate(period_bucket, {timezone:String})) as day,
    uniqMerge(persons_uniq_state) as visitors,
    sumMerge(pageviews_count_state) as page_views,
    sumMerge(total_session_count_state) as sessions,
    round(100 * sumMerge(bounces_count_state) / sessions, 1) as bounce_rate
from web_pre_aggregated_bounces
where team_id = {team:UInt64} and period_bucket >= fromUnixTimestamp(intDiv({from_us:Int64}, 1000000))
group by day
order by day desc
