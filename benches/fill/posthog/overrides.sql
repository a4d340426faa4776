-- Of twenty persons one is somebody else by now.
insert into {overrides} (team_id, distinct_id, person_id, is_deleted, version)
select distinct
    team_id,
    distinct_id,
    reinterpretAsUUID(bitShiftLeft(toUInt128(cityHash64(distinct_id, 'merged')), 64) + cityHash64(distinct_id)),
    0,
    1
from {generated}
where cityHash64(distinct_id) % 20 = 0
