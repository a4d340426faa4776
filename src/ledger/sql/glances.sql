-- The slices of some teams within a range of days, with what keeps them. $1 teams, $2 from, $3 until
select s.*,
    s.state in ('wanted', 'stale') and exists (
        select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day) as is_paused,
    s.state in ('wanted', 'stale') and exists (
        select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day) as is_cancelled
from slices s
where s.team_id in (select cast(value as bigint) from {rows $1}) and s.day >= $2 and s.day < $3
order by s.team_id, s.day
