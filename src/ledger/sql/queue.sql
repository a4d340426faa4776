-- What waits to be claimed, of teams that have the setting on, and how many of it a pause keeps, as the
-- view paused_slices has it. That is asked of each slice only for the teams of which a run is paused.
select count(*) as slices, min(wanted_at) as oldest,
    cast(coalesce(sum(is_paused), 0) as bigint) as paused
from
(
    select wanted_at,
        case
            when exists (select 1 from pauses where team_id = 0) then 1
            when team_id in (select team_id from pauses) then 1
            when team_id in (select team_id from runs where paused_at is not null)
                and exists (select 1 from paused_slices p where p.team_id = s.team_id and p.day = s.day)
                then 1
            else 0
        end as is_paused
    from slices s
    where state in ('wanted', 'stale') and held = 0
) queued
