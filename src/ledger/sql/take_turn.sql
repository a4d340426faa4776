-- Zero rows mean that somebody else has the turn. $1 name, $2 owner, $3 lease in ms
insert into turns (name, owner, until)
values ($1, $2, {now} + $3)
on conflict (name) do update
set owner = excluded.owner, until = excluded.until
where turns.owner = excluded.owner
    or turns.until <= {now}
    -- nobody takes it for longer: a clock was ahead then and is right again
    or turns.until > {now} + $3
