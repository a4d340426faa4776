-- All about a slice. $1 team, $2 day
select s.*,
    case when s.lease_until <= {now} then 1 else 0 end as lease_is_over,
    (select count(*) from slices o where o.state = 'running' and o.claim = s.claim) as of_claim,
    exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day) as is_cancelled,
    -- its own claim fills other slices of the partition with it
    exists (
        select 1 from slices r
        where r.state = 'running' and r.warehouse = s.warehouse and r.partition = s.partition
            and r.claim <> coalesce(s.claim, '')) as partition_is_busy,
    exists (
        select 1 from holds h
        where h.warehouse = s.warehouse and h.partition = s.partition
            and h.lease_until > {now}) as partition_is_cleared
from slices s
where s.team_id = $1 and s.day = $2
