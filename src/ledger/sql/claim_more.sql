-- Older open days of the team of a claim that is of one slice, to be filled with it: those before it without a
-- gap, and without rows, because a partition that has some is replaced, and that is done one by one.
-- $1 claim, $2 owner, $3 lease in ms, $4 most slices, $5 run (or null: any), $6 warehouse,
-- then of the slice: $7 team, $8 day, $9 time zone; $10 a JSON array of the partitions that may be
-- taken (or null: all), $11 bucket_s of the slice
with open_days as materialized
(
    select s.team_id, s.day, s.bucket_s, s.until_s
    from slices s
    where s.team_id = $7 and s.day < $8 and s.warehouse = $6 and s.timezone = $9
        and s.state = 'wanted' and s.filled_at is null and s.held = 0
        -- one that failed before is taken alone, and what was too much at once is not tried again
        and s.attempts = 0 and s.left_bucket_s is null
        and not exists (select 1 from widths w where w.warehouse = s.warehouse and w.team_id = s.team_id)
        and s.not_before <= {now}
        and ($5 is null or exists (
            select 1 from run_slices w where w.run_id = $5 and w.team_id = s.team_id and w.day = s.day))
        and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
        -- as in claim.sql: a partition has one writer at a time, which this claim may be: where clocks go
        -- forward at midnight UTC two days begin on one date
        and ($10 is null or s.partition in (select cast(value as bigint) from {rows $10}))
        and not exists (
            select 1 from slices r
            where r.state = 'running' and r.warehouse = s.warehouse and r.partition = s.partition
                and r.claim <> $1)
        and not exists (
            select 1 from slices r
            where r.state = 'running' and r.left_bucket_s is not null and r.warehouse = s.warehouse
                and abs(r.bucket_s - s.bucket_s) < 3 * 86400)
        and not exists (
            select 1 from holds h
            where h.warehouse = s.warehouse and h.partition = s.partition and h.lease_until > {now})
        -- What other teams have there comes by its day, and is filled together.
        and not exists (
            select 1 from slices o
            where o.warehouse = s.warehouse and o.state in ('wanted', 'stale') and o.held = 0
                and o.bucket_s >= s.bucket_s - s.bucket_s % 86400
                and o.bucket_s < s.bucket_s - s.bucket_s % 86400 + 86400
                and o.team_id <> s.team_id and o.not_before <= {now})
    order by s.day desc
    limit $4
    {skip_locked}
),
-- until the first gap
more as
(
    select team_id, day
    from
    (
        select team_id, day, sum(case when until_s = later then 0 else 1 end) over (order by day desc) as gaps
        from
        (
            select team_id, day, until_s, lag(bucket_s, 1, $11) over (order by day desc) as later
            from open_days
        ) as each_day
    ) as each_day
    where gaps = 0
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
where (team_id, day) in (select team_id, day from more)
returning team_id, day, timezone, bucket_s, until_s, partition, fence, attempts, reason,
    cut_offs,
    1 as pieces, 0 as is_wider, cast(null as bigint) as left_bucket_s
