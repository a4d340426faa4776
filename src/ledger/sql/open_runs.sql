-- How many runs are not over, by status: as run_progress.sql has it, begun at the slices that are not
-- filled, of which there are few beside all slices of all runs.
select
    case first
        when 0 then 'running'
        when 1 then 'queued'
        when 2 then 'paused'
        when 3 then 'failed'
        else 'waiting'
    end as status,
    count(*) as runs
from
(
    select run_id,
        min(case
            when state = 'running' then 0
            when state = 'failed' then 3
            when is_paused = 1 then 2
            when waiting = 1 then 4
            else 1
        end) as first
    from
    (
        select r.id as run_id, s.state, s.waiting, s.filled_fence,
            -- looked up one by one, however little the database knows of how many there are
            (select w.after_fence from run_slices w where w.run_id = r.id and w.day = s.day) as after_fence,
            case
                when exists (select 1 from pauses p where p.team_id = 0 or p.team_id = s.team_id) then 1
                -- as the view paused_slices has it
                when exists (
                    select 1 from runs o
                    join run_slices v on v.run_id = o.id and v.day = s.day
                    where o.paused_at is not null and o.team_id = s.team_id and s.filled_fence <= v.after_fence)
                    then 1
                else 0
            end as is_paused
        from
        (
            select team_id, day, state, waiting, filled_fence
            from slices where state in ('wanted', 'stale') and held = 0
            union all
            select team_id, day, state, waiting, filled_fence from slices where state = 'running'
            union all
            select team_id, day, state, waiting, filled_fence from slices where state = 'failed' and held = 0
        ) s
        -- a cross join is done in this order by SQLite
        cross join runs r
        where r.team_id = s.team_id and r.cancelled_at is null
    ) of_runs
    where filled_fence <= after_fence
    group by run_id
) open_runs
group by first
