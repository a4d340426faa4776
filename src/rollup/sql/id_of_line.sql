-- An imported line's uuid without its place among the events of its person's second (import/ids.rs): in
-- another file, or one that begins within that second, the same line has another place.
bitOr(toUInt128({id}), bitShiftLeft(toUInt128(4095), 64))
