-- Ends a try that did not fill the slice.
-- $1 claim, $2 team, $3 day, $4 fence, $5 wait in ms, $6 error (or null), $7 failed for good,
-- $8 the try counts, $9 waiting for events
update slices
set state = case
        when $7 and cancel = 0 then 'failed'
        -- its rows were right before somebody asked for them again, and nobody does any more
        when cancel = 1 and filled_at is not null and reason = 'forced' and again = 0
            and not exists (select 1 from asked_slices a where a.team_id = slices.team_id and a.day = slices.day)
            then 'filled'
        when filled_at is not null then 'stale'
        else 'wanted'
    end,
    not_before = case when again = 1 or cancel = 1 then 0 else {now} + $5 end,
    attempts = case when ($8 and cancel = 0) or attempts = 0 then attempts else attempts - 1 end,
    error = $6,
    waiting = $9,
    reason = case when again = 1 then 'asked for while it ran' else reason end,
    again = 0,
    cancel = 0,
    claim = null,
    owner = null,
    lease_until = null
where claim = $1 and team_id = $2 and day = $3 and fence = $4 and state = 'running'
