-- Which rollups it was filled by: a hash of what they are made of (Tables::definition), 0 where nobody knows.
alter table slices add column definition bigint not null default 0;

-- What waits, the longest first: some claims go by that.
create index slices_waited on slices (warehouse, wanted_at, day desc, team_id)
where state in ('wanted', 'stale') and held = 0 and waiting = 0;

-- The tables may hold rows of it that no fill has recorded: written, and then nobody was there to say so.
alter table slices add column unrecorded bigint not null default 0 check (unrecorded in (0, 1));
create index slices_unrecorded on slices (warehouse) where unrecorded = 1;
