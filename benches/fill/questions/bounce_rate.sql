select period_bucket, sumMerge(bounces_count_state) / sumMerge(total_session_count_state), sumMerge(total_session_duration_state)
from {bounces}
where team_id = {team:UInt64}
group by period_bucket
order by period_bucket
