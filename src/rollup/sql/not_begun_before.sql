-- Not those that only reach into the day: a session lasts at most 24 hours, so they have started within a
-- day before it.
(team_id, {session}) not in
(
    select toInt64({team_id}), {session_id}
    from {events} as e
    where {team_id} in {teams:Array(Int64)}
        and {is_on_the_day_before}
        and {inserted_at} <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        and ({session_hash_in} {ids_of_the_day})
)
