select pathname, uniqMerge(persons_uniq_state) as visitors, sumMerge(pageviews_count_state) as page_views
from {stats}
where team_id = {team:UInt64}
group by pathname
order by visitors desc, pathname
limit 10
