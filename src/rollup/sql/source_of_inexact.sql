-- The events of the sessions of which raw_sessions could not tell all, with all of their properties.
(
    select *
    from {whole_source}
    where (team_id, session_id) global in (select toInt64(team_id), session_id from {sessions} where not is_whole)
)
