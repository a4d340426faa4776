-- The sessions that start within [from, until), from their events alone.
(
    select
        team_id,
        session_id,
        min(at) as started_at,
        max(at) as ended_at,
        -- of two events at the same instant the one with the smaller uuid, as a number, is first
        argMin(
            (pathname, referring_domain, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
                country_code, city_name, region_code, region_name, gclid, gad_source, fbclid),
            (at, sequence)) as first_event,
        argMax(pathname, (at, sequence)) as end_pathname,
        argMinIf((host, device_type, browser, os, viewport_width, viewport_height), (at, sequence), is_page_view) as first_view,
        argMaxIf(person_id, (at, sequence), is_page_view) as person,
        countIf(is_page_view or event = '$autocapture') as interactions,
        -- a session of this day has no page view before it
        groupArrayIf(
            (
                pathname,
                host,
                device_type,
                browser,
                os,
                viewport_width,
                viewport_height,
                country_code,
                city_name,
                region_code
            ),
            is_page_view and at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')) as page_views
    from
    (
        select *, event in ('$pageview', '$screen') as is_page_view, toUInt128(uuid) as sequence
        from {source}
    )
    -- taken in pieces where memory was not enough for all
    where cityHash64(session_id) % {pieces:UInt32} = {piece:UInt32}
    group by team_id, session_id
    having started_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and started_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
        and countIf(is_page_view) > 0
)
