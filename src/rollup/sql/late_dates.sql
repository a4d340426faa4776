-- as in dates_within.sql
    and toDate({timestamp}) >= toDate(greatest(toDateTime64((select min({timestamp}) from {events} as e where {is_new}), 6, 'UTC') - interval 1 day, toDateTime64(0, 6, 'UTC')))
    and toDate({timestamp}) <= toDate(least(toDateTime64((select max({timestamp}) from {events} as e where {is_new}), 6, 'UTC') + interval 1 day, toDateTime64('2149-06-06 00:00:00', 6, 'UTC')))
