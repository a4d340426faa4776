-- Visitors, page views, sessions and bounce rate by day, from the raw events.
select
    toString(toDate(started, {timezone:String})) as day,
    uniq(person) as visitors,
    sum(views) as page_views,
    count() as sessions,
    round(100 * sum(bounced) / count(), 1) as bounce_rate
from
(
    select
        min(timestamp) as started,
        argMaxIf(person_id, (timestamp, toUInt128(uuid)), event in ('$pageview', '$screen')) as person,
        countIf(event in ('$pageview', '$screen')) as views,
        views + countIf(event = '$autocapture') = 1
            and dateDiff('microsecond', min(timestamp), max(timestamp)) < 10000000 as bounced
    from events
    where team_id = {team:Int64} and session_id != ''
        and timestamp >= fromUnixTimestamp64Micro({from_us:Int64} - 86400000000, 'UTC')
    group by session_id
    having started >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') and views > 0
)
group by day
order by day desc
