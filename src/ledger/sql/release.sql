-- Slices of the window that the window has left before they were ever filled.
-- $1 a JSON array of [team, day]
delete from slices
where (team_id, day) in (select cast(value ->> 0 as bigint), value ->> 1 from {rows $1})
    and state in ('wanted', 'failed') and filled_at is null
