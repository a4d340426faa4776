-- One row a session of a batch: what both rollups are written from. It lives as long as the fill, too
-- short for compressing it to pay (a tenth of what collecting costs).
create table {sessions}
(
    -- where the day begins in which it starts
    bucket DateTime('UTC') codec(NONE),
    team_id UInt64 codec(NONE),
    session_id String codec(NONE),
    person_id UUID codec(NONE),
    -- what both rollups have of the first event, see joined.sql: path, referring domain, the utm_ ones, name
    -- of the region, and whether there are gclid, gad_source of a search ad, and fbclid
    entry String codec(NONE),
    end_pathname String codec(NONE),
    -- of the first event, and of the first page view: as one of page_views
    first_event String codec(NONE),
    first_view String codec(NONE),
    bounced UInt8 codec(NONE),
    duration_seconds Int64 codec(NONE),
    -- of each, see joined.sql: host, device, browser, system, width, height, path, country, city, region code
    page_views Array(String) codec(NONE),
    -- what is not yet is there once more when it is
    is_whole Bool codec(NONE)
)
engine = MergeTree
order by tuple()
-- it is read once, so its parts, of which each piece leaves some, are never worth merging
settings max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1,
    parts_to_delay_insert = 100000, parts_to_throw_insert = 100000
