-- $1 claim, $2 a JSON array of [team, day, fence, then the receipt]
update slices
set state = case when again = 1 then 'stale' else 'filled' end,
    reason = case
        when again = 1 then 'asked for while it ran'
        -- it is whole again
        when reason = 'cleanup not ended' then 'request'
        else reason
    end,
    filled_at = {now},
    filled_fence = slices.fence,
    not_before = 0,
    attempts = 0,
    cut_offs = 0,
    waiting = 0,
    left_bucket_s = null,
    unrecorded = 0,
    again = 0,
    claim = null,
    owner = null,
    lease_until = null,
    error = null,
    as_of_us = cast(f.receipt ->> 3 as bigint),
    stats_rows = cast(f.receipt ->> 4 as bigint),
    bounces_rows = cast(f.receipt ->> 5 as bigint),
    events = cast(f.receipt ->> 6 as bigint),
    sessions = cast(f.receipt ->> 7 as bigint),
    page_views = cast(f.receipt ->> 8 as bigint),
    persons = cast(f.receipt ->> 9 as bigint),
    bounces = cast(f.receipt ->> 10 as bigint),
    duration_seconds = cast(f.receipt ->> 11 as bigint),
    checksum = cast(f.receipt ->> 12 as bigint),
    elapsed_ms = cast(f.receipt ->> 13 as bigint),
    definition = cast(f.receipt ->> 14 as bigint)
from (
    select
        cast(value ->> 0 as bigint) as team_id,
        value ->> 1 as day,
        cast(value ->> 2 as bigint) as fence,
        value as receipt
    from {rows $2}
) as f
where slices.team_id = f.team_id and slices.day = f.day and slices.fence = f.fence
    and slices.claim = $1 and slices.state = 'running' and slices.cancel = 0
    and slices.lease_until > {now}
returning slices.team_id, slices.day
