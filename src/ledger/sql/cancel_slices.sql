-- What runs that were cancelled wanted and nobody else wants: what runs is to stop, and what was right
-- before somebody asked for it again is so still. What became stale for another reason is refilled all
-- the same, and what was never filled is left alone from now on (the view cancelled_slices).
-- $1 the runs as a JSON array of [run]
update slices
set cancel = case when state = 'running' then 1 else cancel end,
    state = case when state = 'stale' then 'filled' else state end,
    not_before = 0
where (team_id, day) in (
        select w.team_id, w.day from run_slices w
        where w.run_id in (select value ->> 0 from {rows $1})
            and slices.filled_fence <= w.after_fence)
    and (
        (state = 'running' and (filled_at is null or reason = 'forced'))
        or (state = 'stale' and reason = 'forced'))
    and not exists (select 1 from asked_slices a where a.team_id = slices.team_id and a.day = slices.day)
