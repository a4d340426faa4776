-- Whether no other event happened at the instant of the first one, or of the last: in the order of uuids
-- turned round they are the first and the last, too.
toUInt128(min(moment)) = bitNot(toUInt128(min(bitOr(bitShiftLeft(toInt256(toUnixTimestamp64Micro(at)), 128), toInt256(bitNot(toUInt128(uuid)))))))
    and toUInt128(max(moment)) = bitNot(toUInt128(max(bitOr(bitShiftLeft(toInt256(toUnixTimestamp64Micro(at)), 128), toInt256(bitNot(toUInt128(uuid)))))))
