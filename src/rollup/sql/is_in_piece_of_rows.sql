-- rows of one key are in one piece
cityHash64({key}) % {pieces:UInt32} = {piece:UInt32}
