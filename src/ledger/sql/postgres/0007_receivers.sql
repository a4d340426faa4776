-- Which receivers of messages there are: ../0008_receivers.sql.
create table receivers
(
    name text primary key,
    -- which messages it is sent: alerts or backfills
    takes text not null,
    -- when a process said last that it has it
    seen_at bigint not null
);
