-- Of a sixteenth of the keys of the stats rollup: how many page views have one of them, and how many keys
-- there are. Keys are told apart by hashes, of the session's part and of the page view's: an estimate.
select
    toInt64(count()) as rows,
    toInt64(uniqExact(key)) as keys
from
(
    select cityHash64(session_part, view_part) as key
    from
    (
        select
            cityHash64(bucket, team_id, entry, end_pathname) as session_part,
            arrayMap(page_view -> cityHash64(page_view), page_views) as view_parts
        from {sessions}
        where is_whole
    )
    array join view_parts as view_part
)
where key % 16 = 0
