-- What PostHog says of the ids of the day's senders, held still for as long as the fill lasts: what it
-- says while that runs belongs to the next one, for the check too.
create table {copy}
engine = MergeTree
order by (team_id, distinct_id)
as select team_id, distinct_id, person_id, is_deleted, version, _timestamp
from {overrides}
where team_id in {teams:Array(Int64)}
    and _timestamp <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
    -- by their hashes, which are looked up quicker; what has the hash of another by chance is no matter
    and cityHash64(toString(distinct_id)) in
    (
        select cityHash64(toString({distinct_id}))
        from {events} as e
        where {team_id} in {teams:Array(Int64)}
            and {is_of_the_days_or_the_next}
    )
