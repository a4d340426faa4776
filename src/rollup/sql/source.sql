-- The events of the sessions that start within a day, or some that follow each other, or only reach into it,
-- under the names of the contract. A session lasts at most 24 hours, so one that starts within the day ends
-- within a day after it, and one that only reaches into it starts within a day before it. Of those days only the
-- ids are read, and more of the few events that belong to a session of the day; of the day before nothing where
-- not_begun_before.sql asks for it.
(
    select
        {uuid} as uuid,
        {event} as event,
        toInt64({team_id}) as team_id,
        {person} as person_id,
        {sender} as sender,
        {session_id} as session_id,
        toDateTime64({timestamp}, 6, 'UTC') as at{columns}
    from {events} as e
    {persons}
    where {team_id} in {teams:Array(Int64)}
        and {is_around_the_days}
        and {inserted_at} <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        -- no session, as text or as a UUID
        and {session_id} not in ('', '00000000-0000-0000-0000-000000000000')
        and ({is_of_the_days} or {session_hash_in} {ids_of_the_day})
)
