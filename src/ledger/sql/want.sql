-- Slices that somebody wants: new, or (with $2) there already and to be done again.
-- $1 a JSON array of [day, zone, bucket_s, until_s, partition, reason, warehouse, [team, ...]], each
-- slice once, $2 again, $3 also what was cleaned or failed
insert into slices (team_id, day, timezone, bucket_s, until_s, partition, reason, warehouse, state, wanted_at)
-- materialized, or SQLite reads all of an element again for each of its teams
with alike as materialized (
    select
        value ->> 0 as day,
        value ->> 1 as timezone,
        cast(value ->> 2 as bigint) as bucket_s,
        cast(value ->> 3 as bigint) as until_s,
        cast(value ->> 4 as bigint) as partition,
        value ->> 5 as reason,
        value ->> 6 as warehouse,
        value -> 7 as teams
    from {rows $1}
)
select cast(value as bigint), day, timezone, bucket_s, until_s, partition, reason, warehouse, 'wanted', {now}
from alike, {rows teams}
-- tells SQLite's parser that what follows belongs to the insert
where true
on conflict (team_id, day) do update
set state = case
        when slices.state = 'running' then 'running'
        when slices.filled_at is not null and slices.state <> 'cleaned' and slices.warehouse = excluded.warehouse
            then 'stale'
        else 'wanted'
    end,
    again = case when slices.state = 'running' then 1 else 0 end,
    -- what made it stale still holds when a request is cancelled
    reason = case
        when slices.state = 'stale' and (excluded.reason = 'forced' or slices.reason = 'cleanup not ended')
            then slices.reason
        else excluded.reason
    end,
    timezone = case when slices.state = 'running' then slices.timezone else excluded.timezone end,
    warehouse = case when slices.state = 'running' then slices.warehouse else excluded.warehouse end,
    -- the tables of another warehouse do not hold it
    filled_at = case
        when slices.state = 'running' or slices.warehouse = excluded.warehouse then slices.filled_at
    end,
    left_bucket_s = case
        when slices.state <> 'running' and slices.warehouse <> excluded.warehouse then null
        -- where the rows are: a second move before the first was filled leaves them there
        when slices.state <> 'running' and (slices.filled_at is not null or slices.unrecorded = 1)
            and slices.bucket_s <> excluded.bucket_s
            then coalesce(slices.left_bucket_s, slices.bucket_s)
        else slices.left_bucket_s
    end,
    unrecorded = case
        when slices.state <> 'running' and slices.warehouse <> excluded.warehouse then 0
        else slices.unrecorded
    end,
    bucket_s = case when slices.state = 'running' then slices.bucket_s else excluded.bucket_s end,
    until_s = case when slices.state = 'running' then slices.until_s else excluded.until_s end,
    partition = case when slices.state = 'running' then slices.partition else excluded.partition end,
    wanted_at = excluded.wanted_at,
    attempts = 0,
    cut_offs = 0,
    not_before = 0,
    waiting = 0,
    error = null
where $2 or ($3 and slices.state in ('cleaned', 'failed'))
    -- one that waits for its next try is tried now, because somebody asks
    or ($3 and slices.state in ('wanted', 'stale') and slices.not_before > 0)
