-- Of a sixteenth of the keys of the stats rollup: how many page views have one of them, and how many keys
-- there are.
select
    toInt64(count()) as rows,
    toInt64(uniqExact(cityHash64(
        team_id,
        view.host,
        view.device_type,
        view.pathname,
        entry_pathname,
        end_pathname,
        view.browser,
        view.os,
        view.viewport_width,
        view.viewport_height,
        referring_domain,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        view.country_code,
        view.city_name,
        view.region_code,
        region_name,
        has_gclid,
        has_gad_source_paid_search,
        has_fbclid))) as keys
from {sessions}
array join page_views as view
where cityHash64(team_id, view.pathname, referring_domain, view.city_name) % 16 = 0
