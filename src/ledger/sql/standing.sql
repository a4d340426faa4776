-- What is not filled, by team and by how far it is; each slice is counted once. $1 a JSON array of the
-- teams that have the setting on: only of the others slices are held, and only theirs are read one by one.
select team_id, far,
    count(*) as slices,
    -- for how long the first of them could have been claimed
    {now} - min(case when due <= {now} then due end) as due_ms,
    -- when the first day ended that the tables do not hold
    min(case when has_data = 0 then until_s end) as gap_s
from
(
    select s.team_id, s.until_s,
        case when s.filled_at is not null and s.left_bucket_s is null then 1 else 0 end as has_data,
        case
            when exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
                then 'cancelled'
            when exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
                then 'paused'
            when s.waiting = 1 then 'waiting'
            else s.state
        end as far,
        case when s.not_before > s.wanted_at then s.not_before else s.wanted_at end as due
    from slices s
    where s.state in ('wanted', 'stale') and s.held = 0
    union all
    select s.team_id, s.until_s,
        case when s.filled_at is not null and s.left_bucket_s is null then 1 else 0 end,
        s.state, null
    from slices s
    where s.state = 'running'
    union all
    select s.team_id, s.until_s,
        case when s.filled_at is not null and s.left_bucket_s is null then 1 else 0 end,
        case when s.held = 1 then 'held' else s.state end, null
    from slices s
    where s.state = 'failed'
    union all
    select s.team_id, s.until_s,
        case when s.filled_at is not null and s.left_bucket_s is null then 1 else 0 end,
        'held', null
    from slices s
    where s.state in ('wanted', 'stale') and s.held = 1
        -- whose days are all filled has none
        and s.team_id in (
            select team_id from tallies
            group by team_id
            having sum(slices) - sum(cleaned) > sum(with_data) - sum(stale)
        )
        and s.team_id not in (select cast(value as bigint) from {rows $1})
) unfinished
group by team_id, far
