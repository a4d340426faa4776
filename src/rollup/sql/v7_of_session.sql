-- The session's id as raw_sessions has it, and 0, which is none there, where it is no UUID as one is written.
if(toString(toUUIDOrZero(own.session_id) as uuid) = own.session_id, toUInt128(uuid), 0)
