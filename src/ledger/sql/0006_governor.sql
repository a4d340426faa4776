-- What fills take of a warehouse's time, for people to see.
create table governors
(
    warehouse text primary key,
    noted_at integer not null,
    -- others were using the warehouse then
    busy integer not null check (busy in (0, 1)),
    -- how long statements of fills were under way in the minute before
    used_ms integer not null check (used_ms between 0 and 60000),
    -- how long fills have waited for others, since ever
    waited_ms integer not null check (waited_ms >= 0)
) strict, without rowid;
