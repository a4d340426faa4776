-- Days that a cleanup left when it did not end, see half_cleaned.sql.
create index slices_stale_held on slices (team_id, day) where state = 'stale' and held = 1;
