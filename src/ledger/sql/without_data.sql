-- Days that are wanted and that the tables do not hold, the failed ones first, a limited number of
-- each kind. Those that are open and held are of teams that have the setting off. $1 the most of a kind
select * from
(
    select team_id, day, bucket_s, until_s, state, error
    from slices
    where state = 'failed' and (filled_at is null or left_bucket_s is not null)
    order by team_id, day
    limit $1
) failed
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error
    from slices
    where state = 'running' and (filled_at is null or left_bucket_s is not null)
    limit $1
) running
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error
    from slices
    where state in ('wanted', 'stale') and (filled_at is null or left_bucket_s is not null) and held = 0
    limit $1
) open
