-- How many of the imported events the source does not have.
select uniqExact(team_id, uuid) as value
from {import}
where true
    -- known already, or twice in the import itself
    and {new_id} not in
    (
        select {known_id}
        from {events} as e
        where {team_id} global in (select distinct team_id from {import})
            and {timestamp} >= (select min(timestamp) from {import})
            and {timestamp} <= (select max(timestamp) from {import})
    )
