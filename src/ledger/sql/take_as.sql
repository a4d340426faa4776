-- Days that cannot be filled again are taken for what the rollups are by now.
-- $1 a JSON array of [team, day], $2 definition
update slices
set definition = $2
where state = 'filled'
    and (team_id, day) in (select cast(value ->> 0 as bigint), value ->> 1 from {rows $1})
