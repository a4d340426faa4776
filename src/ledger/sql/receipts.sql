-- What was verified of the days with data of some teams, also of days that are to be filled again: a limited
-- number of days.
-- $1 teams as a JSON array, $2 the most days
select team_id, day, bucket_s, page_views, sessions
from slices
where team_id in (select cast(value as bigint) from {rows $1})
    and state in ('filled', 'stale') and as_of_us is not null and left_bucket_s is null
order by team_id, day
limit $2
