-- $1 claim, $2 team, $3 day, $4 fence, then the receipt
update slices
set state = case when again = 1 then 'stale' else 'filled' end,
    reason = case when again = 1 then 'asked for while it ran' else reason end,
    filled_at = {now},
    filled_fence = fence,
    not_before = 0,
    attempts = 0,
    waiting = 0,
    left_bucket_s = null,
    again = 0,
    claim = null,
    owner = null,
    lease_until = null,
    error = null,
    as_of_us = $5,
    stats_rows = $6,
    bounces_rows = $7,
    events = $8,
    sessions = $9,
    page_views = $10,
    persons = $11,
    bounces = $12,
    duration_seconds = $13,
    checksum = $14,
    elapsed_ms = $15
where claim = $1 and team_id = $2 and day = $3 and fence = $4 and state = 'running' and cancel = 0
    and lease_until > {now}
