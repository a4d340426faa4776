-- The open slices of the teams $1 that a task keeps which is paused by itself, with one such task. As the view paused_slices has it.
select s.team_id, s.day, min(r.id) as run
from runs r
join run_slices w on w.run_id = r.id
join slices s on s.team_id = r.team_id and s.day = w.day
where r.paused_at is not null
    and r.team_id in (select cast(value as bigint) from {rows $1})
    and s.state in ('wanted', 'stale')
    and s.filled_fence <= w.after_fence
group by s.team_id, s.day
