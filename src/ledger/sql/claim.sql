-- The first open slice, and with it the open slices of other teams for the same instants. What it is told is the first
-- (`which`, see claims.rs).
-- $1 claim, $2 owner, $3 lease in ms, $4 most slices, $5 run (or null: any), $6 warehouse
with leading as
(
    select s.warehouse, s.bucket_s, s.until_s, s.partition, s.team_id, s.attempts, s.left_bucket_s,
        coalesce(w.together, $4) as together
    from slices s
    left join widths_now w on w.warehouse = s.warehouse and w.team_id = s.team_id
    where s.state in ('wanted', 'stale') and s.held = 0 and s.warehouse = $6
        and s.not_before <= {now}
        and ($5 is null or exists (
            select 1 from run_slices w where w.run_id = $5 and w.team_id = s.team_id and w.day = s.day))
        and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
        -- A partition has one writer at a time, because a refill replaces it. A claim whose lease
        -- is over still counts: its statements are killed first (expire.sql).
        and not exists (
            select 1 from slices r
            where r.state = 'running' and r.warehouse = s.warehouse and r.partition = s.partition)
        -- A day that has rows in the zone that its team has left deletes them from partitions beside
        -- its own, at most 26 hours and a day away, which it replaces where it holds them.
        and not exists (
            select 1 from slices r
            where r.state = 'running' and r.left_bucket_s is not null and r.warehouse = s.warehouse
                and abs(r.bucket_s - s.bucket_s) < 3 * 86400)
        and (s.left_bucket_s is null or not exists (
            select 1 from slices r
            where r.state = 'running' and r.warehouse = s.warehouse
                and abs(r.bucket_s - s.bucket_s) < 3 * 86400))
        and not exists (
            select 1 from holds h
            where h.warehouse = s.warehouse and h.partition = s.partition
                and h.lease_until > {now})
        {which}
    limit 1
)
update slices
set state = 'running',
    fence = fence + 1,
    attempts = attempts + 1,
    claim = $1,
    owner = $2,
    lease_until = {now} + $3,
    claimed_at = {now},
    again = 0,
    cancel = 0
where (team_id, day) in
(
    select s.team_id, s.day
    from leading l
    join slices s
        on s.warehouse = l.warehouse and s.bucket_s = l.bucket_s and s.until_s = l.until_s
    where s.team_id = l.team_id
        -- one that failed before is taken alone, one of many that were too much with as few as it needs
        or (l.attempts = 0 and s.attempts = 0
            and l.together = coalesce((
                select w.together from widths_now w
                where w.warehouse = s.warehouse and w.team_id = s.team_id), $4)
            and s.state in ('wanted', 'stale') and s.held = 0
            and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
            and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
            and (s.left_bucket_s is null or l.left_bucket_s is not null)
            and s.not_before <= {now}
            and ($5 is null or exists (
                select 1 from run_slices w where w.run_id = $5 and w.team_id = s.team_id and w.day = s.day)))
    order by s.team_id <> l.team_id, s.team_id
    limit coalesce((select min(together, $4) from leading), 1)
)
returning team_id, day, timezone, bucket_s, until_s, partition, fence, attempts, reason,
    cut_offs,
    coalesce((
        select w.pieces from widths_now w
        where w.warehouse = slices.warehouse and w.team_id = slices.team_id), 1) as pieces,
    coalesce((
        select w.is_wider from widths_now w
        where w.warehouse = slices.warehouse and w.team_id = slices.team_id), 0) as is_wider,
    -- not where a day of the new zone begins at the very instant
    case when left_bucket_s is not null and not exists (
        select 1 from slices o
        where o.team_id = slices.team_id and o.bucket_s = slices.left_bucket_s and o.day <> slices.day)
        then left_bucket_s end as left_bucket_s
