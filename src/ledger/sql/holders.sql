-- $1 warehouse. Claims and who holds them; `over` when the worker gave no sign of life in time.
select claim, owner, max(lease_until <= cast(unixepoch('subsec') * 1000 as integer)) as over
from slices
where state = 'running' and warehouse = $1
group by claim, owner
