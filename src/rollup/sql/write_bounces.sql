-- A row of the sessions table is a session.
insert into {bounces}
(
    period_bucket,
    team_id,
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
    persons_uniq_state,
    sessions_uniq_state,
    pageviews_count_state,
    bounces_count_state,
    total_session_duration_state,
    total_session_count_state
)
with
    {parted} as parted,
    parted(entry) as first_event
select
    {bucket:DateTime('UTC')} as period_bucket,
    team_id,
    host,
    device_type,
    first_event[1] as entry_pathname,
    end_pathname,
    browser,
    os,
    viewport_width,
    viewport_height,
    first_event[2] as referring_domain,
    first_event[3] as utm_source,
    first_event[4] as utm_medium,
    first_event[5] as utm_campaign,
    first_event[6] as utm_term,
    first_event[7] as utm_content,
    country_code,
    city_name,
    region_code,
    first_event[8] as region_name,
    first_event[9] = '1' as has_gclid,
    first_event[10] = '1' as has_gad_source_paid_search,
    first_event[11] = '1' as has_fbclid,
    persons_uniq_state,
    sessions_uniq_state,
    pageviews_count_state,
    bounces_count_state,
    total_session_duration_state,
    total_session_count_state
from
(
    select
        team_id,
        entry,
        end_pathname,
        host,
        device_type,
        browser,
        os,
        viewport_width,
        viewport_height,
        country_code,
        city_name,
        region_code,
        {persons_state} as persons_uniq_state,
        {sessions_state} as sessions_uniq_state,
        {page_views_state} as pageviews_count_state,
        {bounces_state} as bounces_count_state,
        {duration_state} as total_session_duration_state,
        {session_count_state} as total_session_count_state
    from {sessions}
    -- as in write_stats.sql
    where is_whole
        and ({pieces:UInt32} = 1 or {piece:UInt32} = cityHash64(
            team_id, entry, end_pathname, host, browser, os, viewport_width, city_name) % {pieces:UInt32})
    {grouping}
)
