-- The sessions that start within [from, until) of whose attributes raw_sessions is not to be asked:
-- those that it does not have, and those of which it cannot tell the first or the last event, because
-- another happened at the same instant.
(
    select team_id, session_id
    from
    (
        select team_id, session_id, at, event, toUInt128(uuid) as sequence
        from {source_alone}
    )
    where cityHash64(session_id) % {pieces:UInt32} = {piece:UInt32}
    group by team_id, session_id
    having min(at) >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and min(at) < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
        and countIf(event in ('$pageview', '$screen')) > 0
        and
        (
            argMin(sequence, (at, sequence)) != argMin(sequence, (at, bitNot(sequence)))
            or argMax(sequence, (at, sequence)) != argMax(sequence, (at, bitNot(sequence)))
            or (team_id, session_id) not in
            (
                select team_id, {uuid_of_session}
                from {raw_sessions}
                where {raw_sessions_of_the_day}
            )
        )
)
