-- Hashes of the ids of all sessions that have an event within [from, until): a number is looked up
-- quicker than a text, and what has the hash of another by chance is only read in vain.
(
    select {session_hash}
    from {events} as e
    where {team_id} in {teams:Array(Int64)}
        and {is_within_the_days}
)
