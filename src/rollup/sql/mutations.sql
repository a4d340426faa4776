-- What a deletion waits for, and others with its mark: parts that are still to be done, the reason of the last failure,
-- and whether the disk has less space than ClickHouse reserves for one part (its size and a tenth, at
-- least 1 MiB: RESERVATION_MIN_ESTIMATION_SIZE), without which it begins none and says nothing.
select
    toInt64(sum(parts_to_do)) as parts,
    max(latest_fail_reason) as reason,
    -- a scalar subquery may be null, and a typed answer may not
    toUInt8(ifNull(
        (select min(unreserved_space) from system.disks) < greatest(
            1048576,
            (select max(bytes_on_disk) from system.parts
                where database = {database:String} and table = {table:String} and active) * 1.1),
        false)) as is_full
from system.mutations
where database = {database:String} and table = {table:String} and not is_done
    and position(command, {mark:String}) > 0
