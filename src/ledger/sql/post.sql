-- $1 a JSON array of [receiver, body]
insert into outbox (receiver, body, made_at)
select value ->> 0, value ->> 1, {now}
from {rows $1}
