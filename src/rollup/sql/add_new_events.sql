-- The imported events that the source does not have, each once.
insert into {events}
(
    {plain_uuid},
    {plain_event},
    {plain_team_id},
    {plain_distinct_id},
    {plain_person_id},
    {plain_session_id},
    {plain_timestamp},
    {plain_host},
    {plain_pathname},
    {plain_current_url},
    {plain_device_type},
    {plain_browser},
    {plain_os},
    {plain_viewport_width},
    {plain_viewport_height},
    {plain_referring_domain},
    {plain_utm_source},
    {plain_utm_medium},
    {plain_utm_campaign},
    {plain_utm_term},
    {plain_utm_content},
    {plain_gclid},
    {plain_gad_source},
    {plain_fbclid},
    {plain_country_code},
    {plain_city_name},
    {plain_region_code},
    {plain_region_name}
)
select
    uuid,
    event,
    team_id,
    distinct_id,
    person_id,
    session_id,
    timestamp,
    host,
    pathname,
    current_url,
    device_type,
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
    gclid,
    gad_source,
    fbclid,
    country_code,
    city_name,
    region_code,
    region_name
from {import}
where true
    -- known already, or twice in the import itself
    and {new_id} not in
    (
        select {known_id}
        from {events} as e
        where {team_id} global in (select distinct team_id from {import})
            and {timestamp} >= (select min(timestamp) from {import})
            and {timestamp} <= (select max(timestamp) from {import})
    )
limit 1 by team_id, uuid
