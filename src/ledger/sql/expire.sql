-- $1 claim: its statements are gone from the warehouse, its slices go back to the queue.
-- $2 its worker is known to be dead: the lease need not be over.
update slices
set state = case when filled_at is not null then 'stale' else 'wanted' end,
    -- nobody knows how far it came, so the next try looks at the tables
    error = 'the worker that held it stopped without a word',
    attempts = case when attempts > 0 then attempts - 1 else 0 end,
    cancel = 0,
    again = 0,
    claim = null,
    owner = null,
    lease_until = null
where claim = $1 and state = 'running'
    and ($2 or lease_until <= {now})
