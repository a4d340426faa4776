-- What is being filled, the oldest claim first. $1 the most claims
select claim, owner, warehouse,
    max(day) as day,
    count(*) as slices,
    count(distinct team_id) as teams,
    min(team_id) as team_id,
    min(claimed_at) as claimed_at,
    max(case when lease_until <= {now} then 1 else 0 end) as lease_is_over,
    max(cancel) as is_to_stop
from slices
where state = 'running'
group by claim, owner, warehouse
order by claimed_at, claim
limit $1
