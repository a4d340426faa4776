-- What failed, or waits for its next try after an error, is tried now. The days are those that were
-- asked for, and what succeeded is left alone.
-- $1 run (or null: any), $2 team (or null: any)
update slices
set state = case when filled_at is not null then 'stale' else 'wanted' end,
    attempts = 0,
    cut_offs = 0,
    not_before = 0,
    error = null
where ($2 is null or team_id = $2)
    and ($1 is null or exists (
        select 1 from run_slices w
        where w.run_id = $1 and w.team_id = slices.team_id and w.day = slices.day
            and slices.filled_fence <= w.after_fence))
    and (state = 'failed'
        or (state in ('wanted', 'stale') and waiting = 0 and error is not null and not_before > {now}))
