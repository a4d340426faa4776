-- The sessions that start within [from, until), whole, with their page views.
insert into {sessions}
(
    team_id,
    session_id,
    person_id,
    host,
    device_type,
    entry_pathname,
    end_pathname,
    browser,
    os,
    viewport_width,
    viewport_height,
    referring_domain,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    country_code,
    city_name,
    region_code,
    region_name,
    has_gclid,
    has_gad_source_paid_search,
    has_fbclid,
    bounced,
    duration_seconds,
    page_views
)
select
    toUInt64(team_id),
    session_id,
    person,
    first_view.2 as host,
    first_view.3 as device_type,
    first_event.1 as entry_pathname,
    end_pathname,
    first_view.4 as browser,
    first_view.5 as os,
    first_view.6 as viewport_width,
    first_view.7 as viewport_height,
    first_event.2 as referring_domain,
    first_event.3 as utm_source,
    first_event.4 as utm_medium,
    first_event.5 as utm_campaign,
    first_event.6 as utm_term,
    first_event.7 as utm_content,
    first_event.8 as country_code,
    first_event.9 as city_name,
    first_event.10 as region_code,
    first_event.11 as region_name,
    first_event.12 != '' as has_gclid,
    -- '1' is a click on a search ad; gad_source has other values for other placements
    first_event.13 = '1' as has_gad_source_paid_search,
    first_event.14 != '' as has_fbclid,
    interactions = 1 and duration_seconds < 10 as bounced,
    -- whole seconds of the difference, not seconds of the clock that it crossed
    intDiv(toUnixTimestamp64Micro(ended_at) - toUnixTimestamp64Micro(started_at), 1000000) as duration_seconds,
    page_views
from {collected}
-- the ids are no part of a key: to look for them in one would be to sort them in vain
settings use_index_for_in_with_subqueries = 0
