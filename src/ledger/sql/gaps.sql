-- Where a team's slices do not follow each other: the last before and the first after each hole. A change
-- of the zone may look like one where no day is missing. $1 teams as a JSON array
select team_id, before, day
from
(
    select team_id, day, bucket_s,
        lag(day) over days as before,
        lag(until_s) over days as ended
    from slices
    where team_id in (select cast(value as bigint) from {rows $1})
    window days as (partition by team_id order by day)
) beside
where ended <> bucket_s
