        -- what a page view has of its own
        {host} as host,
        {pathname} as pathname,
        {device_type} as device_type,
        {browser} as browser,
        {os} as os,
        {viewport_width} as viewport_width,
        {viewport_height} as viewport_height,
        {country_code} as country_code,
        {city_name} as city_name,
        {region_code} as region_code
