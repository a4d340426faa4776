-- Whether an event came since the mark, and before an instant.
{inserted_at} >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    and {inserted_at} < fromUnixTimestamp64Micro({before_us:Int64}, 'UTC')
