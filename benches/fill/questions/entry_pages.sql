select entry_pathname, uniqMerge(persons_uniq_state) as visitors, sumMerge(bounces_count_state)
from {bounces}
where team_id = {team:UInt64}
group by entry_pathname
order by visitors desc, entry_pathname
limit 10
