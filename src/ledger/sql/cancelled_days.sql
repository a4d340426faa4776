-- Of each team that has days which only cancelled runs asked for: how many of them do not wait for events. $1 the
-- teams, or null: all of them
select s.team_id, count(case when s.waiting = 0 then 1 end) as days
from slices s
where s.team_id in (select team_id from runs where cancelled_at is not null)
    and ($1 is null or s.team_id in (select cast(value as bigint) from {rows $1}))
    and s.state in ('wanted', 'stale')
    and s.held = 0
    and exists (select 1 from cancelled_slices c where c.team_id = s.team_id and c.day = s.day)
group by s.team_id
