cityHash64({uuid_of_session}) % {pieces:UInt32} = {piece:UInt32}
