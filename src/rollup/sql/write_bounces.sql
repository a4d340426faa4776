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
    parted(entry) as first,
    parted(first_view) as view,
    parted(first_event) as event
select
    bucket as period_bucket,
    team_id,
    view[1] as host,
    view[2] as device_type,
    first[1] as entry_pathname,
    end_pathname,
    view[3] as browser,
    view[4] as os,
    toInt64(view[5]) as viewport_width,
    toInt64(view[6]) as viewport_height,
    first[2] as referring_domain,
    first[3] as utm_source,
    first[4] as utm_medium,
    first[5] as utm_campaign,
    first[6] as utm_term,
    first[7] as utm_content,
    event[8] as country_code,
    event[9] as city_name,
    event[10] as region_code,
    first[8] as region_name,
    first[9] = '1' as has_gclid,
    first[10] = '1' as has_gad_source_paid_search,
    first[11] = '1' as has_fbclid,
    persons_uniq_state,
    sessions_uniq_state,
    pageviews_count_state,
    bounces_count_state,
    total_session_duration_state,
    total_session_count_state
from
(
    select
        {one_of}(s.bucket) as bucket,
        {one_of}(s.team_id) as team_id,
        {one_of}(s.entry) as entry,
        {one_of}(s.end_pathname) as end_pathname,
        {one_of}(s.first_view) as first_view,
        {one_of}(s.first_event) as first_event,
        {persons_state} as persons_uniq_state,
        {sessions_state} as sessions_uniq_state,
        {page_views_state} as pageviews_count_state,
        {bounces_state} as bounces_count_state,
        {duration_state} as total_session_duration_state,
        {session_count_state} as total_session_count_state
    from {sessions} as s
    where is_whole and {is_in_piece_of_rows}
    {grouping}
)
