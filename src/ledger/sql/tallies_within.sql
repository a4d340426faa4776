-- As tallies.sql, of the slices of a range of days, each team's own.
-- $1 a JSON array of [team, from day, until day]
select s.team_id,
    count(*) as slices,
    count(*) filter (where s.state = 'cleaned') as cleaned,
    count(*) filter (where s.filled_at is not null and s.left_bucket_s is null) as with_data,
    count(*) filter (where s.state = 'stale') as stale,
    count(*) filter (where s.state = 'failed') as failed,
    count(*) filter (where s.state = 'running') as running,
    cast(sum(s.waiting) as bigint) as waiting,
    min(s.day) as first,
    max(s.day) as last
from
(
    select cast(value ->> 0 as bigint) as team_id, value ->> 1 as from_day, value ->> 2 as until_day
    from {rows $1}
) w
join slices s on s.team_id = w.team_id and s.day >= w.from_day and s.day < w.until_day
group by s.team_id
