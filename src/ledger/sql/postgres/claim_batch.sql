-- The second half of a claim, under the lock of its partition: takes the leading slice and the open
-- slices of other teams for the same instants, unless somebody claimed or holds the partition since.
-- $1 claim, $2 owner, $3 lease in ms, $4 most slices, $5 run (or null: any), $6 warehouse,
-- then of the leading slice: $7 team, $8 day, $9 bucket_s, $10 until_s, $11 partition,
-- $12 it is taken alone, $13 it has rows in a zone that its team has left, $14 how many teams are
-- filled together with its own (or null: any number)
with together as materialized
(
    select s.ctid as place
    from slices s
    where not $12 and s.warehouse = $6 and s.bucket_s = $9 and s.until_s = $10
        and s.state in ('wanted', 'stale') and s.held = 0
        and s.team_id <> $7 and s.attempts = 0
        and (select w.together from widths_now w
            where w.warehouse = s.warehouse and w.team_id = s.team_id) is not distinct from $14
        and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
        and (s.left_bucket_s is null or $13)
        and s.not_before <= {now}
        and ($5 is null or exists (
            select 1 from run_slices w
            where w.run_id = $5 and w.team_id = s.team_id and w.day = s.day))
    order by s.team_id
    limit least($4, coalesce($14, $4)) - 1
    for update of s skip locked
),
taken as materialized
(
    select place from together
    union all
    -- somebody may have paused or cancelled it since it was chosen
    select s.ctid from slices s
    where s.team_id = $7 and s.day = $8
        and not exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
        and not exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
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
-- by where they lie, which is found without an index; one that was changed meanwhile is left alone
where ctid = any (array(select place from taken))
    and not exists (
        select 1 from slices r
        where r.state = 'running' and r.warehouse = $6 and r.partition = $11)
    and not exists (
        select 1 from slices r
        where r.state = 'running' and r.left_bucket_s is not null and r.warehouse = $6
            and abs(r.bucket_s - $9) < 3 * 86400)
    and (not $13 or not exists (
        select 1 from slices r
        where r.state = 'running' and r.warehouse = $6 and abs(r.bucket_s - $9) < 3 * 86400))
    and not exists (
        select 1 from holds h
        where h.warehouse = $6 and h.partition = $11 and h.lease_until > {now})
returning team_id, day, timezone, bucket_s, until_s, partition, fence, attempts, reason,
    cut_offs,
    coalesce((
        select w.pieces from widths_now w
        where w.warehouse = slices.warehouse and w.team_id = slices.team_id), 1) as pieces,
    coalesce((
        select w.is_wider from widths_now w
        where w.warehouse = slices.warehouse and w.team_id = slices.team_id), 0) as is_wider,
    case when left_bucket_s is not null and not exists (
        select 1 from slices o
        where o.team_id = slices.team_id and o.bucket_s = slices.left_bucket_s and o.day <> slices.day)
        then left_bucket_s end as left_bucket_s
