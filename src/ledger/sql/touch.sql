-- $1 team, $2 day, $3 reason: the day has changed since it was filled; $4 (or null) at that time.
update slices
set state = case when state = 'running' then 'running' when state = 'filled' then 'stale' else state end,
    again = case when state = 'running' then 1 else again end,
    -- waiting for events is over when events come
    not_before = case when waiting = 1 then 0 else not_before end,
    waiting = 0,
    reason = case when state = 'filled' or (state = 'stale' and reason = 'forced') then $3 else reason end,
    wanted_at = case when state = 'filled' then {now} else wanted_at end
where team_id = $1 and day = $2
    and (state in ('filled', 'running') or waiting = 1 or (state = 'stale' and reason = 'forced'))
    and ($4 is null or filled_at = $4)
