-- What the stats rollup says of each day, a row a team.
select
    toInt64(team_id) as team_id,
    roundDown(toInt64(toUnixTimestamp(period_bucket)), {begins:Array(Int64)}) as begin_s,
    toInt64(count()) as rows,
    uniqMerge(persons_uniq_state) as persons,
    uniqMerge(sessions_uniq_state) as sessions_uniq,
    sumMerge(pageviews_count_state) as page_views
from {stats}
where team_id in {teams:Array(UInt64)}
    and period_bucket >= fromUnixTimestamp({from_s:Int64})
    and period_bucket < fromUnixTimestamp({until_s:Int64})
group by team_id, begin_s
