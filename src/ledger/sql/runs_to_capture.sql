-- Runs that PostHog may have to be told of, in the order in which they were asked for, with how far they
-- are. $1 asked for since, $2 and $3 asked for after this time and id, $4 the most runs
select r.*,
    count(w.day) as days,
    count(w.day) filter (where s.fence > w.after_fence) as begun,
    count(w.day) filter (where s.filled_fence > w.after_fence) as filled,
    count(w.day) filter (where s.filled_fence <= w.after_fence and s.held = 0 and s.state = 'failed') as failed,
    count(w.day) filter (where s.filled_fence <= w.after_fence and s.held = 0
        and s.state in ('wanted', 'stale', 'running')) as open,
    max(case when s.filled_fence > w.after_fence then s.filled_at end) as filled_at,
    cast(coalesce(sum(case when s.filled_fence > w.after_fence then s.stats_rows + s.bounces_rows end), 0) as bigint) as rows_written,
    -- of the newest day that failed: days of ten characters come first in order
    max(case when s.filled_fence <= w.after_fence and s.state = 'failed'
        then s.day || coalesce(s.error_class, '') end) as failed_with
from
(
    select id, team_id, date_start, date_end, reason, requested_at, captured
    from runs
    where captured < 3 and cancelled_at is null and requested_at >= $1
        and (requested_at > $2 or (requested_at = $2 and id > $3))
    order by requested_at, id
    limit $4
) r
left join run_slices w on w.run_id = r.id
left join slices s on s.team_id = w.team_id and s.day = w.day
group by r.id, r.team_id, r.date_start, r.date_end, r.reason, r.requested_at, r.captured
order by r.requested_at, r.id
