-- taken in pieces where memory was not enough for all, and without the events of an id that is used
-- forever, which may be more than memory holds
cityHash64(session_id) % {pieces:UInt32} = {piece:UInt32} and {not_of_one_begun_before}
