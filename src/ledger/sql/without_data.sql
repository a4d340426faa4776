-- Days that are wanted and not right, the failed ones first, a limited number of each kind: those that the
-- tables do not hold, and those that they hold, perhaps as they were in another zone, and that could not be
-- filled again. Those that are open and
-- held are of teams that have the setting off. $1 the most of a kind, $2 a JSON array of teams of which a run
-- is cancelled: of theirs that the tables do not hold see without_data_cancelled.sql.
-- Without a question about each slice: of Postgres' planner that makes a program first, which takes longer.
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0 as has_data
    from slices
    where state = 'failed' and filled_at is null
        and team_id not in (select cast(value as bigint) from {rows $2})
    order by team_id, day
    limit $1
) failed
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 1
    from slices
    -- by a case, so that no planner takes the index of all days with data for it
    where state = 'failed' and case when filled_at is null then 0 else 1 end = 1
    order by team_id, day
    limit $1
) refill_failed
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0
    from slices
    where state = 'running' and (filled_at is null or left_bucket_s is not null)
        and team_id not in (select cast(value as bigint) from {rows $2})
    limit $1
) running
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0
    from slices
    where state in ('wanted', 'stale') and (filled_at is null or left_bucket_s is not null) and held = 0
        and team_id not in (select cast(value as bigint) from {rows $2})
    limit $1
) open
