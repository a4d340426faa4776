-- Drops the oldest messages of a receiver that takes none. $1 receiver, $2 the most that wait
delete from outbox
where receiver = $1
    and id < (select min(id) from (select id from outbox where receiver = $1 order by id desc limit $2) newest)
