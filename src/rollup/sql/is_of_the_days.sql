{timestamp} >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and {timestamp} < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
