-- Which of some days, each of a team's own, have sessions in the raw events.
select team_id, begin_s
from
(
    select team_id, min(at) as began
    from {source_alone}
    -- of all days between the first and the last, only those that can matter
    where intDiv(toUnixTimestamp64Micro(at), 86400000000) in {dates:Array(Int64)}
    group by team_id, session_id
    having countIf(event = '$pageview' or event = '$screen') > 0
        and {not_begun_before}
) as sessions
asof join
(
    select
        tupleElement(day, 1) as team_id,
        tupleElement(day, 2) as begin_s,
        tupleElement(day, 3) as end_s,
        toDateTime64(begin_s, 6, 'UTC') as begins
    from (select arrayJoin(arrayZip({day_teams:Array(Int64)}, {begins_s:Array(Int64)}, {ends_s:Array(Int64)})) as day)
) as days on days.team_id = sessions.team_id and sessions.began >= days.begins
where began < toDateTime64(end_s, 6, 'UTC')
group by team_id, begin_s
