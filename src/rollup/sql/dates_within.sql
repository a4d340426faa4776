    -- the key has the dates, which only what speaks of them is looked for by; there are none before 1970 and after 6
    -- June 2149
    and ({begin_us} < 0
        or toDate({timestamp}) >= toDate(fromUnixTimestamp64Micro({begin_us}, 'UTC'))
        and toDate({timestamp}) <= toDate(fromUnixTimestamp64Micro(least({end_us} - 1, 5662310399000000), 'UTC')))
