-- $1 claim: its statements are gone from the warehouse, its slices go back to the queue.
-- $2 its worker is known to be dead: the lease need not be over.
update slices
set state = case
        -- its rows were right before somebody asked for them again, and nobody does any more
        when cancel = 1 and filled_at is not null and reason = 'forced' and again = 0
            and not exists (select 1 from asked_slices a where a.team_id = slices.team_id and a.day = slices.day)
            then 'filled'
        when filled_at is not null then 'stale'
        else 'wanted'
    end,
    reason = case when again = 1 then 'asked for while it ran' else reason end,
    -- nobody knows how far it came, so the next try looks at the tables
    error = 'the worker that held it stopped without a word',
    error_class = null,
    attempts = case when attempts > 0 then attempts - 1 else 0 end,
    cancel = 0,
    again = 0,
    claim = null,
    owner = null,
    lease_until = null
where claim = $1 and state = 'running'
    and ($2 or lease_until <= {now})
