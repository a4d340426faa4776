-- Which slices runs wait for. Filled ones are left out unless they are forced; the fence tells the fill
-- that a run brings from one that was there.
-- $1 a JSON array of [run, team, date_start, date_end], $2 forced
insert into run_slices (run_id, team_id, day, after_fence)
select value ->> 0, s.team_id, s.day,
    case when s.state = 'running' and not $2 then s.fence - 1 else s.fence end
from {rows $1}
join slices s on s.team_id = cast(value ->> 1 as bigint) and s.day >= value ->> 2 and s.day < value ->> 3
where $2 or s.state <> 'filled'
