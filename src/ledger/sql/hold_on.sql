-- As renew.sql, for a claim that may have been told to stop and needs time to undo its work.
-- $1 claim, $2 lease in ms
update slices
set lease_until = {now} + $2
where claim = $1 and state = 'running'
    and lease_until > {now}
