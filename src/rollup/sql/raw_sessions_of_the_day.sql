team_id in {teams:Array(Int64)}
-- a session's id says when it was made, in the very terms of the table's key; one that says it wrong is
-- taken for missing
and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
    >= fromUnixTimestamp(intDiv({from_us:Int64}, 1000000) - 86400)
and fromUnixTimestamp(intDiv(toUInt64(bitShiftRight(session_id_v7, 80)), 1000))
    < fromUnixTimestamp(intDiv({until_us:Int64}, 1000000) + 86400)
