-- As unfinished.sql, the open slices of the teams $1, of which a run is paused or cancelled.
select team_id, far,
    count(*) as slices,
    {now} - min(case when due <= {now} then due end) as due_ms,
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
    where s.team_id in (select cast(value as bigint) from {rows $1})
        and s.state in ('wanted', 'stale') and s.held = 0
) unfinished
group by team_id, far
