-- Pauses a run that still has something to do. $1 run
update runs
set paused_at = coalesce(paused_at, {now})
where id = $1 and cancelled_at is null
    and exists (
        select 1 from run_slices w
        join slices s on s.team_id = w.team_id and s.day = w.day
        where w.run_id = runs.id and s.filled_fence <= w.after_fence
            and (s.state = 'running' or (s.state in ('wanted', 'stale') and s.waiting = 0)))
