-- $1 run. One row: its slices by how far they are. A slice that was filled for this run and has
-- become stale since counts as filled.
select
    count(*) as days,
    count(*) filter (where done) as filled,
    count(*) filter (where not done and state = 'failed') as failed,
    count(*) filter (where not done and state = 'running') as running,
    count(*) filter (where not done and waiting = 1 and state in ('wanted', 'stale')) as waiting,
    count(*) filter (where state is null or state = 'cleaned'
        or (held = 1 and state <> 'running' and not done)) as cancelled,
    cast(coalesce(sum(case when done then stats_rows end), 0) as bigint) as stats_rows,
    cast(coalesce(sum(case when done then bounces_rows end), 0) as bigint) as bounces_rows,
    cast(coalesce(sum(case when done then events end), 0) as bigint) as events,
    cast(coalesce(sum(case when done then sessions end), 0) as bigint) as sessions,
    cast(coalesce(sum(case when done then page_views end), 0) as bigint) as page_views
from
(
    select s.*,
        coalesce(s.state <> 'cleaned' and s.filled_fence > w.after_fence, false) as done
    from run_slices w
    left join slices s on s.team_id = w.team_id and s.day = w.day
    where w.run_id = $1
) of_run
