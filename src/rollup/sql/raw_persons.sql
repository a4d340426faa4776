-- As persons.sql, by another way. Global, because a copy of the overrides is on no shard.
global left any join
(
    select team_id, distinct_id, person_id, 1 as overridden
    from
    (
        select team_id, distinct_id, person_id, is_deleted
        from {overrides}
        where team_id in {teams:Array(Int64)}
            and _timestamp <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        order by version desc, is_deleted desc, person_id desc
        limit 1 by team_id, distinct_id
    )
    where is_deleted = 0
) as o on o.team_id = {team_id} and o.distinct_id = {distinct_id}
