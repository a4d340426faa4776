-- What a dashboard shows of a team, by the instants at which its days begin, from the table of bounces.
select
    toInt64(roundDown(toUnixTimestamp(period_bucket), {begins:Array(Int64)})) as begin_s,
    uniqMerge(persons_uniq_state) as visitors,
    toInt64(sumMerge(pageviews_count_state)) as page_views,
    toInt64(sumMerge(total_session_count_state)) as sessions,
    toInt64(sumMerge(bounces_count_state)) as bounces
from {bounces}
where team_id = {team:UInt64}
    and period_bucket >= fromUnixTimestamp({from_s:Int64}) and period_bucket < fromUnixTimestamp({until_s:Int64})
group by begin_s
-- A page waits no longer for it.
settings max_execution_time = 3
