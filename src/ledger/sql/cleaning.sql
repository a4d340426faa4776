-- The rows of these days are about to be deleted: whoever dies meanwhile leaves no day that seems to be filled.
-- $1 team, $2 from day, $3 until day, $4 the reason
update slices
set state = 'stale',
    reason = $4,
    error = null,
    error_class = null
where team_id = $1 and day >= $2 and day < $3 and filled_at is not null and state in ('filled', 'stale', 'failed')
