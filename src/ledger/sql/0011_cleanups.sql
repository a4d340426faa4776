-- Days that a cleanup left when it did not end, see half_cleaned.sql.
create index slices_half_cleaned on slices (team_id, day) where reason = 'cleanup not ended';

-- How often the warehouse was gone in the midst of its fill, since it was last filled or asked for.
alter table slices add column cut_offs integer not null default 0 check (cut_offs >= 0);
