-- $1 run. One row: its slices by how far they are. A slice that was filled for this run and has
-- become stale since counts as filled.
select
    count(*) as days,
    count(*) filter (where far = 'filled') as filled,
    count(*) filter (where far = 'failed') as failed,
    count(*) filter (where far = 'running') as running,
    count(*) filter (where far = 'waiting') as waiting,
    count(*) filter (where far = 'cancelled') as cancelled,
    count(*) filter (where far = 'paused') as paused,
    cast(coalesce(sum(case when far = 'filled' then stats_rows end), 0) as bigint) as stats_rows,
    cast(coalesce(sum(case when far = 'filled' then bounces_rows end), 0) as bigint) as bounces_rows,
    cast(coalesce(sum(case when far = 'filled' then events end), 0) as bigint) as events,
    cast(coalesce(sum(case when far = 'filled' then sessions end), 0) as bigint) as sessions,
    cast(coalesce(sum(case when far = 'filled' then page_views end), 0) as bigint) as page_views
from
(
    select s.*,
        case
            when s.state is null or s.state = 'cleaned' then 'cancelled'
            when s.filled_fence > w.after_fence then 'filled'
            when s.state = 'running' then 'running'
            when s.held = 1 or r.cancelled_at is not null then 'cancelled'
            when s.state = 'failed' then 'failed'
            when exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
                then 'paused'
            when s.waiting = 1 then 'waiting'
            else 'queued'
        end as far
    from run_slices w
    join runs r on r.id = w.run_id
    left join slices s on s.team_id = w.team_id and s.day = w.day
    where w.run_id = $1
) of_run
