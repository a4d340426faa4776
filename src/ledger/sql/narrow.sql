-- So much was too much of these teams: no more than that is done at once from now on.
-- $1 warehouse, $2 teams as a JSON array, $3 together, $4 pieces
insert into widths (warehouse, team_id, together, pieces, since)
select $1, cast(value as bigint), $3, $4, {now}
from {rows $2}
where true
on conflict (warehouse, team_id) do update
set together = case when excluded.together < widths.together then excluded.together else widths.together end,
    pieces = case when excluded.pieces > widths.pieces then excluded.pieces else widths.pieces end,
    since = excluded.since
