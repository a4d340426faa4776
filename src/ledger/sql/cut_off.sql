-- The warehouse was gone in the midst of the fill of these slices.
-- $1 claim, $2 a JSON array of [team, day, fence]
update slices
set cut_offs = cut_offs + 1
where claim = $1 and state = 'running'
    and (team_id, day, fence) in (
        select cast(value ->> 0 as bigint), value ->> 1, cast(value ->> 2 as bigint) from {rows $2})
