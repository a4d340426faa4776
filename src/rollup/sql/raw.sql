-- What the raw events say of each day, a row a team, computed apart from what fills the tables.
select
    team_id,
    begin_s,
    count() as sessions,
    sum(session_page_views) as page_views,
    uniq(session_id) as sessions_uniq,
    uniq(session_person) as persons,
    sum(session_bounced) as bounces,
    sum(session_seconds) as duration_seconds,
    sum(session_events) as events,
    -- changes when an event comes, goes, is another, or becomes another person's; the sum may wrap
    reinterpretAsInt64(sumWithOverflow(session_checksum)) as checksum
from
(
    select
        team_id,
        session_id,
        roundDown(intDiv(toUnixTimestamp64Micro(min(at)), 1000000), {begins:Array(Int64)}) as begin_s,
        count() as session_events,
        countIf(event = '$pageview' or event = '$screen') as session_page_views,
        intDiv(dateDiff('microsecond', min(at), max(at)), 1000000) as session_seconds,
        toUInt64(session_seconds < 10
            and countIf(event = '$pageview' or event = '$screen' or event = '$autocapture') = 1) as session_bounced,
        argMaxIf(person_id, bitOr(bitShiftLeft(toInt256(toUnixTimestamp64Micro(at)), 128), toInt256(toUInt128(uuid))), event = '$pageview' or event = '$screen') as session_person,
        sumWithOverflow(cityHash64(uuid, person_id)) as session_checksum
    from {raw_source}
    group by team_id, session_id
    having min(at) >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and min(at) < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
        and session_page_views > 0
        and {not_begun_before}
)
group by team_id, begin_s
-- as in collect_sessions.sql
settings use_index_for_in_with_subqueries = 0
