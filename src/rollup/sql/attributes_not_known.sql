-- What a session has of its first event that raw_sessions is not asked for.
[country_code, city_name, region_code]
