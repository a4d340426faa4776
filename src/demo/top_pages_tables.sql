-- The same from the pre-aggregated table.
select
    pathname,
    uniqMerge(persons_uniq_state) as visitors,
    sumMerge(pageviews_count_state) as page_views
from web_pre_aggregated_stats
where team_id = {team:UInt64} and period_bucket >= fromUnixTimestamp(intDiv({from_us:Int64}, 1000000))
group by pathname
order by page_views desc, pathname
limit 8
