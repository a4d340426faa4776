select country_code, uniqMerge(persons_uniq_state) as visitors, sumMerge(pageviews_count_state)
from {stats}
where team_id = {team:UInt64}
group by country_code
order by visitors desc, country_code
