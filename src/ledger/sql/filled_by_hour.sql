-- What was filled since $1, by the whole hours since then.
select (filled_at - $1) / 3600000 as hour,
    count(*) as slices,
    cast(coalesce(sum(events), 0) as bigint) as events,
    cast(coalesce(sum(sessions), 0) as bigint) as sessions,
    cast(coalesce(sum(page_views), 0) as bigint) as page_views,
    cast(coalesce(sum(stats_rows + bounces_rows), 0) as bigint) as rows_written
from slices
where filled_at >= $1
group by (filled_at - $1) / 3600000
order by 1
