-- The sessions that start within [from, until), from their events alone.
(
    with
        {joined} as joined
    select
        team_id,
        session_id,
        min(at) as started_at,
        max(at) as ended_at,
        -- of two events at the same instant the one with the smaller uuid, as a number, is first
        argMin(attributes, moment) as entry,
        argMin(page_view, moment) as first_event,
        argMinIf(page_view, moment, is_page_view) as first_view,
        argMax(pathname, moment) as end_pathname,
        argMaxIf(person_id, moment, is_page_view) as person,
        {sender_of_session} as sender,
        {has_clear_ends} as has_clear_ends,
        countIf(is_page_view or event = '$autocapture') as interactions,
        groupArrayIf(page_view, is_page_view) as page_views
    from
    (
        select
            *,
            event in ('$pageview', '$screen') as is_page_view,
            -- one number is compared much quicker than a tuple
            bitShiftLeft(toInt256(toUnixTimestamp64Micro(at)), 128) + toUInt128(uuid) as moment,
            -- of a column that has become nullable since it was looked at a null would be left out, and what
            -- comes after it be taken for it: so it is an error
            joined(cast({attributes} as Array(String))) as attributes,
            joined(cast([
                host,
                device_type,
                browser,
                os,
                toString(viewport_width),
                toString(viewport_height),
                pathname,
                country_code,
                city_name,
                region_code
            ] as Array(String))) as page_view
        from {source}
    )
    where {is_in_piece}
    group by team_id, session_id
    having
        started_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
        and started_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
        and notEmpty(page_views)
        and {not_begun_before}
        {or_lasts_long}
)
