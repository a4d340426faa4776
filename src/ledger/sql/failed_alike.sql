-- The slices that failed, of teams that have the setting on, those with the same error together, the newest error first. $1 the most errors
select coalesce(error, '') as error,
    count(*) as slices,
    count(distinct team_id) as teams,
    min(team_id) as team_id,
    min(day) as first,
    max(day) as last,
    max(claimed_at) as tried_at
from slices
where state = 'failed' and held = 0
group by coalesce(error, '')
order by tried_at desc, error
limit $1
