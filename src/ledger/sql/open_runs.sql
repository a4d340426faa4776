-- How many runs are not over, by status: as run_progress.sql has it, begun at the slices that are not
-- filled, of which there are few beside all slices of all runs.
select status, count(*) as runs
from
(
    select run_id,
        case
            when sum(case when far = 'running' then 1 else 0 end) > 0 then 'running'
            when sum(case when far = 'queued' then 1 else 0 end) > 0 then 'queued'
            when sum(case when far = 'paused' then 1 else 0 end) > 0 then 'paused'
            when sum(case when far = 'failed' then 1 else 0 end) > 0 then 'failed'
            else 'waiting'
        end as status
    from
    (
        select w.run_id,
            case
                when s.state = 'running' then 'running'
                when s.state = 'failed' then 'failed'
                when exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
                    then 'paused'
                when s.waiting = 1 then 'waiting'
                else 'queued'
            end as far
        from
        (
            select team_id, day, state, waiting, filled_fence
            from slices where state in ('wanted', 'stale') and held = 0
            union all
            select team_id, day, state, waiting, filled_fence from slices where state = 'running'
            union all
            select team_id, day, state, waiting, filled_fence from slices where state = 'failed' and held = 0
        ) s
        join runs r on r.team_id = s.team_id and r.cancelled_at is null
        join run_slices w on w.run_id = r.id and w.day = s.day
        where s.filled_fence <= w.after_fence
    ) of_runs
    group by run_id
) runs_now
group by status
