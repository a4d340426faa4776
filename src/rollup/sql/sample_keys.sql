-- Of a sixteenth of the keys of the stats rollup: how many page views have one of them, and how many keys
-- there are.
select
    toInt64(count()) as rows,
    toInt64(uniqExact(key)) as keys
from
(
    select cityHash64(team_id, entry, end_pathname, page_view) as key
    from {sessions}
    array join page_views as page_view
    where is_whole
)
where key % 16 = 0
