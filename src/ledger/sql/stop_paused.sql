-- Tells the workers of what is paused to stop.
update slices
set cancel = 1
where state = 'running'
    and exists (select 1 from paused_slices p where p.team_id = slices.team_id and p.day = slices.day)
