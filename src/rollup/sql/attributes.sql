-- What a session has of its first event.
[
    pathname,
    referring_domain,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    region_name,
    if(gclid != '', '1', ''),
    -- '1' is a click on a search ad; gad_source has other values for other placements
    if(gad_source = '1', '1', ''),
    if(fbclid != '', '1', '')
]
