(
    select *
    from {source_alone}
    where (team_id, session_id) in {inexact_sessions}
)
