-- The slice that a claim is made for: the first of claim.sql that nobody else looks at right now.
-- Locked, so that it stays what it is. $1 run (or null: any), $2 warehouse
select s.team_id, s.day, s.bucket_s, s.until_s, s.partition, s.attempts, s.pieces,
    case when s.left_bucket_s is null then 0 else 1 end as moves
from slices s
where s.state in ('wanted', 'stale') and s.held = 0 and s.warehouse = $2
    and s.not_before <= {now}
    and ($1 is null or exists (
        select 1 from run_slices w where w.run_id = $1 and w.team_id = s.team_id and w.day = s.day))
    and not exists (
        select 1 from slices r
        where r.state = 'running' and r.warehouse = s.warehouse
            and (r.partition = s.partition
                or ((r.left_bucket_s is not null or s.left_bucket_s is not null)
                    and abs(r.bucket_s - s.bucket_s) < 3 * 86400)))
    and not exists (
        select 1 from holds h
        where h.warehouse = s.warehouse and h.partition = s.partition and h.lease_until > {now})
order by s.waiting, s.day desc, s.wanted_at, s.team_id
limit 1
for update of s skip locked
