-- A row of the sessions table becomes as many page views as it has.
insert into {stats}
(
    period_bucket,
    team_id,
    host,
    device_type,
    pathname,
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
    persons_uniq_state,
    sessions_uniq_state,
    pageviews_count_state
)
select
    {bucket:DateTime('UTC')} as period_bucket,
    team_id,
    view.host as host,
    view.device_type as device_type,
    view.pathname as pathname,
    entry_pathname,
    end_pathname,
    view.browser as browser,
    view.os as os,
    view.viewport_width as viewport_width,
    view.viewport_height as viewport_height,
    referring_domain,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    view.country_code as country_code,
    view.city_name as city_name,
    view.region_code as region_code,
    region_name,
    has_gclid,
    has_gad_source_paid_search,
    has_fbclid,
    {persons_state} as persons_uniq_state,
    {sessions_state} as sessions_uniq_state,
    {page_views_state} as pageviews_count_state
from {sessions}
array join page_views as view
-- taken in pieces where memory was not enough for all: rows of one key are in one piece
where {pieces:UInt32} = 1 or {piece:UInt32} = cityHash64(
    view.host, view.pathname, entry_pathname, end_pathname, referring_domain, utm_source, utm_campaign,
    view.browser, view.os, view.viewport_width, view.city_name) % {pieces:UInt32}
{grouping}
