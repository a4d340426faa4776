-- Whether the source is known to hold all of a day: an event of a later instant has come, or one
-- came so long after the day that its own would have. 1 or 0.
select toUInt8(
    exists(
        select 1
        from {events} as e
        where {timestamp} >= fromUnixTimestamp64Micro({complete_us:Int64}, 'UTC')
            and {timestamp} <= now64(6, 'UTC')
        limit 1)
    or exists(
        select 1
        from {events} as e
        where {inserted_at} >= fromUnixTimestamp64Micro({complete_us:Int64} + {lag_us:Int64}, 'UTC')
        limit 1)) as complete
