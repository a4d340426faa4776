-- What fills take of a warehouse. $1 warehouse, $2 busy, $3 used in ms, $4 waited for others in ms since the last
-- note, $5 for memory; of several processes the last one tells, and all have waited.
insert into governors (warehouse, noted_at, busy, used_ms, waited_ms, waited_for_memory_ms)
values ($1, {now}, $2, $3, $4, $5)
on conflict (warehouse) do update
set noted_at = excluded.noted_at,
    busy = excluded.busy,
    used_ms = excluded.used_ms,
    waited_ms = governors.waited_ms + excluded.waited_ms,
    waited_for_memory_ms = governors.waited_for_memory_ms + excluded.waited_for_memory_ms
