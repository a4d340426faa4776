-- $1 run. One row: its slices by how far they are. A slice that was filled for this run and has
-- become stale since counts as filled.
select
    count(*) as days,
    coalesce(sum(done), 0) as filled,
    coalesce(sum(not done and state = 'failed'), 0) as failed,
    coalesce(sum(not done and state = 'running'), 0) as running,
    coalesce(sum(not done and waiting = 1 and state in ('wanted', 'stale')), 0) as waiting,
    coalesce(sum(state is null or state = 'cleaned' or (held = 1 and state <> 'running' and not done)), 0) as cancelled,
    coalesce(sum(case when done then stats_rows end), 0) as stats_rows,
    coalesce(sum(case when done then bounces_rows end), 0) as bounces_rows,
    coalesce(sum(case when done then events end), 0) as events,
    coalesce(sum(case when done then sessions end), 0) as sessions,
    coalesce(sum(case when done then page_views end), 0) as page_views
from
(
    select s.*,
        coalesce(s.state <> 'cleaned' and s.filled_fence > w.after_fence, 0) as done
    from run_slices w
    left join slices s on s.team_id = w.team_id and s.day = w.day
    where w.run_id = $1
)
