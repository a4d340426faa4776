-- Which rollups it was filled by: a hash of what they are made of (Tables::definition), 0 where nobody knows.
alter table slices add column definition bigint not null default 0;
