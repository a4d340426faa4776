-- What fills take of a warehouse's time, for people to see: ../0005_governor.sql.
create table governors
(
    warehouse text primary key,
    noted_at bigint not null,
    -- others were using the warehouse then
    busy boolean not null,
    -- how long statements of fills were under way in the minute before
    used_ms bigint not null check (used_ms between 0 and 60000),
    -- how long fills have waited for others, since ever
    waited_ms bigint not null check (waited_ms >= 0)
);
