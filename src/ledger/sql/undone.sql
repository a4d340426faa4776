-- What was written of these slices and not recorded is deleted.
-- $1 a JSON array of [team, day, fence]
update slices
set unrecorded = 0,
    -- with what was written in the zone that the team has left
    left_bucket_s = case when filled_at is null then null else left_bucket_s end
where unrecorded = 1
    and (team_id, day, fence) in (
        select cast(value ->> 0 as bigint), value ->> 1, cast(value ->> 2 as bigint) from {rows $1})
