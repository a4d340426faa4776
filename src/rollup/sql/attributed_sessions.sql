-- The sessions that start within [from, until), counted from PostHog's events, with the attributes
-- that raw_sessions has of them: reading those from the events would be reading all properties. What
-- raw_sessions does not have, has other events of, or cannot tell the ends of, is not whole yet.
(
    select
        own.team_id as team_id,
        own.session_id as session_id,
        own.started_at as started_at,
        own.ended_at as ended_at,
        own.first_event as first_event,
        own.first_view as first_view,
        own.person as person,
        own.sender as sender,
        own.interactions as interactions,
        own.page_views as page_views,
        own.has_clear_ends and known.there = 1
            -- states that say nothing of that are taken as they are
            and (known.ended = toDateTime64(0, 6, 'UTC')
                or known.began = own.started_at and known.ended = own.ended_at) as is_whole,
        known.entry as entry,
        known.end_pathname as end_pathname
    from {counted_sessions} as own
    left any join
    (
        with
            {joined} as joined
        select
            team_id,
            session_id_v7,
            1 as there,
            {began} as began,
            {ended} as ended,
            -- one text is carried through the join cheaper than many, as attributes.sql has them
            joined(
                [
                    path(ifNull(argMinMerge(entry_url), '')),
                    ifNull(argMinMerge(initial_referring_domain), ''),
                    ifNull(argMinMerge(initial_utm_source), ''),
                    ifNull(argMinMerge(initial_utm_medium), ''),
                    ifNull(argMinMerge(initial_utm_campaign), ''),
                    ifNull(argMinMerge(initial_utm_term), ''),
                    ifNull(argMinMerge(initial_utm_content), ''),
                    ifNull(argMinMerge(initial_geoip_subdivision_1_name), ''),
                    if(ifNull(argMinMerge(initial_gclid), '') != '', '1', ''),
                    if(ifNull(argMinMerge(initial_gad_source), '') = '1', '1', ''),
                    if(ifNull(argMinMerge(initial_fbclid), '') != '', '1', '')
                ]) as entry,
            path(ifNull(argMaxMerge(end_url), '')) as end_pathname
        from {raw_sessions}
        where {raw_sessions_of_the_day}
            and cityHash64({uuid_of_session}) in {ids_of_the_day}
            and {is_in_piece_of_known}
        group by team_id, session_id_v7
    ) as known on known.team_id = own.team_id and known.session_id_v7 = {v7_of_session}
)
