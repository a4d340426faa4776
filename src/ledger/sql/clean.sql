-- The rows of these days were deleted. Where the setting was turned on while that was done (cleaning.sql), they
-- are wanted again, and those that had none stay wanted.
-- $1 team, $2 from day, $3 until day
update slices
set state = case
        when held = 0 and (reason = 'cleanup not ended' or state = 'wanted' and filled_at is null) then 'wanted'
        else 'cleaned'
    end,
    reason = case when reason = 'cleanup not ended' then 'request' else reason end,
    filled_at = null,
    unrecorded = 0,
    waiting = 0,
    attempts = 0,
    cut_offs = 0,
    not_before = 0,
    error = null,
    error_class = null,
    stats_rows = null, bounces_rows = null, events = null, sessions = null, page_views = null,
    persons = null, bounces = null, duration_seconds = null, checksum = null, as_of_us = null
where team_id = $1 and day >= $2 and day < $3 and state <> 'running'
