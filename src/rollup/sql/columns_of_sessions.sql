        -- what a session has of its first event
        {referring_domain} as referring_domain,
        {utm_source} as utm_source,
        {utm_medium} as utm_medium,
        {utm_campaign} as utm_campaign,
        {utm_term} as utm_term,
        {utm_content} as utm_content,
        {gclid} as gclid,
        {gad_source} as gad_source,
        {fbclid} as fbclid,
        {region_name} as region_name
