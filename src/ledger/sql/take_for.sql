-- What was filled before definitions were kept is taken for what the first process that keeps them makes.
-- $1 warehouse, $2 definition
update slices set definition = $2 where warehouse = $1 and definition = 0 and filled_at is not null
