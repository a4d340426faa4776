-- Days of which a cleanup that did not end has deleted some rows, or all, of teams that have the setting off; not
-- those of a cleanup under way. The reason is Reason::Cleanup's, as the index has it.
select s.team_id, s.day
from slices s
where s.reason = 'cleanup not ended' and s.state in ('stale', 'failed') and s.held = 1
    and not exists (
        select 1 from holds h
        where h.warehouse = s.warehouse and h.partition = s.partition and h.lease_until > {now})
order by s.team_id, s.day
