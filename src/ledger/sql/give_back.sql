-- Ends a try that did not fill some slices.
-- $1 claim, $2 a JSON array of [team, day, fence], $3 wait in ms, $4 error (or null), $5 failed for good,
-- $6 the try counts, $7 waiting for events, $8 class of the error (or null)
update slices
set state = case
        when $5 and cancel = 0 then 'failed'
        -- its rows were right before somebody asked for them again, and nobody does any more
        when cancel = 1 and filled_at is not null and reason = 'forced' and again = 0
            and not exists (select 1 from asked_slices a where a.team_id = slices.team_id and a.day = slices.day)
            then 'filled'
        when filled_at is not null then 'stale'
        else 'wanted'
    end,
    not_before = case when again = 1 or cancel = 1 then 0 else {now} + $3 end,
    attempts = case when ($6 and cancel = 0) or attempts = 0 then attempts else attempts - 1 end,
    -- nothing is wrong with what somebody stopped
    error = case when cancel = 1 then null else $4 end,
    error_class = case when cancel = 1 then null else $8 end,
    -- the warehouse was there to the end of it
    cut_offs = case when $7 = 1 or coalesce($8, 'unreachable') <> 'unreachable' then 0 else cut_offs end,
    waiting = $7,
    reason = case when again = 1 then 'asked for while it ran' else reason end,
    again = 0,
    cancel = 0,
    claim = null,
    owner = null,
    lease_until = null
where claim = $1 and state = 'running'
    and (team_id, day, fence) in (
        select cast(value ->> 0 as bigint), value ->> 1, cast(value ->> 2 as bigint) from {rows $2})
