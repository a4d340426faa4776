select period_bucket, uniqMerge(persons_uniq_state), uniqMerge(sessions_uniq_state), sumMerge(pageviews_count_state)
from {stats}
where team_id = {team:UInt64}
group by period_bucket
order by period_bucket
