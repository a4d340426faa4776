-- Slices of which rows were written that nobody recorded, and that nobody fills as things stand; and where these rows
-- are: at the beginning of the day, and at that in the zone that the team has left since. Not where the rows of another
-- day of the team are, which was moved, too.
-- $1 warehouse
select s.team_id, s.day, s.fence, s.partition,
    case when not exists (
        select 1 from slices o
        where o.team_id = s.team_id and o.left_bucket_s = s.bucket_s and o.day <> s.day)
        then s.bucket_s end as bucket_s,
    case when s.filled_at is null and not exists (
        select 1 from slices o
        where o.team_id = s.team_id and o.bucket_s = s.left_bucket_s and o.day <> s.day)
        then s.left_bucket_s end as left_bucket_s
from slices s
where s.unrecorded = 1 and s.warehouse = $1 and s.state <> 'running'
    and (s.held = 1
        or s.state not in ('wanted', 'stale')
        or exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        or exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day))
order by s.partition, s.bucket_s, s.team_id
