-- Tells whether a partition was written to: merges keep these numbers, every write changes one.
select
    toInt64(min(min_block_number)) as first_block,
    toInt64(max(max_block_number)) as last_block,
    -- a part's name is partition_first_last_level, and _mutation where it was mutated
    toInt64(max(toInt64OrZero(splitByChar('_', name)[5]))) as mutation
from system.parts
where database = {database:String} and table = {table:String}
    and partition_id = {partition:String} and active
