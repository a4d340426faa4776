-- $1 a JSON array of [key, about, since, then or null: moved at, gone since, told at]
insert into alerts (key, about, since, moved_at, gone_since, told_at)
select
    value ->> 0,
    value ->> 1,
    cast(value ->> 2 as bigint),
    cast(value ->> 3 as bigint),
    cast(value ->> 4 as bigint),
    cast(value ->> 5 as bigint)
from {rows $1}
-- tells SQLite's parser that what follows belongs to the insert
where true
on conflict (key) do update
set about = excluded.about,
    since = excluded.since,
    moved_at = excluded.moved_at,
    gone_since = excluded.gone_since,
    told_at = excluded.told_at
