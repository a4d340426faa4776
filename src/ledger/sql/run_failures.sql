-- $1 run. Its slices that failed, the newest first.
select s.day, coalesce(s.error, '') as error
from run_slices w
join slices s on s.team_id = w.team_id and s.day = w.day
where w.run_id = $1 and s.state = 'failed'
order by s.day desc
