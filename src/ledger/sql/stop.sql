-- Tells the worker of what runs to stop. $1 team, $2 from day, $3 until day
update slices
set cancel = 1
where team_id = $1 and day >= $2 and day < $3 and state = 'running'
