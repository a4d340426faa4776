-- The setting went off ($2 = 1) or on ($2 = 0): nothing is claimed, and what runs stops.
-- $1 teams as a JSON array
update slices
set held = $2,
    cancel = case when state = 'running' then $2 else 0 end
where team_id in (select cast(value as bigint) from {rows $1}) and held <> $2
returning team_id
