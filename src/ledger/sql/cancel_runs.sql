-- Cancels the runs that still have something to do; to wait for events is nothing.
-- $1 run (or null: any), $2 team (or null: any)
update runs
set cancelled_at = {now},
    paused_at = null
where ($1 is null or id = $1) and ($2 is null or team_id = $2)
    and cancelled_at is null
    and exists (
        select 1 from run_slices w
        join slices s on s.team_id = w.team_id and s.day = w.day
        where w.run_id = runs.id and s.filled_fence <= w.after_fence
            and (s.state = 'running' or (s.state in ('wanted', 'stale') and s.waiting = 0)))
returning id
