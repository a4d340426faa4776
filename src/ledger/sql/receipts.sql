-- What was verified of the filled days of some teams: a limited number of days.
-- $1 teams as a JSON array, $2 the most days
select team_id, day, bucket_s, page_views, sessions
from slices
where team_id in (select cast(value as bigint) from {rows $1})
    and state = 'filled' and as_of_us is not null
order by team_id, day
limit $2
