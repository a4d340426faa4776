-- Which receivers of messages there are: several processes may be configured differently.
create table receivers
(
    name text primary key,
    -- which messages it is sent: alerts or backfills
    takes text not null,
    -- when a process said last that it has it
    seen_at integer not null
) strict, without rowid;
