-- $1 claim, $2 lease in ms. Fewer rows than slices held: the claim is lost, or is to stop.
update slices
set lease_until = {now} + $2
where claim = $1 and state = 'running' and cancel = 0
    -- a lease that is over is not taken back: somebody may be killing its statements
    and lease_until > {now}
