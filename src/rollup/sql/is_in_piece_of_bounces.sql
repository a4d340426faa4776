-- as is_in_piece_of_stats.sql
cityHash64(team_id, entry, end_pathname, host, browser, os, width, city_name) % {pieces:UInt32} = {piece:UInt32}
