-- The teams that have days which only cancelled runs asked for.
select distinct s.team_id
from slices s
where s.team_id in (select team_id from runs where cancelled_at is not null)
    and s.state in ('wanted', 'stale')
    and s.held = 0
    and exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
