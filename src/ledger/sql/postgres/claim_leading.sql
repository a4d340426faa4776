-- The slice that a claim is made for: the first of claim.sql that nobody else looks at right now,
-- locked so that it stays what it is, and then with it its partition; a slice that deletes rows of
-- partitions beside its own locks the whole warehouse.
-- $1 run (or null: any), $2 warehouse, $3 and $4 what the names of the two locks begin with
with leader as materialized
(
    select s.team_id, s.day, s.bucket_s, s.until_s, s.partition, s.attempts,
        (select w.together from widths_now w
            where w.warehouse = s.warehouse and w.team_id = s.team_id) as together,
        case when s.left_bucket_s is null then 0 else 1 end as moves
    from slices s
    where s.state in ('wanted', 'stale') and s.held = 0 and s.warehouse = $2
        and s.not_before <= {now}
        and ($1 is null or exists (
            select 1 from run_slices w where w.run_id = $1 and w.team_id = s.team_id and w.day = s.day))
        and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
        -- as scalar questions, so that each is one look into an index, however much is running
        and (select 1 from slices r
            where r.state = 'running' and r.warehouse = s.warehouse and r.partition = s.partition
            limit 1) is null
        and (select 1 from slices r
            where r.state = 'running' and r.left_bucket_s is not null and r.warehouse = s.warehouse
                and abs(r.bucket_s - s.bucket_s) < 3 * 86400
            limit 1) is null
        and (s.left_bucket_s is null or not exists (
            select 1 from slices r
            where r.state = 'running' and r.warehouse = s.warehouse
                and abs(r.bucket_s - s.bucket_s) < 3 * 86400))
        and not exists (
            select 1 from holds h
            where h.warehouse = s.warehouse and h.partition = s.partition and h.lease_until > {now})
        {which}
    limit 1
    for update of s skip locked
),
of_warehouse as materialized
(
    select leader.*,
        case when moves = 1
            then pg_advisory_xact_lock(hashtextextended('prefill:' || $3, 0))
            else pg_advisory_xact_lock_shared(hashtextextended('prefill:' || $3, 0))
        end as locked
    from leader
)
select team_id, day, bucket_s, until_s, partition, attempts, together, moves,
    cast(pg_advisory_xact_lock(hashtextextended('prefill:' || $4 || partition, 0)) as text) as locked_too
from of_warehouse
