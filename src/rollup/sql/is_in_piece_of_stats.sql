-- rows of one key are in one piece
cityHash64(team_id, entry, end_pathname, page_view) % {pieces:UInt32} = {piece:UInt32}
