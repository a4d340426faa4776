-- What was filled lately is asked for by the overview: found without reading every slice.
create index slices_filled_at on slices (filled_at) where filled_at is not null;
