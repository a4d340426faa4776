-- $1 warehouse. Claims and who holds them; `is_over` when the worker gave no sign of life in time.
select claim, owner, max(case when lease_until <= {now} then 1 else 0 end) as is_over
from slices
where state = 'running' and warehouse = $1
group by claim, owner
