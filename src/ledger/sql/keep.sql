-- The setting went off ($2 = 1) or on ($2 = 0): nothing is claimed, and what runs stops. $1 team
update slices
set held = $2,
    cancel = case when state = 'running' then $2 else 0 end
where team_id = $1 and held <> $2
