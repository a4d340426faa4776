-- What a plan compares with: the slices of some teams. $1 teams as a JSON array
select team_id, day, state, timezone, warehouse, reason, held,
    case when filled_at is not null and state <> 'cleaned' then 1 else 0 end as has_data,
    case when filled_at is not null and state <> 'cleaned' and stats_rows + bounces_rows > 0 then 1 else 0 end as has_rows
from slices
where team_id in (select cast(value as bigint) from {rows $1})
