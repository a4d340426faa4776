-- Without what is asked of raw_sessions, so that nothing of it is read here.
(
    select * replace
    (
        '' as referring_domain,
        '' as utm_source,
        '' as utm_medium,
        '' as utm_campaign,
        '' as utm_term,
        '' as utm_content,
        '' as gclid,
        '' as gad_source,
        '' as fbclid,
        '' as region_name
    )
    from {source_alone}
)
