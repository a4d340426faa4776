-- How many sessions each team of a batch has, with how many page views, and of how many not all is known.
select
    team_id,
    countIf(is_whole) as sessions,
    sumIf(length(page_views), is_whole) as page_views,
    countIf(not is_whole) as inexact
from {sessions}
group by team_id
