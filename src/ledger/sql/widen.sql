-- What was tried after two weeks worked. $1 warehouse, $2 team
update widths
set together = (select n.together from widths_now n where n.warehouse = $1 and n.team_id = $2),
    pieces = (select n.pieces from widths_now n where n.warehouse = $1 and n.team_id = $2),
    since = {now}
where warehouse = $1 and team_id = $2
    and exists (select 1 from widths_now n where n.warehouse = $1 and n.team_id = $2 and n.is_wider = 1)
