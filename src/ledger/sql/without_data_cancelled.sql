-- As without_data.sql, the days that the tables do not hold of the teams $2, of which a run is cancelled: what
-- that run alone wanted is not wanted any more. $1 the most
select team_id, day, bucket_s, until_s, state, error, 0 as has_data
from slices s
where team_id in (select cast(value as bigint) from {rows $2})
    and (state in ('failed', 'running') or (state in ('wanted', 'stale') and held = 0))
    and (filled_at is null or (left_bucket_s is not null and state <> 'failed'))
    and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
limit $1
