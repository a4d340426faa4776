-- Runs that somebody asks for; one with a name that was asked for before is left out.
-- $1 a JSON array of [id, team, date_start, date_end, reason, forced, name or null]
insert into runs (id, team_id, date_start, date_end, reason, forced, once, requested_at)
select
    value ->> 0,
    cast(value ->> 1 as bigint),
    value ->> 2,
    value ->> 3,
    value ->> 4,
    cast(value ->> 5 as bigint),
    value ->> 6,
    {now}
from {rows $1}
where true
on conflict (once) do nothing
returning id
