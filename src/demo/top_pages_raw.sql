-- The pages with the most views, from the raw events.
select
    view.1 as pathname,
    uniq(person) as visitors,
    count() as page_views
from
(
    select
        argMaxIf(person_id, (timestamp, toUInt128(uuid)), event in ('$pageview', '$screen')) as person,
        groupArrayIf(tuple(pathname), event in ('$pageview', '$screen')) as views
    from events
    where team_id = {team:Int64} and session_id != ''
        and timestamp >= fromUnixTimestamp64Micro({from_us:Int64} - 86400000000, 'UTC')
    group by session_id
    having min(timestamp) >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
)
array join views as view
group by pathname
order by page_views desc, pathname
limit 8
