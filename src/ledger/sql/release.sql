-- A slice of the window that the window has left before it was ever filled. $1 team, $2 day
delete from slices
where team_id = $1 and day = $2 and state in ('wanted', 'failed') and filled_at is null
