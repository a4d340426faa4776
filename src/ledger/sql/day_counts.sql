-- How many days these teams have of which kind. $1 teams as a JSON array
select
    cast(coalesce(sum(slices - cleaned), 0) as bigint) as all_days,
    cast(coalesce(sum(with_data), 0) as bigint) as with_data,
    cast(coalesce(sum(stale), 0) as bigint) as stale,
    cast(coalesce(sum(failed), 0) as bigint) as failed,
    cast(coalesce(sum(running), 0) as bigint) as running,
    cast(coalesce(sum(waiting), 0) as bigint) as waiting
from tallies
where team_id in (select cast(value as bigint) from {rows $1})
