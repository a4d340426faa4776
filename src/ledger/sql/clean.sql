-- The rows of these days were deleted. Where the setting was turned on meanwhile, they are wanted again.
-- $1 team, $2 from day, $3 until day
update slices
set state = case when held = 1 then 'cleaned' else 'wanted' end,
    reason = case when held = 1 then reason else 'request' end,
    filled_at = null,
    waiting = 0,
    error = null,
    stats_rows = null, bounces_rows = null, events = null, sessions = null, page_views = null,
    persons = null, bounces = null, duration_seconds = null, checksum = null, as_of_us = null
where team_id = $1 and day >= $2 and day < $3 and state <> 'running'
