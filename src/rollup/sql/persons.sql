-- Whose a sender's id is by now, where that is somebody else than when the event came.
left any join
(
    select team_id, distinct_id, latest.2 as person_id, 1 as overridden
    from
    (
        select
            team_id,
            distinct_id,
            argMax((is_deleted, person_id), (version, is_deleted, person_id)) as latest
        from {overrides}
        where team_id in {teams:Array(Int64)}
            and _timestamp <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        group by team_id, distinct_id
    )
    where latest.1 = 0
) as o on o.team_id = s.team_id and o.distinct_id = s.sender
