-- How many slices each team has of which kind, and how far they reach; of a team that never had any there
-- is nothing. $1 the teams, or null: all of them
select t.*,
    (select min(s.day) from slices s where s.team_id = t.team_id) as first,
    (select max(s.day) from slices s where s.team_id = t.team_id) as last,
    (select min(s.day) from slices s
        where s.team_id = t.team_id and s.filled_at is not null and s.left_bucket_s is null) as oldest,
    (select max(s.day) from slices s
        where s.team_id = t.team_id and s.filled_at is not null and s.left_bucket_s is null) as newest
from
(
    select team_id,
        cast(sum(slices) as bigint) as slices,
        cast(sum(cleaned) as bigint) as cleaned,
        cast(sum(with_data) as bigint) as with_data,
        cast(sum(stale) as bigint) as stale,
        cast(sum(failed) as bigint) as failed,
        cast(sum(running) as bigint) as running,
        cast(sum(waiting) as bigint) as waiting,
        cast(sum(page_views_weighed) as bigint) as page_views_weighed,
        cast(sum(sessions_weighed) as bigint) as sessions_weighed
    from tallies
    where $1 is null or team_id in (select cast(value as bigint) from {rows $1})
    group by team_id
) t
