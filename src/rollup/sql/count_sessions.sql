-- How many sessions each team of a batch has on each day, with how many page views, of how many not all is
-- known, and how many last a day or longer.
select
    team_id,
    toInt64(toUnixTimestamp(bucket)) as bucket_s,
    countIf(is_whole) as sessions,
    sumIf(length(page_views), is_whole) as page_views,
    countIf(not is_whole) as inexact,
    countIf(duration_seconds >= 86400) as long
from {sessions}
group by team_id, bucket
