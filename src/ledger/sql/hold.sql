-- Keeps a partition free of claims. $1 warehouse, $2 partition, $3 owner, $4 lease in ms
insert into holds (warehouse, partition, owner, lease_until)
values ($1, $2, $3, {now} + $4)
on conflict (warehouse, partition) do update
set owner = excluded.owner, lease_until = excluded.lease_until
where holds.owner = excluded.owner
    or holds.lease_until <= {now}
