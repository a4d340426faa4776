-- The partitions of a team's open days before a day, of those that could be locked without waiting: who
-- waits for one here may be waited for.
-- $1 team, $2 day, $3 most days, $4 and $5 what the names of the two locks begin with, as in claim_leading.sql
with of_warehouse as materialized
(
    select pg_try_advisory_xact_lock_shared(hashtextextended('prefill:' || $4, 0)) as locked
),
near as materialized
(
    select s.partition
    from slices s
    where s.team_id = $1 and s.day < $2 and s.state = 'wanted'
        and (select locked from of_warehouse)
    order by s.day desc
    limit $3
)
select partition
from near
where pg_try_advisory_xact_lock(hashtextextended('prefill:' || $5 || partition, 0))
