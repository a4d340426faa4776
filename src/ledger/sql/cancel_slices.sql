-- What runs that were cancelled wanted and nobody else wants: what runs is to stop, and what was right
-- before somebody asked for it again is so still. What became stale for another reason is refilled all
-- the same, and what was never filled is left alone from now on (the view cancelled_slices).
-- $1 the runs as a JSON array of [run]
update slices
set cancel = case when state = 'running' then 1 else cancel end,
    state = case when state = 'stale' then 'filled' else state end,
    not_before = 0
where exists (
        select 1 from runs r
        join run_slices w on w.run_id = r.id and w.day = slices.day
        where r.team_id = slices.team_id and slices.filled_fence <= w.after_fence
            and r.id in (select value ->> 0 from {rows $1}))
    and (
        (state = 'running' and (filled_at is null or reason = 'forced'))
        or (state = 'stale' and reason = 'forced'))
    and not exists (select 1 from asked_slices a where a.team_id = slices.team_id and a.day = slices.day)
