-- Days that are wanted and not right, the failed ones first, a limited number of each kind: those that the
-- tables do not hold, and those that they hold and that could not be filled again. Those that are open and
-- held are of teams that have the setting off. Days that were cancelled are not wanted; only of teams with
-- a run that was cancelled is that asked of each day. $1 the most of a kind
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0 as has_data
    from slices
    where state = 'failed' and (filled_at is null or left_bucket_s is not null)
        and (team_id not in (select team_id from runs where cancelled_at is not null)
            or not exists (
                select 1 from cancelled_slices c where c.team_id = slices.team_id and c.day = slices.day))
    order by team_id, day
    limit $1
) failed
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 1
    from slices
    -- by a case, so that no planner takes the index of all days with data for it
    where state = 'failed' and case when filled_at is null or left_bucket_s is not null then 0 else 1 end = 1
    order by team_id, day
    limit $1
) refill_failed
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0
    from slices
    where state = 'running' and (filled_at is null or left_bucket_s is not null)
    limit $1
) running
union all
select * from
(
    select team_id, day, bucket_s, until_s, state, error, 0
    from slices
    where state in ('wanted', 'stale') and (filled_at is null or left_bucket_s is not null) and held = 0
        and (team_id not in (select team_id from runs where cancelled_at is not null)
            or not exists (
                select 1 from cancelled_slices c where c.team_id = slices.team_id and c.day = slices.day))
    limit $1
) open
