-- Whether an event came since the mark.
{inserted_at} >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
