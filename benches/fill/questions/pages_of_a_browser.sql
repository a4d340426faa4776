select pathname, uniqMerge(persons_uniq_state) as visitors, sumMerge(pageviews_count_state)
from {stats}
where team_id = {team:UInt64} and browser = 'Safari'
group by pathname
order by visitors desc, pathname
limit 10
