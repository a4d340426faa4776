-- A run that was cancelled is wanted again: so are those of its days that were filled before it.
-- $1 run
update slices
set state = 'stale',
    reason = 'forced',
    wanted_at = {now},
    attempts = 0,
    cut_offs = 0,
    not_before = 0,
    error = null
where state = 'filled'
    and (team_id, day) in (
        select w.team_id, w.day from run_slices w
        where w.run_id = $1 and slices.filled_fence <= w.after_fence)
