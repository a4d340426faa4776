-- Ends a try that did not fill the slice.
-- $1 claim, $2 team, $3 day, $4 fence, $5 wait in ms, $6 error (or null), $7 failed for good,
-- $8 the try counts, $9 pieces, $10 waiting for events
update slices
set state = case
        when $7 and cancel = 0 then 'failed'
        when filled_at is not null then 'stale'
        else 'wanted'
    end,
    not_before = case when again = 1 or cancel = 1 then 0 else {now} + $5 end,
    attempts = case when ($8 and cancel = 0) or attempts = 0 then attempts else attempts - 1 end,
    error = $6,
    pieces = $9,
    waiting = $10,
    again = 0,
    cancel = 0,
    claim = null,
    owner = null,
    lease_until = null
where claim = $1 and team_id = $2 and day = $3 and fence = $4 and state = 'running'
