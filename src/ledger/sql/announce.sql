-- Somebody has these receivers. $1 a JSON array of [name, takes]
insert into receivers (name, takes, seen_at)
select value ->> 0, value ->> 1, {now}
from {rows $1}
-- tells SQLite's parser that what follows belongs to the insert
where true
on conflict (name) do update
set takes = excluded.takes, seen_at = excluded.seen_at
