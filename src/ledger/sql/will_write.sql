-- Rows of these slices are about to be written into the tables, until somebody records them or deletes them.
-- $1 claim, $2 a JSON array of [team, day, fence]
update slices
set unrecorded = 1
where claim = $1 and state = 'running'
    and (team_id, day, fence) in (
        select cast(value ->> 0 as bigint), value ->> 1, cast(value ->> 2 as bigint) from {rows $2})
