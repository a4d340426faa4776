-- How it stands with the slices of a range of days, each team's own.
-- $1 a JSON array of [team, from day, until day]
select s.team_id, s.day, s.state, s.waiting
from
(
    select cast(value ->> 0 as bigint) as team_id, value ->> 1 as from_day, value ->> 2 as until_day
    from {rows $1}
) w
join slices s on s.team_id = w.team_id and s.day >= w.from_day and s.day < w.until_day
order by s.team_id, s.day
