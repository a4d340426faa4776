-- In the very order in which slices are claimed, so that a long queue is not sorted for each claim.
drop index slices_open;

create index slices_open on slices (warehouse, waiting, day desc, wanted_at, team_id)
where state in ('wanted', 'stale') and held = 0;

-- The open slices of the same instants, which are filled together.
create index slices_together on slices (warehouse, bucket_s, until_s)
where state in ('wanted', 'stale') and held = 0;

-- The latest runs.
create index runs_latest on runs (requested_at desc, id);

-- Those that run and move from one partition to another.
create index slices_moving on slices (warehouse) where state = 'running' and left_bucket_s is not null;
