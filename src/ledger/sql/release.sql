-- Slices of the window that the window has left before they were ever filled, and those without rows that have not begun.
-- $1 a JSON array of [team, day]
delete from slices
where (team_id, day) in (select cast(value ->> 0 as bigint), value ->> 1 from {rows $1})
    and state <> 'running' and unrecorded = 0 and (filled_at is null or stats_rows + bounces_rows = 0)
