-- $1 a JSON array of [key, about, since, gone since or null, told at or null]
insert into alerts (key, about, since, gone_since, told_at)
select
    value ->> 0,
    value ->> 1,
    cast(value ->> 2 as bigint),
    cast(value ->> 3 as bigint),
    cast(value ->> 4 as bigint)
from {rows $1}
-- tells SQLite's parser that what follows belongs to the insert
where true
on conflict (key) do update
set about = excluded.about,
    since = excluded.since,
    gone_since = excluded.gone_since,
    told_at = excluded.told_at
