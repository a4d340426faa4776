-- What site.sql has made, as PostHog's events; their sessions are told by its view.
insert into {events} (uuid, event, properties, timestamp, team_id, distinct_id, person_id, inserted_at)
select
    uuid,
    event,
    toJSONString(map(
        '$session_id', session_id,
        '$host', host,
        '$pathname', pathname,
        '$current_url', current_url,
        '$device_type', device_type,
        '$browser', browser,
        '$os', os,
        '$viewport_width', toString(viewport_width),
        '$viewport_height', toString(viewport_height),
        '$referring_domain', referring_domain,
        'utm_source', utm_source,
        'utm_medium', utm_medium,
        'utm_campaign', utm_campaign,
        'utm_term', utm_term,
        'utm_content', utm_content,
        'gclid', gclid,
        'gad_source', gad_source,
        'fbclid', fbclid,
        '$geoip_country_code', country_code,
        '$geoip_city_name', city_name,
        '$geoip_subdivision_1_code', region_code,
        '$geoip_subdivision_1_name', region_name)),
    timestamp,
    team_id,
    distinct_id,
    person_id,
    inserted_at
from {generated}
-- as PostHog's ingestion writes them
settings output_format_json_escape_forward_slashes = 0
