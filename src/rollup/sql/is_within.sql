{timestamp} >= fromUnixTimestamp64Micro({begin_us}, 'UTC')
    and {timestamp} < fromUnixTimestamp64Micro({end_us}, 'UTC')
