{timestamp} >= fromUnixTimestamp64Micro({begin_us}, 'UTC')
    and {timestamp} < fromUnixTimestamp64Micro({end_us}, 'UTC')
    -- and by dates: a key with those and with the instants behind them is searched for the instants alone, which
    -- tells no day of a team from another; there are none before 1970 and after 6 June 2149
    and ({begin_us} - {other_zone_us} < 0
        or toDate({timestamp}) >= toDate(fromUnixTimestamp64Micro({begin_us} - {other_zone_us}, 'UTC'))
        and toDate({timestamp}) <= toDate(fromUnixTimestamp64Micro(least({end_us} + {other_zone_us} - 1, 5662310399000000), 'UTC')))
