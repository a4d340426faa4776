-- What is known of a team's days once one of them is claimed: the most events of a day that was filled when it was
-- over, whether the claimed one was filled before, and how many others are wanted.
-- $1 team, $2 day that is claimed, $3 run (or null: any)
select
    max(case when as_of_us >= until_s * 1000000 then events end) as events,
    max(case when day = $2 and filled_at is not null then 1 else 0 end) as was_filled,
    count(case when state = 'wanted' and ($3 is null or exists (
        select 1 from run_slices w where w.run_id = $3 and w.team_id = s.team_id and w.day = s.day))
        then 1 end) as wanted
from slices s
where team_id = $1
