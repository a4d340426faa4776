-- Days of which a cleanup that did not end has deleted some rows, or all; not those of a cleanup under way.
-- $1 the reason
select s.team_id, min(s.day) as first, max(s.day) as last, count(*) as days
from slices s
where s.state = 'stale' and s.held = 1 and s.reason = $1
    and not exists (
        select 1 from holds h
        where h.warehouse = s.warehouse and h.partition = s.partition and h.lease_until > {now})
group by s.team_id
order by s.team_id
