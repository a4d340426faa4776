-- Feeds the session states from the events, as they come: for development.
create materialized view if not exists {view} to {raw_sessions} as
select
    team_id,
    toUInt128(toUUID(`$session_id`)) as session_id_v7,
    min(timestamp) as min_timestamp,
    max(timestamp) as max_timestamp,
    argMinState(JSONExtractString(properties, '$current_url'), timestamp) as entry_url,
    argMaxState(JSONExtractString(properties, '$current_url'), timestamp) as end_url,
    argMinState(JSONExtractString(properties, '$geoip_subdivision_1_name'), timestamp) as initial_geoip_subdivision_1_name,
    argMinState(JSONExtractString(properties, '$referring_domain'), timestamp) as initial_referring_domain,
    argMinState(JSONExtractString(properties, 'utm_source'), timestamp) as initial_utm_source,
    argMinState(JSONExtractString(properties, 'utm_medium'), timestamp) as initial_utm_medium,
    argMinState(JSONExtractString(properties, 'utm_campaign'), timestamp) as initial_utm_campaign,
    argMinState(JSONExtractString(properties, 'utm_term'), timestamp) as initial_utm_term,
    argMinState(JSONExtractString(properties, 'utm_content'), timestamp) as initial_utm_content,
    argMinState(JSONExtractString(properties, 'gclid'), timestamp) as initial_gclid,
    argMinState(JSONExtractString(properties, 'gad_source'), timestamp) as initial_gad_source,
    argMinState(JSONExtractString(properties, 'fbclid'), timestamp) as initial_fbclid
from {events}
-- only what is a version-7 UUID
where bitAnd(bitShiftRight(toUInt128(accurateCastOrNull(`$session_id`, 'UUID')), 76), 15) = 7
group by team_id, session_id_v7
