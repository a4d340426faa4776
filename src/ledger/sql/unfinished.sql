-- What is neither filled nor cleaned, by team and by how far it is; each slice is counted once.
-- $1 a JSON array of teams that have the setting off and may have slices that are held: only theirs are
-- read one by one. $2 a JSON array of teams of which a run is stopped: see unfinished_stopped.sql.
-- Without a question about each slice: of Postgres' planner that makes a program first, which takes longer.
select team_id, far,
    count(*) as slices,
    -- for how long the first of them could have been claimed
    {now} - min(case when due <= {now} then due end) as due_ms,
    -- when the first day ended that the tables do not hold
    min(case when has_data = 0 then until_s end) as gap_s
from
(
    select team_id, until_s,
        case when filled_at is not null and left_bucket_s is null then 1 else 0 end as has_data,
        case when waiting = 1 then 'waiting' else state end as far,
        case when not_before > wanted_at then not_before else wanted_at end as due
    from slices
    where state in ('wanted', 'stale') and held = 0
        and team_id not in (select cast(value as bigint) from {rows $2})
    union all
    select team_id, until_s,
        case when filled_at is not null and left_bucket_s is null then 1 else 0 end,
        state, null
    from slices
    where state = 'running'
    union all
    select team_id, until_s,
        case when filled_at is not null and left_bucket_s is null then 1 else 0 end,
        case when held = 1 then 'held' else state end, null
    from slices
    where state = 'failed'
    union all
    select team_id, until_s,
        case when filled_at is not null and left_bucket_s is null then 1 else 0 end,
        'held', null
    from slices
    where team_id in (select cast(value as bigint) from {rows $1})
        and state in ('wanted', 'stale') and held = 1
) unfinished
group by team_id, far
