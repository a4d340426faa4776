-- Each receiver that somebody has or had, or for which messages wait
select
    named.name,
    r.takes,
    -- of one that nobody has told of, an older version wrote for
    {now} - coalesce(r.seen_at, max(o.made_at)) as away_ms,
    count(o.id) as waiting,
    {now} - min(o.made_at) as oldest_ms
from (select name from receivers union select receiver from outbox) named
left join receivers r on r.name = named.name
left join outbox o on o.receiver = named.name
group by named.name, r.takes, r.seen_at
order by named.name
